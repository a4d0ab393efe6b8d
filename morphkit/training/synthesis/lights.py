"""Light as rooms, skies and lamps give it, to the second order of spherical harmonics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from morphkit.rendering.lighting import ambient_light, directional_light
from morphkit.rendering.spherical_harmonics import rotate_light

_WAVELENGTHS = np.array([610e-9, 550e-9, 465e-9])  # metres: where sRGB's red, green and blue see most
_SECOND_RADIATION = 1.438777e-2  # metre kelvin, of Planck's law
_DAYLIGHT = 6500.0  # kelvin: white in sRGB


@dataclass(frozen=True, eq=False)
class Light:
    """A light.

    Attributes
    ----------
    coefficients : (9, 3) radiance in camera axes.
    directions : (l, 3) unit, towards each lamp, camera axes.
    colors : (l, 3) linear RGB of what white skin that faces the lamp shows of it.
    """

    coefficients: Float[np.ndarray, "9 3"]
    directions: Float[np.ndarray, "l 3"]
    colors: Float[np.ndarray, "l 3"]

    def scaled(self, factor: float) -> Light:
        """Return it brighter or darker."""
        return Light(self.coefficients * factor, self.directions, self.colors * factor)

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> Light:
        """Return it after a turn of the camera's axes."""
        turn, radiance = torch.from_numpy(rotation)[None], torch.from_numpy(self.coefficients)[None]
        return Light(rotate_light(radiance, turn)[0].numpy(), self.directions @ rotation.T, self.colors)


def draw_light(rng: np.random.Generator, hard: float) -> Light:
    """Draw an ambient light and one to three lamps; with a chance of `hard`, a single strong one at a side.

    The camera's white balance has taken most of their common colour out.
    """
    from_side = rng.random() < hard
    count = 1 if from_side else int(rng.integers(1, 4))
    ambient = rng.uniform(0.12, 0.25) if from_side else rng.uniform(0.2, 0.7)
    shares = np.append(ambient, (1 - ambient) * rng.dirichlet(np.full(count, 2.0)))
    tints = np.array([_tint(kelvin) for kelvin in _temperatures(rng, count + 1)])
    colors = shares[:, None] * _balanced(rng, tints, shares)
    directions = np.array([_direction(rng, from_side) for _ in range(count)])
    coefficients = ambient_light()[0].double().numpy() * colors[0]
    lamps = directional_light(torch.from_numpy(directions), torch.from_numpy(colors[1:]))
    return Light(coefficients + lamps.sum(dim=0).numpy(), directions, colors[1:])


def _direction(rng: np.random.Generator, from_side: bool) -> np.ndarray:
    """Return a unit vector towards a lamp, camera axes: mostly in front, mostly above."""
    across = rng.choice([-1, 1]) * (rng.uniform(0.9, 1.75) if from_side else abs(rng.normal(0, 0.8)))
    up = np.clip(rng.normal(0.45, 0.4), -0.4, 1.3)
    return np.array([np.sin(across) * np.cos(up), -np.sin(up), -np.cos(across) * np.cos(up)])


def _temperatures(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return colour temperatures, alike for most photos, kelvin."""
    common = rng.uniform(np.log(2700), np.log(8500))
    return np.exp(common + rng.normal(0, rng.choice([0.03, 0.18]), count))


def _tint(kelvin: float) -> np.ndarray:
    """Return the linear RGB of a glowing body by Planck's law, daylight being white, of mean 1."""
    radiance = [
        1 / np.expm1(_SECOND_RADIATION / (_WAVELENGTHS * temperature)) for temperature in (kelvin, _DAYLIGHT)
    ]
    ratio = radiance[0] / radiance[1]
    return ratio / ratio.mean()


def _balanced(rng: np.random.Generator, tints: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return tints after the camera's white balance, which leaves a little of their common colour."""
    common = shares @ tints
    left = rng.uniform(0.0, 0.2)
    cast = np.exp(rng.normal(0, 0.02) * np.array([0.5, -1.0, 0.5]))  # magenta or green
    return tints * common ** (left - 1) * cast
