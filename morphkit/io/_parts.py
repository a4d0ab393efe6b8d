"""What every mesh reader hands on, before it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class MeshParts:
    """Raw parts of a mesh, in the file's vertex order.

    Attributes
    ----------
    vertices : (v, 3) float64.
    faces : (f, 3) integers, unchecked.
    colors : (v, 3) sRGB codes, uint8 or float 0..1; NaN where unknown.
    uv : (f, 3, 2) float32, v up.
    texture : the picture, or its path relative to the mesh file.
    colors_are_linear : True where the format says so (glTF).
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    texture: np.ndarray | str | None = None
    colors_are_linear: bool = False


def triangulate(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cut polygons into fans of triangles.

    Parameters
    ----------
    rows : (f, n) array, or a list of arrays of any lengths: vertex indices of each polygon.

    Returns
    -------
    faces : (t, 3) vertex indices.
    corners : (t, 3) positions in the concatenated rows, to look up what is stored for each corner.
    """
    if isinstance(rows, np.ndarray):
        lengths = np.full(len(rows), rows.shape[1])
        flat = rows.reshape(-1)
    else:
        lengths = np.array([len(row) for row in rows], np.int64)
        flat = np.concatenate([np.asarray(row) for row in rows]) if len(rows) else np.zeros(0, np.int32)
    starts = np.cumsum(lengths) - lengths
    triangles = np.maximum(lengths - 2, 0)
    first = np.repeat(starts, triangles)
    step = np.arange(triangles.sum()) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    corners = np.stack([first, first + step + 1, first + step + 2], axis=1)
    return flat[corners].astype(np.int64), corners


def stack_pictures(
    uv: np.ndarray, used: np.ndarray, pictures: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Put several textures below one another on one sheet.

    Parameters
    ----------
    uv : (f, 3, 2) float32, v up; what lies outside 0..1 is wrapped.
    used : (f,) the picture of each face, -1 for none (such faces get a grey patch).
    pictures : (h, w, 3) uint8 each.

    Returns
    -------
    uv : (f, 3, 2) on the sheet.
    sheet : (h, w, 3) uint8.
    """
    tiles = [*pictures, np.full((4, 4, 3), 128, np.uint8)]
    height, width = sum(len(tile) for tile in tiles), max(tile.shape[1] for tile in tiles)
    sheet = np.zeros((height, width, 3), np.uint8)
    moved, top = uv.copy(), 0
    for index, tile in enumerate(tiles):
        h, w = tile.shape[:2]
        sheet[top : top + h, :w] = tile
        faces = used == (index if index < len(pictures) else -1)
        inside = np.where((uv[faces] < 0) | (uv[faces] > 1), uv[faces] % 1.0, uv[faces])
        moved[faces, :, 0] = inside[..., 0] * (w / width)
        moved[faces, :, 1] = 1.0 - (top + (1.0 - inside[..., 1]) * h) / height
        top += h
    return moved, sheet
