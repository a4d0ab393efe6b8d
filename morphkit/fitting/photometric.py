"""The photometric fit: Gauss–Newton on every coefficient, the camera and the light, through the renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.fitting.colors import PhotometricEnergy, look_light, residual_deviation
from morphkit.fitting.dense import DenseModel
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkEnergy, Observations
from morphkit.fitting.look import Look, draw
from morphkit.fitting.settings import FitSettings, PhotometricSettings
from morphkit.fitting.window import Window, cut_window
from morphkit.rendering.rasterizer import Rasterizer


@dataclass(frozen=True, eq=False)
class PhotometricFit:
    """Result of `fit_colors`.

    Attributes
    ----------
    look : face, albedo and light.
    energies : after each accepted step, over all levels; they are comparable within a level only.
    converged : whether the last level ended by its tolerance.
    """

    look: Look
    energies: tuple[float, ...]
    converged: bool


def fit_colors(
    photo: UInt8[np.ndarray, "h w 3"],
    model: DenseModel,
    face: Face,
    observe: Callable[[Face], Observations],
    focal_prior: FocalPrior,
    settings: FitSettings,
    photometric: PhotometricSettings,
    rasterizer: Rasterizer,
) -> PhotometricFit:
    """Refine a landmark fit by the photo's colours.

    Minimises the landmark fit's energy, plus a robust comparison of the rendered with the photographed colour
    of every pixel of the face, plus priors on albedo and light, by damped Gauss–Newton from coarse to fine.
    The derivative of a rendered pixel is its texture's motion (half by the rendered picture's slope, half by
    the photo's; Malis 2004, efficient second-order minimisation), plus the change of its shading, albedo and
    light.

    Parameters
    ----------
    photo : sRGB, upright.
    model : dense arrays.
    face : where to start, from `fit_landmarks`.
    observe : the landmark observations for a face; called once a level.
    focal_prior : what is known of the focal length.
    settings, photometric : weights, sizes and tolerances.
    rasterizer : the backend that draws.
    """
    look = Look(face, np.zeros(model.albedo.shape[2]), np.zeros((9, 3)))
    energies: list[float] = []
    converged = False
    skin = replace(photometric, points=photometric.albedo_points)
    for size in photometric.sizes:
        window = cut_window(photo, _face_pixels(model, look.face), size)
        sparse = LandmarkEnergy(observe(look.face), focal_prior, settings.landmark)
        look, first, _ = _fit_level(look, model, window, sparse, skin, rasterizer, "shape")
        look, second, converged = _fit_level(look, model, window, sparse, photometric, rasterizer, "albedo")
        energies += [*first, *second]
    look, trace, _ = _fit_level(look, model, window, sparse, skin, rasterizer, "shape")
    return PhotometricFit(look, tuple(energies + trace), converged)


def _face_pixels(model: DenseModel, face: Face) -> Float[np.ndarray, "n 2"]:
    used = np.unique(model.faces[model.attention])
    return face.pose.project(model.vertices(face)[used].astype(np.float64))


def _fit_level(
    look: Look,
    model: DenseModel,
    window: Window,
    sparse: LandmarkEnergy,
    settings: PhotometricSettings,
    rasterizer: Rasterizer,
    hold: Literal["shape", "albedo"],
) -> tuple[Look, list[float], bool]:
    """Descend at one size of the window."""
    with torch.no_grad():
        picture = draw(look, model, window, rasterizer)
        if not look.light.any():
            look = look_light(look, picture, window, settings)
            picture = draw(look, model, window, rasterizer)
        deviation = residual_deviation(picture, window, settings)
        problem = PhotometricEnergy(model, window, sparse, settings, deviation, hold)
        energy, damping = problem.energy(look, picture), 1e-3
        trace = [energy]
        for _ in range(settings.iterations):
            hessian, gradient = problem.normal_equations(look, picture)
            for _ in range(5):
                step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
                candidate = look.moved(step)
                drawn = draw(candidate, model, window, rasterizer)
                lower = problem.energy(candidate, drawn)
                if lower < energy:
                    break
                damping *= 10.0
            else:
                return look, trace, True
            decrease, look, picture, energy = energy - lower, candidate, drawn, lower
            damping = max(damping / 5.0, 1e-6)
            trace.append(energy)
            if decrease <= settings.tolerance * energy:
                return look, trace, True
    return look, trace, False
