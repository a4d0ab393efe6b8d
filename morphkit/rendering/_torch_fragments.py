"""Which triangle each pixel sees, by torch operations on whole lists.

The algebra is that of `morphkit.geometry._raster_kernels`: homogeneous edge functions, no polygon clipping.
The lists grow finer step by step, so that the work is proportional to what is covered: triangles whose box
holds a pixel centre, their rows, the columns between the edges in each row. The nearest fragment wins by
`scatter_reduce`, whose minimum doesn't depend on the order in which a device works.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from morphkit.rendering._torch_lists import centres, edge_lines, exact_dtype, expand, pick

EMPTY = torch.iinfo(torch.int64).max
_ROUNDING = 8.0  # roundings that an edge's value suffers, generously; widens spans, never coverage


class Scene(NamedTuple):
    """Triangles of several images: image i shows `counts[i]` faces from `first[i]` on.

    Vertices are those of all images in one list, (4, n); those of image i start at `base[i]`.
    """

    vertices: Tensor
    faces: Tensor
    first: Tensor
    counts: Tensor
    base: Tensor


class _Triangles(NamedTuple):
    """Triangles that may cover a pixel centre.

    planes : (5, 3, n): a, b, c of three edges, a x + b y + c >= 0 inside; from which value on (zero if a
        centre exactly on the edge is this triangle's, else just above); and z/w's own a, b, c.
    place : (6, n): image, face, first and last column, first and last row.
    """

    planes: Tensor
    place: Tensor


class _Rows(NamedTuple):
    """Rows of triangles: first (n,) and number of columns (n,) to look at, and what is needed there.

    lines : (4, 2, n): of the three edges, and of z/w, what a column's x is multiplied by, and what is added.
    threshold : (3, n) as in `_Triangles`.
    place : (2, n): face, and the number of the row's first pixel.
    """

    first: Tensor
    columns: Tensor
    lines: Tensor
    threshold: Tensor
    place: Tensor


class _Frame(NamedTuple):
    """Size of the picture, NDC of its columns and rows, and by how many pixels rounding is allowed for."""

    height: int
    width: int
    x: Tensor
    y: Tensor
    reach: float


def make_scene(vertices_clip: Tensor, faces: Tensor, ranges: Tensor | None) -> Scene:
    """Return the scene of instanced vertices (batch, v, 4), or of (v, 4) with `ranges`."""
    device = faces.device
    flat = vertices_clip.detach().reshape(-1, 4).to(exact_dtype(device))
    if ranges is None:
        base = torch.arange(len(vertices_clip), device=device) * vertices_clip.shape[1]
        first, counts = torch.zeros_like(base), torch.full_like(base, len(faces))
    else:
        first, counts = ranges.to(device, torch.long).unbind(1)
        base = torch.zeros_like(first)
    return Scene(flat.t().contiguous(), faces.t().contiguous(), first, counts, base)


def draw(scene: Scene, height: int, width: int, dtype: torch.dtype, limit: int) -> tuple[Tensor, Tensor]:
    """Return depth of `dtype` (inf where empty) and face (`EMPTY` where there is none) of every pixel."""
    device, exact = scene.faces.device, scene.vertices.dtype
    pixels = len(scene.counts) * height * width
    depth = torch.full((pixels,), torch.inf, dtype=dtype, device=device)
    face = torch.full((pixels,), EMPTY, device=device)
    x, y = (centres(size, exact, device) for size in (width, height))
    frame = _Frame(height, width, x, y, 1e-6 if exact == torch.float64 else 1e-2)
    projected = _project(scene, frame)
    for image, number in expand(scene.counts, limit):
        triangles = _set_up(scene, projected, image, pick(scene.first, image) + number, frame)
        for rows in _rows(triangles, frame, limit):
            for fragment in _fragments(rows, frame, dtype, limit):
                _keep_nearest(depth, face, *fragment)
    return depth, face


def _project(scene: Scene, frame: _Frame) -> tuple[Tensor, Tensor]:
    """Return column and row of all vertices, pixel centres at integers; meaningless where w <= 0."""
    x, y, _, w = scene.vertices
    return (x / w + 1) * (0.5 * frame.width) - 0.5, (y / w + 1) * (0.5 * frame.height) - 0.5


def _set_up(
    scene: Scene, projected: tuple[Tensor, Tensor], image: Tensor, face: Tensor, frame: _Frame
) -> _Triangles:
    corners = pick(scene.faces, face) + pick(scene.base, image)
    box, seen = _boxes(projected, (scene.vertices[3] > 0).take(corners), corners, frame)
    kept = seen.nonzero()[:, 0]
    x, y, z, w = (part.take(pick(corners, kept)) for part in scene.vertices)
    lines = edge_lines(torch.stack([x, y, w]))
    determinant = lines[0, 0] * x[0] + lines[1, 0] * y[0] + lines[2, 0] * w[0]
    lines = lines * determinant.sign()
    weighted = lines * (z * (1 / determinant.abs()))
    depth = weighted[:, 0] + weighted[:, 1] + weighted[:, 2]
    place = torch.stack([image.take(kept), face.take(kept), *(part.take(kept).long() for part in box)])
    unusable = (determinant == 0) | ~determinant.isfinite()
    place[5] = torch.where(unusable, place[4] - 1, place[5])  # no row at all
    return _Triangles(torch.cat([lines, _thresholds(lines)[None], depth[None]]), place)


def _thresholds(lines: Tensor) -> Tensor:
    """Return from which value on a pixel is inside: of both sides of an edge, exactly one owns it."""
    a, b, c = lines
    owns = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
    return torch.zeros_like(a).masked_fill(~owns, torch.finfo(a.dtype).tiny)


def _boxes(
    projected: tuple[Tensor, Tensor], in_front: Tensor, corners: Tensor, frame: _Frame
) -> tuple[list[Tensor], Tensor]:
    """Return first and last column, first and last row, and whether there is any pixel centre between.

    A triangle that crosses w = 0 reaches to infinity: its box is the whole picture, its rows' spans are
    exact all the same.
    """
    crosses = ~in_front.all(0)
    seen = in_front.any(0)
    box: list[Tensor] = []
    for axis, size in zip(projected, (frame.width, frame.height), strict=True):
        low, high = axis.take(corners).aminmax(dim=0)
        first = (low.clamp(min=0) - frame.reach).ceil().masked_fill(crosses, 0)
        last = (high.clamp(max=size - 1) + frame.reach).floor().masked_fill(crosses, size - 1)
        seen = seen & (first <= last)  # false for NaN
        box += [first, last]
    return box, seen


def _rows(triangles: _Triangles, frame: _Frame, limit: int) -> Iterator[_Rows]:
    """Yield the rows of the triangles' boxes, with the columns that lie between their edges."""
    for triangle, number in expand(triangles.place[5] - triangles.place[4] + 1, limit):
        planes, place = pick(triangles.planes, triangle), pick(triangles.place, triangle)
        image, face, first_column, last_column, first_row, _ = place
        row = first_row + number
        y = frame.y.take(row)
        a, slope, c = planes[0], planes[1] * y, planes[2]
        offset = slope + c
        slack = _ROUNDING * torch.finfo(a.dtype).eps * (a.abs() + slope.abs() + c.abs())
        column = ((-offset - slack) / a + 1) * (0.5 * frame.width) - 0.5
        low = (column - frame.reach).masked_fill(a <= 0, -1).nan_to_num().amax(0).clamp(0, frame.width)
        high = (column + frame.reach).masked_fill(a >= 0, frame.width).nan_to_num().amin(0)
        first = torch.maximum(low.ceil().long(), first_column)
        last = torch.minimum(high.clamp(-1, frame.width - 1).floor().long(), last_column)
        empty = ((a == 0) & (offset < 0)).any(0)
        count = (last - first + 1).clamp(min=0).masked_fill(empty, 0)
        slopes = torch.cat([a, planes[4, :1]])
        offsets = torch.cat([offset, (planes[4, 1] * y + planes[4, 2])[None]])
        pixel = (image * frame.height + row) * frame.width
        lines = torch.stack([slopes, offsets], dim=1)
        yield _Rows(first, count, lines, planes[3], torch.stack([face, pixel]))


def _fragments(
    rows: _Rows, frame: _Frame, dtype: torch.dtype, limit: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (pixel, z/w, face) of the covered pixel centres between the near and the far plane."""
    for owner, number in expand(rows.columns, limit):
        column = pick(rows.first, owner) + number
        lines = pick(rows.lines, owner)
        values = lines[:, 0] * frame.x.take(column) + lines[:, 1]
        depth = values[3].to(dtype)
        inside = (values[:3] >= pick(rows.threshold, owner)).all(0)
        kept = (inside & (depth.abs() <= 1)).nonzero()[:, 0]
        face, row_start = pick(rows.place, pick(owner, kept))
        yield row_start + pick(column, kept), pick(depth, kept), face


def _keep_nearest(nearest: Tensor, face: Tensor, pixel: Tensor, depth: Tensor, candidate: Tensor) -> None:
    """Let fragments into the picture: the nearer wins, at equal depth the lower face."""
    before = pick(nearest, pixel)
    nearest.scatter_reduce_(0, pixel, depth, "amin")
    after = pick(nearest, pixel)
    face.index_fill_(0, pixel[after < before], EMPTY)
    wins = (depth == after).nonzero()[:, 0]
    face.scatter_reduce_(0, pick(pixel, wins), pick(candidate, wins), "amin")
