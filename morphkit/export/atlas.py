"""The texels of a mesh: which point of the surface each pixel of its texture shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import sparse

from morphkit.geometry.normals import face_areas
from morphkit.geometry.raster import rasterize
from morphkit.geometry.topology import unique_edges

_SLACK = 1e-3  # how far coordinates may reach beyond 0..1 and still be those of one picture
_EDGE = 0.02  # of the picture's side, left free around an atlas made here


@dataclass(frozen=True, eq=False)
class Sites:
    """Points on a mesh that get a colour: its texels, or its vertices.

    Attributes
    ----------
    corners : (n, 3) the vertices around each point.
    weights : (n, 3) float32, barycentric; rows sum to one.
    spacing : (n,) millimetres from one point to the next: finer detail cannot be shown.
    """

    corners: Int[np.ndarray, "n 3"]
    weights: Float[np.ndarray, "n 3"]
    spacing: Float[np.ndarray, " n"]

    def of(self, values: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "n d"]:
        """Return per-vertex values at the points, float32."""
        count = len(self.corners)
        indices, starts = (
            self.corners.astype(np.int32).ravel(),
            np.arange(0, 3 * count + 1, 3, dtype=np.int32),
        )
        matrix = sparse.csr_array((self.weights.ravel(), indices, starts), shape=(count, len(values)))
        found: np.ndarray = matrix @ np.ascontiguousarray(values, np.float32)
        return found

    def at(self, index: Int[np.ndarray, " m"]) -> Sites:
        """Return some of the points."""
        return Sites(self.corners[index], self.weights[index], self.spacing[index])


@dataclass(frozen=True, eq=False)
class Atlas:
    """A texture's texels.

    Attributes
    ----------
    size : pixels of its side.
    texels : (n,) which pixels of the picture, row by row from the top, show the surface.
    sites : what they show.
    """

    size: int
    texels: Int[np.ndarray, " n"]
    sites: Sites

    def picture(self, values: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "s s d"]:
        """Return values of the texels as a picture, zero where none is."""
        picture = np.zeros((self.size * self.size, values.shape[1]), values.dtype)
        picture[self.texels] = values
        return picture.reshape(self.size, self.size, -1)


def texel_atlas(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    uv: Float[np.ndarray, "f 3 2"],
    size: int,
    *,
    depth: Float[np.ndarray, " v"] | None = None,
) -> Atlas:
    """Rasterize a mesh in its texture.

    Parameters
    ----------
    vertices, faces : (v, 3) millimetres: they say how far apart texels lie.
    uv : (f, 3, 2) texture coordinates of each corner, v up.
    size : of the picture, pixels.
    depth : (v,) where charts lie over each other, the least depth is shown; the lower face if None.
    """
    corners = uv.reshape(-1, 2).astype(np.float64)
    z = np.zeros(len(corners)) if depth is None else _unit(depth)[faces].reshape(-1)
    clip = np.column_stack([2.0 * corners[:, 0] - 1.0, 1.0 - 2.0 * corners[:, 1], z, np.ones(len(corners))])
    seen = rasterize(clip, np.arange(len(corners), dtype=np.int32).reshape(-1, 3), size, size)
    texels = np.flatnonzero(seen.face_index >= 0)
    shown = seen.face_index.reshape(-1)[texels]
    weights = seen.barycentrics.reshape(-1, 3)[texels]
    spacing = _texel_spacing(vertices, faces, uv, size).astype(np.float32)
    return Atlas(size, texels, Sites(faces[shown], weights, spacing[shown]))


def vertex_sites(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Sites:
    """Return a mesh's vertices as points that get a colour."""
    count = len(vertices)
    ends = unique_edges(faces)
    lengths = np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1)
    total = np.bincount(ends.ravel(), np.repeat(lengths, 2), count)
    spacing = total / np.maximum(np.bincount(ends.ravel(), minlength=count), 1)
    corners = np.repeat(np.arange(count, dtype=faces.dtype)[:, None], 3, axis=1)
    weights = np.tile(np.array([1.0, 0.0, 0.0], np.float32), (count, 1))
    return Sites(corners, weights, spacing.astype(np.float32))


def usable_uv(uv: Float[np.ndarray, "f 3 2"] | None) -> bool:
    """Return whether texture coordinates are there and lie within one picture."""
    return uv is not None and bool(uv.min() > -_SLACK) and bool(uv.max() < 1.0 + _SLACK)


def cylinder_uv(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "f 3 2"], Float[np.ndarray, " v"]]:
    """Unroll a head around its y axis, the seam at the back.

    Height and turn keep their proportions at the face. Where layers lie over each other, such as the mouth's
    inside behind the lips, the outer one is to be shown: they share texels.

    Parameters
    ----------
    vertices, faces : head frame: y up, z out of the face.

    Returns
    -------
    uv : (f, 3, 2) float32, v up.
    depth : (v,) for `texel_atlas`: less is farther out.
    """
    axis = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    outward = vertices[:, [0, 2]] - axis[[0, 2]]
    radius = np.linalg.norm(outward, axis=1)
    usual = float(np.percentile(radius, 90.0))
    flat = np.stack([usual * _turns(outward[faces], 0.1 * usual), vertices[:, 1][faces] - axis[1]], axis=2)
    scale = (0.5 - _EDGE) / float(np.abs(flat).max())
    return (0.5 + scale * flat).astype(np.float32), -radius


def _turns(outward: Float[np.ndarray, "f 3 2"], least: float) -> Float[np.ndarray, "f 3"]:
    """Return how far corners are turned from the front, radians, so that no triangle spans the seam.

    Corners nearer to the axis than `least` have no direction of their own and take their triangle's.
    """
    middle = outward.mean(axis=1)
    turn = np.arctan2(middle[:, 0], middle[:, 1])
    away = np.arctan2(outward[..., 0], outward[..., 1]) - turn[:, None]
    away -= 2.0 * np.pi * np.rint(away / (2.0 * np.pi))
    away[np.linalg.norm(outward, axis=2) < least] = 0.0
    return turn[:, None] + away


def _texel_spacing(
    vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, size: int
) -> Float[np.ndarray, " f"]:
    """Return the millimetres that a texel spans on each triangle."""
    a, b = (uv[:, k].astype(np.float64) - uv[:, 0] for k in (1, 2))
    flat = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) * size * size
    return np.sqrt(face_areas(vertices, faces) / np.maximum(flat, 1e-6))


def _unit(values: np.ndarray) -> np.ndarray:
    """Return values brought into -0.9..0.9, in their order."""
    low, high = float(values.min()), float(values.max())
    return 1.8 * (values - low) / max(high - low, 1e-12) - 0.9
