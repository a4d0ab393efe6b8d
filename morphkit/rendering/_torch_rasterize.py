"""Rasterization by torch operations: which triangle is seen, where on it, and the gradient of where."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.rendering._torch_fragments import EMPTY, draw, make_scene
from morphkit.rendering._torch_lists import LAST, NEXT, centres, cross, edge_lines, exact_dtype, split_pixels


def rasterize(
    vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
    faces: Int[Tensor, "f 3"],
    resolution: tuple[int, int],
    ranges: Int[Tensor, "batch 2"] | None,
    derivatives: bool,
    limit: int,
) -> Float[Tensor, "batch h w channels"]:
    """Return (u, v, z/w, face index + 1) and, if asked for, (du/dX, du/dY, dv/dX, dv/dY), side by side.

    Raises
    ------
    ValueError
        If shapes, indices or ranges don't fit together.
    """
    _check(vertices_clip, faces, resolution, ranges)
    triangles = faces.to(torch.long)
    arguments = vertices_clip, triangles, ranges, resolution, derivatives, limit
    return cast(Tensor, _Rasterize.apply(*arguments))  # type: ignore[no-untyped-call]


def _check(vertices_clip: Tensor, faces: Tensor, resolution: tuple[int, int], ranges: Tensor | None) -> None:
    expected = 3 if ranges is None else 2
    if vertices_clip.ndim != expected:
        shape = "(batch, v, 4)" if ranges is None else "(v, 4) with ranges"
        raise ValueError(f"vertices_clip must have shape {shape}, got {tuple(vertices_clip.shape)}")
    if min(resolution) < 1:
        raise ValueError(f"resolution must be positive, got {tuple(resolution)}")
    low, high = (int(i) for i in torch.stack(faces.aminmax()).tolist()) if faces.numel() else (0, -1)
    if low < 0 or high >= vertices_clip.shape[-2]:
        raise ValueError(f"faces must index {vertices_clip.shape[-2]} vertices, got {low}..{high}")
    if ranges is not None and bool(((ranges < 0).any(1) | (ranges.sum(1) > len(faces))).any()):
        raise ValueError(f"ranges must lie within {len(faces)} faces, got {ranges.tolist()}")


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
    ) -> Tensor:
        height, width = resolution
        batch = len(vertices_clip if ranges is None else ranges)
        depth, face = draw(
            make_scene(vertices_clip, faces, ranges), height, width, vertices_clip.dtype, limit
        )
        out = depth.new_zeros(batch * height * width, 8 if derivatives else 4)
        for pixel in torch.split((face != EMPTY).nonzero()[:, 0], limit):
            point = _Points(vertices_clip, faces, face[pixel], pixel, height, width)
            out[pixel] = torch.stack(
                [
                    *point.weights(),
                    depth[pixel],
                    face[pixel] + 1,
                    *(point.derivatives() if derivatives else ()),
                ],
                dim=1,
            ).to(out.dtype)
        out = out.reshape(batch, height, width, -1)
        ctx.limit = limit
        ctx.save_for_backward(vertices_clip, faces, out[..., 3].clone())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        vertices_clip, faces, ids = ctx.saved_tensors
        _, height, width = ids.shape
        grad = grad.reshape(-1, grad.shape[-1])
        grad_vertices = grad.new_zeros(vertices_clip.numel(), dtype=exact_dtype(grad.device))
        face = ids.reshape(-1).long() - 1
        for pixel in torch.split((face >= 0).nonzero()[:, 0], ctx.limit):
            point = _Points(vertices_clip, faces, face[pixel], pixel, height, width)
            index, values = point.backward(grad[pixel].t().to(grad_vertices.dtype))
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
        self._index = faces[face].t()
        if vertices_clip.ndim == 3:
            self._index = self._index + image * vertices_clip.shape[1]
        x, y, _, w = vertices_clip.detach().reshape(-1, 4)[self._index].to(dtype).unbind(-1)
        self._corners = torch.stack([x, y, w])
        self._lines = edge_lines(self._corners)
        self._centre = centres(column, width, dtype), centres(row, height, dtype)
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

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return where in the flat vertices gradients go, and these, (3, 3, n) each.

        grad is that of (u, v, z/w, id) and, if there are more than four rows, of the derivatives.
        """
        grad_weights, through_total = grad[:2], torch.zeros_like(self._total)
        grad_slopes = torch.zeros_like(self._lines[:2])
        if len(grad) > 4:
            # d = (slope_i - u_i sum(slopes)) scale / s
            by_axis = grad[4:].reshape(2, 2, -1).transpose(0, 1)
            scaled = by_axis * (self._scale / self._total)[:, None]
            slopes = self._lines[:2].sum(1)
            grad_slopes[:, :2] = scaled
            grad_slopes -= (scaled * self._weights).sum(1, keepdim=True)
            grad_weights = grad_weights - (scaled * slopes[:, None]).sum(0)
            through_total = through_total - (grad[4:] * self.derivatives()).sum(0) / self._total
        grad_edges = (
            (through_total - (grad_weights * self._weights).sum(0) / self._total).expand(3, -1).clone()
        )
        grad_edges[:2] += grad_weights / self._total
        x, y = self._centre
        grad_lines = torch.stack(
            [grad_edges * x + grad_slopes[0], grad_edges * y + grad_slopes[1], grad_edges]
        )
        p = self._corners
        grad_corners = cross(p[:, NEXT], grad_lines[:, LAST]) + cross(grad_lines[:, NEXT], p[:, LAST])
        components = torch.tensor([0, 1, 3], device=p.device)[:, None, None]
        return self._index * 4 + components, grad_corners
