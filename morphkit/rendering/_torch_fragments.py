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
    lines: Tensor  # (3, 3, n): a, b, c of three edges each, a x + b y + c >= 0 inside
    threshold: Tensor  # (3, n): zero if a centre exactly on the edge is this triangle's, else just above
    depth: Tensor  # (3, n): z/w = depth[0] x + depth[1] y + depth[2]
    image: Tensor
    face: Tensor
    box: tuple[Tensor, ...]  # first and last column, first and last row


class _Rows(NamedTuple):
    triangle: Tensor
    row: Tensor
    offset: Tensor  # (3, n): b y + c
    depth: Tensor  # (n,): its part of z/w
    first: Tensor
    columns: Tensor  # how many from `first` on


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
    device, pixels = scene.faces.device, len(scene.counts) * height * width
    depth = torch.full((pixels,), torch.inf, dtype=dtype, device=device)
    face = torch.full((pixels,), EMPTY, device=device)
    boxes = _project(scene, height, width)
    for image, number in expand(scene.counts, limit):
        triangles = _set_up(scene, boxes, image, scene.first[image] + number, height, width)
        for rows in _rows(triangles, height, width, limit):
            for fragment in _fragments(triangles, rows, height, width, dtype, limit):
                _keep_nearest(depth, face, *fragment)
    return depth, face


def _project(scene: Scene, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return column and row of all vertices, pixel centres at integers; meaningless where w <= 0."""
    x, y, _, w = scene.vertices
    return (x / w + 1) * (0.5 * width) - 0.5, (y / w + 1) * (0.5 * height) - 0.5


def _set_up(
    scene: Scene, projected: tuple[Tensor, Tensor], image: Tensor, face: Tensor, height: int, width: int
) -> _Triangles:
    corners = pick(scene.faces, face) + scene.base[image]
    box, seen = _boxes(projected, (scene.vertices[3] > 0).take(corners), corners, height, width)
    kept = seen.nonzero()[:, 0]
    corners, image, face, box = pick(corners, kept), image[kept], face[kept], tuple(b[kept] for b in box)
    x, y, z, w = (part.take(corners) for part in scene.vertices)
    a, b, c = lines = edge_lines(torch.stack([x, y, w]))
    determinant = a[0] * x[0] + b[0] * y[0] + c[0] * w[0]
    sign = determinant.sign()
    a, b, c = lines = lines * sign
    usable = (sign != 0) & determinant.isfinite()
    box = (box[0], box[1], box[2], torch.where(usable, box[3], box[2] - 1))
    owns = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
    threshold = torch.zeros_like(a).masked_fill(~owns, torch.finfo(a.dtype).tiny)
    weighted = lines * (z * (1 / determinant.abs()))
    depth = weighted[:, 0] + weighted[:, 1] + weighted[:, 2]
    return _Triangles(lines, threshold, depth, image, face, tuple(b.long() for b in box))


def _boxes(
    projected: tuple[Tensor, Tensor], in_front: Tensor, corners: Tensor, height: int, width: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return first and last column, first and last row, and whether there is any pixel centre between.

    A triangle that crosses w = 0 reaches to infinity: its box is the whole picture, its rows' spans are
    exact all the same.
    """
    crosses = ~in_front.all(0)
    seen = in_front.any(0)
    reach = _reach(projected[0].dtype)
    box: list[Tensor] = []
    for axis, size in zip(projected, (width, height), strict=True):
        low, high = axis.take(corners).aminmax(dim=0)
        first = torch.where(crosses, 0.0, (low.clamp(min=0) - reach).ceil())
        last = torch.where(crosses, size - 1.0, (high.clamp(max=size - 1.0) + reach).floor())
        seen = seen & (first <= last)  # false for NaN
        box += [first, last]
    return tuple(box), seen


def _rows(triangles: _Triangles, height: int, width: int, limit: int) -> Iterator[_Rows]:
    """Yield the rows of the triangles' boxes, with the columns that lie between their edges."""
    first_column, last_column, first_row, last_row = triangles.box
    reach = _reach(triangles.depth.dtype)
    for triangle, number in expand(last_row - first_row + 1, limit):
        row = first_row[triangle] + number
        a, b, c = pick(triangles.lines, triangle)
        y = centres(row, height, a.dtype)
        slope = b * y
        offset = slope + c
        slack = _ROUNDING * torch.finfo(a.dtype).eps * (a.abs() + slope.abs() + c.abs())
        column = ((-offset - slack) / a + 1) * (0.5 * width) - 0.5
        low = torch.where(a > 0, column - reach, -1.0).nan_to_num().amax(0).clamp(0, width)
        high = torch.where(a < 0, column + reach, 1.0 * width).nan_to_num().amin(0).clamp(-1, width - 1)
        first = torch.maximum(low.ceil().long(), first_column[triangle])
        last = torch.minimum(high.floor().long(), last_column[triangle])
        empty = ((a == 0) & (offset < 0)).any(0)
        count = torch.where(empty, 0, (last - first + 1).clamp(min=0))
        yield _Rows(
            triangle,
            row,
            offset,
            triangles.depth[1, triangle] * y + triangles.depth[2, triangle],
            first,
            count,
        )


def _fragments(
    triangles: _Triangles, rows: _Rows, height: int, width: int, dtype: torch.dtype, limit: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (pixel, z/w, face) of the covered pixel centres between the near and the far plane."""
    for owner, number in expand(rows.columns, limit):
        triangle, column = rows.triangle[owner], rows.first[owner] + number
        x = centres(column, width, triangles.depth.dtype)
        edges = pick(triangles.lines[0], triangle) * x + pick(rows.offset, owner)
        depth = (triangles.depth[0, triangle] * x + rows.depth[owner]).to(dtype)
        inside = (edges >= pick(triangles.threshold, triangle)).all(0)
        kept = (inside & (depth.abs() <= 1)).nonzero()[:, 0]
        triangle = triangle[kept]
        pixel = (triangles.image[triangle] * height + rows.row[owner[kept]]) * width + column[kept]
        yield pixel, depth[kept], triangles.face[triangle]


def _keep_nearest(nearest: Tensor, face: Tensor, pixel: Tensor, depth: Tensor, candidate: Tensor) -> None:
    """Let fragments into the picture: the nearer wins, at equal depth the lower face."""
    before = nearest[pixel]
    nearest.scatter_reduce_(0, pixel, depth, "amin")
    after = nearest[pixel]
    face[pixel[after < before]] = EMPTY
    wins = depth == after
    face.scatter_reduce_(0, pixel[wins], candidate[wins], "amin")


def _reach(dtype: torch.dtype) -> float:
    """Return by how many pixels boxes and spans are widened against rounding; coverage is tested exactly."""
    return 1e-6 if dtype == torch.float64 else 1e-2
