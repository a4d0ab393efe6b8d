"""Lights of the scene: an ambient one and lamps, chosen, moved, or made from a photo's light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

MOST_LAMPS = 5  # browsers shade every pixel by each of them
_CANDIDATES = 60  # directions that a photo's lamps are chosen from
_PROBES = 300  # normals on which the light is compared


@dataclass(frozen=True, eq=False)
class Lamps:
    """An ambient light and distant lamps, in the head's frame.

    Attributes
    ----------
    ambient : (3,) linear RGB that white skin shows by it.
    directions : (n, 3) unit, towards the lamps.
    colors : (n, 3) linear RGB that white matte skin shows that faces the lamp.
    """

    ambient: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "n 3"]
    colors: Float[np.ndarray, "n 3"]

    def shading(self, normals: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
        """Return what white matte skin of these unit normals shows, (m, 3) linear RGB."""
        lit: np.ndarray = self.ambient + np.maximum(normals @ self.directions.T, 0.0) @ self.colors
        return lit


def one_lamp(azimuth: float, elevation: float, strength: float, ambient: float) -> Lamps:
    """Return white light from one side.

    Parameters
    ----------
    azimuth : degrees to the side: 0 in front of the face, 90 at the subject's left.
    elevation : degrees, 90 above.
    strength, ambient : what white skin shows by the lamp that it faces, and by light from everywhere.
    """
    return Lamps(
        np.full(3, float(ambient)), direction(azimuth, elevation)[None], np.full((1, 3), float(strength))
    )


def direction(azimuth: float, elevation: float) -> Float[np.ndarray, "3"]:
    """Return the unit vector of a direction in degrees; see `one_lamp`."""
    side, up = math.radians(azimuth), math.radians(elevation)
    return np.array([math.cos(up) * math.sin(side), math.sin(up), math.cos(up) * math.cos(side)])


PRESETS = {
    "studio": Lamps(
        np.full(3, 0.42),
        np.stack([direction(35.0, 35.0), direction(-55.0, 10.0), direction(180.0, 35.0)]),
        np.array([[0.80, 0.78, 0.75], [0.28, 0.29, 0.31], [0.20, 0.20, 0.20]]),
    ),
    "front": one_lamp(0.0, 15.0, 0.8, 0.4),
    "side": one_lamp(75.0, 15.0, 1.2, 0.12),
    "above": one_lamp(0.0, 70.0, 1.2, 0.2),
    "even": Lamps(np.full(3, 1.0), np.zeros((0, 3)), np.zeros((0, 3))),
}
"""Lights to choose from."""


def lamps_like(
    sh_coefficients: Float[np.ndarray, "k 3"], rotation: Float[np.ndarray, "3 3"] | None = None
) -> Lamps:
    """Return few lamps that shade matte skin as a light of spherical harmonics does, least squares.

    Parameters
    ----------
    sh_coefficients : the radiance coming in, as `morphkit.rendering.lighting` takes it.
    rotation : of the head's frame into that of the light; None if they are the same.
    """
    import torch

    from morphkit.rendering.lighting import reflection_basis

    normals = _sphere(_PROBES)
    turned = normals if rotation is None else normals @ rotation.T
    order = math.isqrt(len(sh_coefficients)) - 1
    wanted = reflection_basis(torch.from_numpy(turned), order).numpy() @ sh_coefficients
    candidates = _sphere(_CANDIDATES)
    design = np.column_stack([np.ones(_PROBES), np.maximum(normals @ candidates.T, 0.0)])
    share = nnls(design, np.maximum(wanted, 0.0).mean(axis=1))[0]
    kept = np.sort(np.argsort(-share[1:], kind="stable")[:MOST_LAMPS])
    kept = kept[share[1:][kept] > 0]
    few = design[:, np.append(0, kept + 1)]
    found = np.stack([nnls(few, np.maximum(color, 0.0))[0] for color in wanted.T], axis=1)
    return Lamps(found[0], candidates[kept], found[1:])


def _sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """Return directions spread evenly over the sphere (Fibonacci's spiral)."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    turn = math.pi * (3.0 - math.sqrt(5.0)) * np.arange(count)
    flat = np.sqrt(1.0 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
