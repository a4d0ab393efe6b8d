"""What skin shows beyond the model: pores and blotches, and gloss."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32

from morphkit.rendering.lighting import reflection_basis
from morphkit.training.synthesis.fields import Grid, Layer, Picture, grid_noise, resized
from morphkit.training.synthesis.lights import Light

_USUAL = 0.5  # brightness of skin, of the square root of its albedo
_FAINT = 0.004  # of a highlight, what is left out
_BLOTCH, _PORE = 14.0, 1.4  # millimetres


def skin_detail(rng: np.random.Generator, grid: Grid, strength: float) -> Picture:
    """Return the factor by which the colours of a skin differ from the model's smooth ones."""
    coarse = grid.coarser(4)
    blotches = grid_noise(coarse, rng, _BLOTCH, 2, 0.6) * np.float32(strength * rng.uniform(0, 0.05))
    blotches = resized(blotches, 4 * coarse.width, 4 * coarse.height)[: grid.height, : grid.width]
    pores = grid_noise(grid, rng, _PORE) * np.float32(strength * rng.uniform(0, 0.08))
    redness = np.array([0.4, 1.0, 0.9], np.float32)  # haemoglobin takes green and blue
    return np.exp(blotches[..., None] * redness + pores[..., None])


def gloss(
    rng: np.random.Generator, normals: Float32[np.ndarray, "h w 3"], light: Light, strength: float
) -> Picture:
    """Return the lamps' highlights on skin, camera axes: Blinn's, for a viewer far away."""
    amount = strength * rng.choice([0.0, 1.0]) * rng.uniform(0.02, 0.22)
    sharpness = np.exp(rng.uniform(np.log(8), np.log(60)))
    total = np.zeros_like(normals)
    if amount == 0:
        return total
    for direction, color in zip(light.directions, light.colors, strict=True):
        half = direction + np.array([0.0, 0.0, -1.0])
        half /= np.linalg.norm(half) + 1e-9
        facing: Layer = normals @ half.astype(np.float32)
        bright = facing > _FAINT ** (1 / sharpness)
        shine = facing[bright] ** np.float32(sharpness)
        total[bright] += shine[:, None] * (amount * color).astype(np.float32)
    return total


def brightness(
    albedo: Float[np.ndarray, "m 3"], normals: Float[np.ndarray, "m 3"], light: Light, exposure: float
) -> float:
    """Return the factor by which a light must grow for the skin that faces the camera to be well exposed.

    Cameras expose for the whole picture: dark skin comes out darker than light skin, but not in proportion.

    Parameters
    ----------
    albedo, normals : of vertices of the skin, camera axes.
    exposure : 1 is usual.
    """
    front = normals[:, 2] < -0.2
    if not front.any():
        front = np.ones(len(normals), bool)
    shading = reflection_basis(torch.from_numpy(normals[front])).numpy() @ light.coefficients
    luminance = np.array([0.2126, 0.7152, 0.0722])
    seen = float(np.mean(np.maximum(albedo[front] * shading, 0) @ luminance))
    wanted = exposure * _USUAL * np.sqrt(float(np.mean(albedo[front] @ luminance)))
    return wanted / max(seen, 1e-4)
