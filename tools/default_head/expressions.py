"""The 52 named expression units, and an orthonormal basis with a meaningful Gaussian prior for them.

The basis comes from the second moment of plausible random faces, not from their covariance: coefficients of
zero are the neutral face, and a full unit is two or three standard deviations away.
"""

from __future__ import annotations

import re

import numpy as np
from assets import FACE_UNITS, MILLIMETRES_PER_UNIT, Assets
from head import HeadTopology

# How often a unit shows; its strength then is anything between 0 and 1.
RATE = (
    (r"eyeBlink|eyeLook", 0.45), (r"mouthSmile|jawOpen", 0.55),
    (r"brow|eyeSquint|cheekSquint|mouthPucker|mouthFunnel", 0.40),
    (r".", 0.30),
)  # fmt: skip
SIDES_TOGETHER = (
    0.9  # how often a left unit does what the right one does, exactly; else they know nothing of each other
)
DIRECTIONS = re.compile("(mouth|jaw)(Left|Right)$")  # a way to move, not a side of the face
GAZE = ("Up", "Down", "In", "Out")


def unit_names(assets: Assets) -> tuple[str, ...]:
    """Return the 52 names, sorted."""
    suffix = ".target"
    return tuple(
        n.rsplit("/", 1)[1].removesuffix(suffix)
        for n in assets.names
        if n.startswith(FACE_UNITS) and n.endswith(suffix)
    )


def unit_offsets(assets: Assets, topology: HeadTopology, vertex_count: int, scale: float) -> np.ndarray:
    """Return the units at full strength on the template, (52, v, 3) millimetres."""
    names = unit_names(assets)
    offsets = [topology.lift(assets.target(f"{FACE_UNITS}/{name}.target", vertex_count)) for name in names]
    return np.array(offsets) * MILLIMETRES_PER_UNIT * scale


def draw_activations(rng: np.random.Generator, names: tuple[str, ...], count: int) -> np.ndarray:
    """Draw faces: (count, 52) activations in 0..1, left and right mostly together, gaze in one direction."""
    stems = [name if DIRECTIONS.match(name) else re.sub(r"(Left|Right)$", "", name) for name in names]
    shown = {stem: rng.random(count) < _rate(stem) for stem in dict.fromkeys(stems)}
    strength = {stem: rng.beta(1.3, 1.3, count) for stem in shown}
    columns = []
    for stem in stems:
        own = (rng.random(count) < _rate(stem)) * rng.beta(1.3, 1.3, count)
        together = rng.random(count) < SIDES_TOGETHER
        columns.append(np.where(together, shown[stem] * strength[stem], own))
    activations = np.stack(columns, axis=1)
    activations[:, names.index("mouthRight")] *= activations[:, names.index("mouthLeft")] == 0
    activations[:, names.index("jawRight")] *= activations[:, names.index("jawLeft")] == 0
    _gaze(rng, names, activations)
    return activations


def second_moment_basis(
    units: np.ndarray, activations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return basis (3v, k), standard deviations (k,) and the units' coefficients (52, k), k the units' rank.

    Works in the small space of activations: with thin QR, units^T = Q R, faces are Q (R a), and the second
    moment of R a is 52 x 52.
    """
    flat = units.reshape(len(units), -1)
    moving = np.abs(flat).max(1) > 0
    q, r = np.linalg.qr(flat[moving].T)
    faces = activations[:, moving] @ r.T
    values, vectors = np.linalg.eigh(faces.T @ faces / len(faces))
    order = np.argsort(-values)[: int((values > 1e-9 * values.max()).sum())]
    deviations = np.sqrt(values[order])
    basis = q @ vectors[:, order]
    sign = np.where(basis[np.abs(basis).argmax(0), np.arange(basis.shape[1])] < 0, -1.0, 1.0)
    basis = basis * sign
    return basis, deviations, (flat @ basis) / deviations


def _rate(stem: str) -> float:
    return next(rate for pattern, rate in RATE if re.search(pattern, stem))


def _gaze(rng: np.random.Generator, names: tuple[str, ...], activations: np.ndarray) -> None:
    """Overwrite the look units, in place: both eyes turn the same way."""
    count = len(activations)
    across, up = np.clip(rng.normal(0.0, 0.45, (2, count)), -1.0, 1.0)
    amount = {"Up": np.maximum(up, 0), "Down": np.maximum(-up, 0)}
    leftward, rightward = np.maximum(across, 0), np.maximum(-across, 0)
    for direction in GAZE:
        for side in ("Left", "Right"):
            column = names.index(f"eyeLook{direction}{side}")
            if direction in amount:
                activations[:, column] = amount[direction]
            else:
                outward = (direction == "Out") == (side == "Left")
                activations[:, column] = leftward if outward else rightward
