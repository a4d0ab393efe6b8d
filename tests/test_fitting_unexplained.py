"""Laws of how far residuals of colour are believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphkit.fitting.settings import UnexplainedSettings
from morphkit.fitting.unexplained import whiten

SETTINGS = UnexplainedSettings()


def field(points, settings=SETTINGS):
    """Return the covariance of the brightness, written down plainly."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    mirrored = np.linalg.norm(points[:, None] - points[None] * [-1.0, 1.0, 1.0], axis=2)
    total = np.zeros_like(distances)
    for deviation, length in (
        (settings.fine_deviation, settings.fine_length),
        (settings.coarse_deviation, settings.coarse_length),
    ):
        total += deviation**2 * (np.exp(-distances / length) + settings.symmetry * np.exp(-mirrored / length))
    return total


def parts(settings=SETTINGS):
    """Return the whole variance that a pixel without a mirror image has: field and noise."""
    return settings.fine_deviation**2 + settings.coarse_deviation**2, settings.noise_deviation**2


@pytest.fixture
def face(rng):
    """Points on both sides of a face, their bare colours, weights, and residuals below what is expected."""
    points = np.concatenate([rng.uniform(-60.0, 60.0, (80, 2)), rng.uniform(0.0, 20.0, (80, 1))], axis=1)
    return points, rng.uniform(0.3, 0.8, 80), rng.uniform(0.2, 1.0, 80), 1e-3 * rng.normal(size=(80, 3))


def test_whitening_inverts_the_covariance(face, rng):
    points, scales, weights, residuals = face
    white = whiten(points, scales, residuals, weights, SETTINGS)
    whole, noise = parts()
    covariance = scales[:, None] * scales * field(points)
    covariance += np.diag(scales**2 * (noise + (whole + noise) * (1.0 / weights - 1.0)))
    one, other = rng.normal(size=(2, 80))
    grey = np.stack([one, other], axis=1)[:, None, :] * np.ones((1, 3, 1)) / np.sqrt(3.0)
    rows = white(grey)
    assert rows[:, 0] @ rows[:, 1] == pytest.approx(one @ np.linalg.solve(covariance, other), rel=2e-3)


def test_colour_is_believed_more_than_brightness(face, rng):
    points, scales, weights, residuals = face
    white = whiten(points, scales, residuals, weights, SETTINGS)
    pattern = rng.normal(size=80)
    brighter, redder = (
        (white((pattern[:, None] * direction)[:, :, None]) ** 2).sum()
        for direction in (np.ones(3) / np.sqrt(3.0), np.array([1.0, 0.0, -1.0]) / np.sqrt(2.0))
    )
    assert redder == pytest.approx(brighter / SETTINGS.chroma**2, rel=1e-3)


def test_what_both_halves_share_says_less_than_what_they_do_not():
    """A pair of mirrored points far from the rest: their sum is expected, their difference is news."""
    points = np.array([[-30.0, 0.0, 0.0], [30.0, 0.0, 0.0]])
    white = whiten(points, np.ones(2), np.zeros((2, 3)), np.ones(2), SETTINGS)
    same, opposite = (
        float((white(np.outer(signs, np.ones(3))[:, :, None]) ** 2).sum()) for signs in ([1, 1], [1, -1])
    )
    whole, noise = parts()
    assert opposite / same == pytest.approx(
        (whole * (1.0 + SETTINGS.symmetry) + noise) / (whole * (1.0 - SETTINGS.symmetry) + noise), rel=0.02
    )


def test_an_unsure_pixel_is_worth_its_weight():
    points = np.array([[-80.0, 0.0, 0.0], [30.0, 60.0, 0.0]])
    settings = replace(SETTINGS, symmetry=0.0)
    white = whiten(points, np.ones(2), np.zeros((2, 3)), np.array([1.0, 0.25]), settings)
    sure, unsure = (
        float((white(values) ** 2).sum()) for values in np.eye(2)[:, :, None, None] * np.ones((1, 1, 3, 1))
    )
    assert unsure == pytest.approx(0.25 * sure, rel=0.01)


def test_a_photo_that_disagrees_more_is_believed_less(rng):
    """Residuals drawn from a field of three times the deviations are found to be that large."""
    points = np.concatenate([rng.uniform(-70.0, 70.0, (900, 2)), np.zeros((900, 1))], axis=1)
    wilder = replace(SETTINGS, fine_deviation=0.21, coarse_deviation=0.21)
    root = np.linalg.cholesky(field(points, wilder) + 1e-6 * np.eye(900))
    pattern = np.ones((900, 3)) / np.sqrt(3.0)
    energies = []
    for _ in range(12):
        drawn = (root @ rng.normal(size=900))[:, None] * pattern
        white = whiten(points, np.ones(900), drawn, np.ones(900), SETTINGS)
        calm = whiten(points, np.ones(900), 0.0 * drawn, np.ones(900), SETTINGS)
        energies.append([float((each(drawn[:, :, None]) ** 2).sum()) for each in (white, calm)])
    believed, held = np.mean(energies, axis=0)
    assert held > 3.0 * believed
    assert 0.4 * 900 < believed < 1.4 * 900
