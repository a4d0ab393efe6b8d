"""A z-buffer in numpy: which triangle each pixel sees, where on it, and how far away.

The layout is nvdiffrast's: **row 0 is the bottom** of the picture, the centre of pixel (row j, column i)
lies at NDC (2 (i + 0.5) / width - 1, 2 (j + 0.5) / height - 1), a larger z/w is farther, and nothing is
culled by facing.
`morphkit.geometry.views` turns it the right way up for eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from morphkit.geometry import _raster_kernels as kernels
from morphkit.geometry.parallel import run_all, split_range, thread_count

_BANDS_PER_THREAD = 6  # more bands balance the load, each costs a scan over all faces


@dataclass(frozen=True, eq=False)
class RasterBuffer:
    """What each pixel sees; row 0 is the bottom.

    Attributes
    ----------
    face_index : (h, w) int32, -1 where nothing was drawn.
    barycentrics : (h, w, 3) float32, perspective-correct weights of the face's corners; zero where empty.
    depth : (h, w) float32, z/w in -1..1; +inf where empty.
    """

    face_index: Int[np.ndarray, "h w"]
    barycentrics: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]


def rasterize(
    vertices_clip: Float[np.ndarray, "v 4"], faces: Int[np.ndarray, "f 3"], height: int, width: int
) -> RasterBuffer:
    """Rasterize triangles given in clip space.

    The result does not depend on the number of threads, bit for bit. A pixel centre exactly on an edge that
    two triangles share belongs to exactly one of them; equal depths go to the lower face index. Triangles
    that cross w = 0 or the near or far plane are cut there, per pixel. Degenerate and non-finite ones are
    skipped.

    Parameters
    ----------
    vertices_clip : (v, 4) homogeneous clip coordinates (x, y, z, w), y up.
    faces : (f, 3) vertex indices.
    height, width : size of the picture in pixels.

    Raises
    ------
    ValueError
        If a shape or an index is wrong.
    """
    rast, face_index = rasterize_batch(vertices_clip[None], faces, height, width)
    barycentrics = np.empty((height, width, 3), np.float32)
    barycentrics[..., :2] = rast[0, ..., :2]
    barycentrics[..., 2] = np.where(face_index[0] >= 0, 1 - rast[0, ..., 0] - rast[0, ..., 1], 0)
    depth = np.where(face_index[0] >= 0, rast[0, ..., 2], np.float32(np.inf))
    return RasterBuffer(face_index[0], barycentrics, depth)


def rasterize_batch(
    vertices_clip: Float[np.ndarray, "b v 4"],
    faces: Int[np.ndarray, "f 3"],
    height: int,
    width: int,
    dtype: type[np.floating[Any]] = np.float32,
) -> tuple[Float[np.ndarray, "b h w 4"], Int[np.ndarray, "b h w"]]:
    """Rasterize a batch of vertex sets with the same faces, in nvdiffrast's layout.

    Returns
    -------
    rast : (b, h, w, 4) of `dtype`: (u, v, z/w, face index + 1), zero where empty; u and v are the weights of
        a face's first and second corner.
    face_index : (b, h, w) int32, -1 where empty.

    Raises
    ------
    ValueError
        If a shape or an index is wrong.
    """
    faces = _checked_faces(faces, vertices_clip.shape[1])
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be positive, got {height} and {width}")
    batch = len(vertices_clip)
    vertices = np.ascontiguousarray(vertices_clip, np.float64)
    rast = np.empty((batch, height, width, 4), dtype)
    face_index = np.empty((batch, height, width), np.int32)
    if batch >= thread_count():
        run_all(_draw_image, [(vertices[i], faces, face_index[i], rast[i]) for i in range(batch)])
    else:
        for i in range(batch):
            _draw_image_in_bands(vertices[i], faces, face_index[i], rast[i])
    return rast, face_index


def _draw_image(vertices: Any, faces: Any, face_index: Any, rast: Any) -> None:
    height, width = face_index.shape
    pixels, bounds = _scratch(vertices, faces)
    kernels.project_vertices(vertices, height, width, pixels)
    kernels.bound_faces(vertices, pixels, faces, height, width, 0, len(faces), bounds)
    kernels.draw_rows(vertices, faces, bounds, 0, height, face_index, rast)


def _draw_image_in_bands(vertices: Any, faces: Any, face_index: Any, rast: Any) -> None:
    """Do the same with every thread on one image: bound the faces in blocks, then draw bands of rows."""
    height, width = face_index.shape
    pixels, bounds = _scratch(vertices, faces)
    kernels.project_vertices(vertices, height, width, pixels)
    blocks = split_range(len(faces), thread_count())
    run_all(
        kernels.bound_faces, [(vertices, pixels, faces, height, width, *block, bounds) for block in blocks]
    )
    bands = split_range(height, thread_count() * _BANDS_PER_THREAD)
    run_all(kernels.draw_rows, [(vertices, faces, bounds, *band, face_index, rast) for band in bands])


def _scratch(vertices: Any, faces: Any) -> tuple[Any, Any]:
    return np.empty((len(vertices), 2)), np.empty((len(faces), 4), np.int32)


def _checked_faces(faces: Int[np.ndarray, "f 3"], vertex_count: int) -> Int[np.ndarray, "f 3"]:
    if len(faces) and (faces.min() < 0 or faces.max() >= vertex_count):
        raise ValueError(f"faces must index {vertex_count} vertices, got {faces.min()}..{faces.max()}")
    return np.ascontiguousarray(faces, np.int32)
