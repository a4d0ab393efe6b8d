"""Rasterization by torch operations: which triangle is seen, where on it, and the gradient of where."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.rendering._scene_arguments import check_scene
from morphkit.rendering._torch_fragments import EMPTY, draw, make_scene
from morphkit.rendering._torch_lists import (
    around,
    centres,
    cross,
    edge_lines,
    exact_dtype,
    pick,
    split_pixels,
)


def rasterize(
    vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
    faces: Int[Tensor, "f 3"],
    resolution: tuple[int, int],
    ranges: Int[Tensor, "batch 2"] | None,
    derivatives: bool,
    limit: int,
) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"] | None]:
    """Return (u, v, z/w, face index + 1) and, if asked for, (du/dX, du/dY, dv/dX, dv/dY).

    Raises
    ------
    ValueError
        If shapes, types, devices, indices or ranges don't fit together.
    """
    check_scene(vertices_clip, faces, resolution, ranges)
    arguments = vertices_clip, faces.to(torch.long), ranges, resolution, derivatives, limit
    outputs = _Rasterize.apply(*arguments)  # type: ignore[no-untyped-call]
    return cast("tuple[Tensor, Tensor | None]", outputs)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        vertices_clip: Tensor,
        faces: Tensor,
        ranges: Tensor | None,
        resolution: tuple[int, int],
        derivatives: bool,
        limit: int,
    ) -> tuple[Tensor, Tensor | None]:
        height, width = resolution
        shape = len(vertices_clip if ranges is None else ranges), height, width, 4
        depth, face = draw(
            make_scene(vertices_clip, faces, ranges), height, width, vertices_clip.dtype, limit
        )
        rast = depth.new_zeros(len(depth), 4)
        by_pixel = torch.zeros_like(rast) if derivatives else None
        for pixel in torch.split((face != EMPTY).nonzero()[:, 0], limit):
            seen = pick(face, pixel)
            point = _Points(vertices_clip, faces, seen, pixel, height, width)
            u, v = point.weights().to(rast.dtype)
            values = torch.stack([u, v, pick(depth, pixel), (seen + 1).to(rast.dtype)], dim=1)
            rast.index_copy_(0, pixel, values)
            if by_pixel is not None:
                by_pixel.index_copy_(0, pixel, point.derivatives().t().to(rast.dtype))
        rast = rast.reshape(shape)
        ctx.limit = limit
        ctx.save_for_backward(vertices_clip, faces, face)
        ctx.set_materialize_grads(False)
        return rast, None if by_pixel is None else by_pixel.reshape(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_by_pixel: Tensor | None) -> tuple[Tensor | None, ...]:
        vertices_clip, faces, face = ctx.saved_tensors
        if grad is None and grad_by_pixel is None:
            return (None,) * 6
        grads = [torch.zeros_like(cast(Tensor, grad_by_pixel)) if grad is None else grad]
        grads += [] if grad_by_pixel is None else [grad_by_pixel]
        _, height, width, _ = grads[0].shape
        dtype = exact_dtype(faces.device)
        grad_vertices = torch.zeros(vertices_clip.numel(), dtype=dtype, device=faces.device)
        for pixel in torch.split((face != EMPTY).nonzero()[:, 0], ctx.limit):
            point = _Points(vertices_clip, faces, pick(face, pixel), pixel, height, width)
            parts = [part.reshape(-1, 4).index_select(0, pixel).t().to(dtype) for part in grads]
            index, values = point.backward(*parts)
            grad_vertices.scatter_add_(0, index.reshape(-1), values.reshape(-1))
        return grad_vertices.reshape(vertices_clip.shape).to(vertices_clip.dtype), *[None] * 5


class _Points:
    """Seen points, n pixel centres on a triangle each: u = e0 / s, v = e1 / s with s = e0 + e1 + e2.

    e_i = a_i X + b_i Y + c_i is the value of the edge opposite corner i at the pixel's centre (X, Y).
    """

    def __init__(
        self, vertices_clip: Tensor, faces: Tensor, face: Tensor, pixel: Tensor, height: int, width: int
    ) -> None:
        dtype = exact_dtype(faces.device)
        image, row, column = split_pixels(pixel, height, width)
        self._index = faces.index_select(0, face).t()
        if vertices_clip.ndim == 3:
            self._index = self._index + image * vertices_clip.shape[1]
        vertices = vertices_clip.detach().reshape(-1, 4).t()[[0, 1, 3]].to(dtype)
        self._corners = torch.stack([part.take(self._index) for part in vertices])
        self._lines = edge_lines(self._corners)
        x, y = centres(width, dtype, faces.device), centres(height, dtype, faces.device)
        self._centre = x.take(column), y.take(row)
        self._scale = torch.tensor([2 / width, 2 / height], dtype=dtype, device=faces.device)[:, None]
        a, b, c = self._lines
        edge = a * self._centre[0] + (b * self._centre[1] + c)
        self._total = edge[0] + edge[1] + edge[2]
        self._weights = edge[:2] * (1 / self._total)

    def weights(self) -> Tensor:
        """Return u and v: (2, n)."""
        return self._weights

    def derivatives(self) -> Tensor:
        """Return du/dX, du/dY, dv/dX, dv/dY by pixels: (4, n)."""
        slopes = self._lines[:2]
        along = slopes[:, :2] - slopes.sum(1, keepdim=True) * self._weights
        return (along * (self._scale / self._total)[:, None]).transpose(0, 1).flatten(0, 1)

    def backward(self, grad: Tensor, grad_by_pixel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return where in the flat vertices gradients go, and these, (3, 3, n) each.

        They come from those of (u, v, z/w, id), of which the last two pass nothing, and of the derivatives.
        """
        grad_weights, grad_total = grad[:2], torch.zeros_like(self._total)
        grad_slopes = torch.zeros_like(self._lines[:2])
        if grad_by_pixel is not None:
            # du_i/dX = (a_i - u_i sum(a)) scale / s, and so for Y and b
            scaled = grad_by_pixel.reshape(2, 2, -1).transpose(0, 1) * (self._scale / self._total)[:, None]
            grad_slopes[:, :2] = scaled
            grad_slopes -= (scaled * self._weights).sum(1, keepdim=True)
            grad_weights = grad_weights - (scaled * self._lines[:2].sum(1, keepdim=True)).sum(0)
            grad_total = grad_total - (grad_by_pixel * self.derivatives()).sum(0) / self._total
        grad_total = grad_total - (grad_weights * self._weights).sum(0) / self._total
        grad_edges = grad_total.repeat(3, 1)
        grad_edges[:2] += grad_weights / self._total
        return self._through_edges(grad_edges, grad_slopes)

    def _through_edges(self, grad_edges: Tensor, grad_slopes: Tensor) -> tuple[Tensor, Tensor]:
        """Return what gradients of the edges' values, and of their a and b, are for the corners."""
        x, y = self._centre
        grad_a, grad_b = grad_slopes[0] + grad_edges * x, grad_slopes[1] + grad_edges * y
        grad_lines = torch.stack([grad_a, grad_b, grad_edges])
        next_corner, last_corner = around(self._corners)
        next_line, last_line = around(grad_lines)
        grad_corners = cross(next_corner, last_line) + cross(next_line, last_corner)
        components = torch.tensor([0, 1, 3], device=grad_lines.device)[:, None, None]
        return self._index * 4 + components, grad_corners
