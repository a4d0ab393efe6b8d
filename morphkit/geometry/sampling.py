"""Points on a surface, and the colours there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.geometry.normals import face_areas
from morphkit.mesh import Mesh


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points spread over a mesh.

    Attributes
    ----------
    points : (n, 3).
    face_indices : (n,) int32, the triangle of each.
    barycentrics : (n, 3) weights there, rows sum to one.
    """

    points: Float[np.ndarray, "n 3"]
    face_indices: Int[np.ndarray, " n"]
    barycentrics: Float[np.ndarray, "n 3"]


def interpolate(
    values: Float[np.ndarray, "v d"],
    faces: Int[np.ndarray, "f 3"],
    face_indices: Int[np.ndarray, " n"],
    barycentrics: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n d"]:
    """Return per-vertex values at surface points."""
    return np.einsum("nk,nkd->nd", barycentrics, values[faces[face_indices]])


def sample_surface(mesh: Mesh, count: int, *, seed: int = 0) -> SurfaceSamples:
    """Return `count` points spread evenly over the surface, stratified by area; the same for the same seed.

    Raises
    ------
    ValueError
        When the mesh has no area.
    """
    cumulative = np.cumsum(face_areas(mesh.vertices, mesh.faces))
    if len(cumulative) == 0 or not cumulative[-1] > 0:
        raise ValueError("mesh: expected triangles with a positive area")
    rng = np.random.default_rng(seed)
    strata = (np.arange(count) + rng.random(count)) / count
    face_indices = np.searchsorted(cumulative, strata * cumulative[-1], side="right")
    face_indices = np.minimum(face_indices, len(cumulative) - 1).astype(np.int32)
    root, share = np.sqrt(rng.random(count)), rng.random(count)
    barycentrics = np.column_stack([1 - root, root * (1 - share), root * share])
    points = interpolate(mesh.vertices, mesh.faces, face_indices, barycentrics)
    return SurfaceSamples(points, face_indices, barycentrics)


def farthest_points(points: Float[np.ndarray, "n 3"], count: int) -> Int[np.ndarray, " m"]:
    """Return the indices of `count` well spread points: each is the farthest from those before it."""
    count = min(count, len(points))
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1))
    columns = np.ascontiguousarray(points.T)
    distance = np.full(len(points), np.inf)
    for i in range(1, count):
        x, y, z = columns[:, chosen[i - 1]]
        np.minimum(
            distance, (columns[0] - x) ** 2 + (columns[1] - y) ** 2 + (columns[2] - z) ** 2, out=distance
        )
        chosen[i] = np.argmax(distance)
    return chosen


def surface_colors(
    mesh: Mesh, face_indices: Int[np.ndarray, " n"], barycentrics: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Return the linear RGB colour (0..1, float32) at surface points, NaN where a face index is negative.

    The texture is preferred over vertex colours, being the finer one; it is read bilinearly, after decoding.

    Raises
    ------
    ValueError
        When the mesh has neither a texture with coordinates nor vertex colours.
    """
    if mesh.texture is not None and mesh.uv is not None:
        uv = np.einsum("nk,nkd->nd", barycentrics, mesh.uv[face_indices])
        colors = sample_texture(mesh.texture, uv)
    elif mesh.colors is not None:
        colors = interpolate(mesh.colors, mesh.faces, face_indices, barycentrics)
    else:
        raise ValueError("mesh: expected vertex colours, or a texture with coordinates; it has neither")
    colors = colors.astype(np.float32)
    colors[face_indices < 0] = np.nan
    return colors


def sample_texture(texture: np.ndarray, uv: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    """Return linear RGB at `uv`, repeating beyond 0..1; `texture` is (h, w, 3) uint8 sRGB, row 0 the top."""
    height, width = texture.shape[:2]
    x = (uv[:, 0] % 1.0) * width - 0.5
    y = (1.0 - uv[:, 1] % 1.0) * height - 0.5
    left, above = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = (x - left)[:, None], (y - above)[:, None]
    columns = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
    rows = np.clip(above, 0, height - 1), np.clip(above + 1, 0, height - 1)
    table = _linear_of_byte()
    top, bottom = (
        (1 - across) * table[texture[row, columns[0]]] + across * table[texture[row, columns[1]]]
        for row in rows
    )
    return (1 - down) * top + down * bottom


def _linear_of_byte() -> np.ndarray:
    # the sRGB transfer curve (IEC 61966-2-1), tabulated for the 256 codes
    code = np.arange(256) / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)
