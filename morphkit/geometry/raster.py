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

LARGEST_SIDE = 32767  # pixels: bounding boxes are kept in 16 bits
_MOST_FACES = 2**24  # what float32 counts without gaps


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
    rast = rasterize_batch(np.ascontiguousarray(vertices_clip, np.float64)[None], faces, height, width)[0]
    face_index = rast[..., 3].astype(np.int32) - 1
    drawn = face_index >= 0
    barycentrics = np.empty((height, width, 3), np.float32)
    barycentrics[..., :2] = rast[..., :2]
    barycentrics[..., 2] = np.where(drawn, 1 - rast[..., 0] - rast[..., 1], 0)
    depth = np.where(drawn, rast[..., 2], np.inf).astype(np.float32)
    return RasterBuffer(face_index, barycentrics, depth)


def rasterize_batch(
    vertices_clip: Float[np.ndarray, "sets v 4"],
    faces: Int[np.ndarray, "f 3"],
    height: int,
    width: int,
    ranges: Int[np.ndarray, "b 2"] | None = None,
) -> Float[np.ndarray, "b h w 4"]:
    """Rasterize a batch of pictures, in nvdiffrast's layout and in the precision of the vertices.

    Parameters
    ----------
    vertices_clip : one set a picture, all with the same faces; or, with `ranges`, one set for all.
    ranges : picture i shows ``ranges[i, 1]`` faces from ``ranges[i, 0]`` on; all of them if None.

    Returns
    -------
    rast : (b, h, w, 4) (u, v, z/w, face index + 1), zero where empty; u and v are the weights of a face's
        first and second corner.

    Raises
    ------
    ValueError
        If a shape, an index, a range or the size is wrong.
    """
    _check_size(height, width)
    _check_faces(faces, vertices_clip)
    _check_ranges(ranges, vertices_clip, faces)
    parts = picture_parts(vertices_clip, faces, ranges)
    rast = np.empty((len(parts), height, width, 4), vertices_clip.dtype)
    threads = thread_count()
    if len(parts) >= threads:
        run_all(_draw_picture, [(part, rast[i], 1) for i, part in enumerate(parts)])
    else:
        for i, part in enumerate(parts):
            _draw_picture(part, rast[i], threads)
    return rast


@dataclass(frozen=True, eq=False)
class PicturePart:
    """What one picture of a batch shows.

    Attributes
    ----------
    vertices : (v, 4) the clip coordinates that its faces use.
    faces : (f, 3) int32, into `vertices`.
    first_vertex, first_face : where both begin in what all pictures share.
    """

    vertices: Float[np.ndarray, "v 4"]
    faces: Int[np.ndarray, "f 3"]
    first_vertex: int
    first_face: int


def picture_parts(
    vertices_clip: Float[np.ndarray, "sets v 4"],
    faces: Int[np.ndarray, "f 3"],
    ranges: Int[np.ndarray, "b 2"] | None,
) -> list[PicturePart]:
    """Return what each picture shows; with `ranges`, no more vertices than lie between those of its faces.

    The arguments are those that `rasterize_batch` has accepted.
    """
    faces, sets = np.ascontiguousarray(faces, np.int32), np.ascontiguousarray(vertices_clip)
    if ranges is None:
        return [PicturePart(vertices, faces, 0, 0) for vertices in sets]
    return [_part(sets[0], faces, int(first), int(count)) for first, count in ranges]


def _part(vertices: Any, faces: Any, first: int, count: int) -> PicturePart:
    chosen = faces[first : first + count]
    if not count:
        return PicturePart(vertices[:0], chosen, 0, first)
    low, high = int(chosen.min()), int(chosen.max()) + 1
    return PicturePart(vertices[low:high], chosen - np.int32(low), low, first)


def _draw_picture(part: PicturePart, rast: Any, threads: int) -> None:
    """Bound the faces in blocks, sort them into bands of rows, draw the bands: on all threads."""
    vertices, faces = part.vertices, part.faces
    height, width = rast.shape[:2]
    pixels = np.empty((len(vertices), 3), np.float32)
    kernels.project_vertices(vertices, height, width, pixels)

    shift = _band_shift(height, threads)
    bands = -(-height // (1 << shift))
    blocks = split_range(len(faces), threads)
    boxes = np.empty((len(faces), 4), np.int16)
    counts = np.zeros((len(blocks), bands), np.int64)
    depths = np.zeros((len(blocks), 2, 2))
    shared = vertices, pixels, faces, height, width
    run_all(
        kernels.bound_faces,
        [(*shared, *block, shift, boxes, counts[i], depths[i]) for i, block in enumerate(blocks)],
    )
    ends = counts.T.cumsum().reshape(bands, -1).T
    starts = ends - counts
    items = np.empty(counts.sum(), np.int32)
    for block, start in zip(blocks, starts, strict=True):
        kernels.fill_bands(shift, boxes, *block, start.copy(), items)
    totals = depths.sum(axis=0)
    mean_depths = totals[:, 0] / np.maximum(totals[:, 1], 1)
    clockwise_first = bool(mean_depths[1] < mean_depths[0])
    mesh = vertices, pixels, faces, part.first_face
    drawn = shift, *mesh, boxes, items, starts[0], ends[-1], clockwise_first
    # Two shares for a thread: the second evens out what the first left uneven.
    step = 1 if threads == 1 else min(2 * threads, bands)
    run_all(
        kernels.draw_bands,
        [(*drawn, first, step, _centres(width), _centres(height), rast) for first in range(step)],
    )


def _band_shift(height: int, threads: int) -> int:
    """Return the size of bands, as a power of two of rows: large ones share less, but must go around."""
    return next(shift for shift in (6, 5, 4, 3) if shift == 3 or height >> shift >= 3 * threads)


def _centres(size: int) -> Float[np.ndarray, " n"]:
    """Return the NDC of pixel centres along an axis."""
    return (2 * np.arange(size) + 1) / size - 1.0


def _check_size(height: int, width: int) -> None:
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise ValueError(f"height and width must be 1..{LARGEST_SIDE}, got {height} and {width}")


def _check_faces(faces: Int[np.ndarray, "f 3"], vertices: Float[np.ndarray, "sets v 4"]) -> None:
    count = vertices.shape[1]
    if len(faces) and (faces.min() < 0 or faces.max() >= count):
        raise ValueError(f"faces must index {count} vertices, got {faces.min()}..{faces.max()}")
    if vertices.dtype == np.float32 and len(faces) >= _MOST_FACES:
        raise ValueError(f"in float32 faces must number fewer than {_MOST_FACES}, got {len(faces)}")


def _check_ranges(
    ranges: Int[np.ndarray, "b 2"] | None,
    vertices: Float[np.ndarray, "sets v 4"],
    faces: Int[np.ndarray, "f 3"],
) -> None:
    if ranges is None:
        return
    if len(vertices) != 1:
        raise ValueError(f"with ranges, vertices_clip must be one set, got {len(vertices)}")
    if (ranges < 0).any() or (ranges.sum(axis=1) > len(faces)).any():
        raise ValueError(f"ranges must be (first, count) within {len(faces)} faces, got {ranges.tolist()}")
