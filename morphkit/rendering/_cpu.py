"""The rasterizer contract on a CPU: numba loops inside torch autograd functions, float32 or float64.

Results and gradients are the same, bit for bit, for any number of threads: forward passes write each pixel
once, backward passes run one image per thread.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.geometry.raster import rasterize_batch
from morphkit.rendering import _cpu_kernels as kernels


class CpuRasterizer:
    """The contract of `morphkit.rendering.rasterizer.Rasterizer` on CPU tensors in float32 or float64.

    Parameters
    ----------
    silhouette_steps : how many triangles `antialias` walks over between two pixel centres to find the
        silhouette edge. With 1 only the visible triangle's own edges count, as in nvdiffrast; more lets
        meshes whose triangles are smaller than a pixel feel their outline.
    """

    def __init__(self, silhouette_steps: int = 1000) -> None:
        self._steps = silhouette_steps
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel."""
        return cast(Tensor, _Rasterize.apply(vertices_clip, faces, *resolution))  # type: ignore[no-untyped-call]

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel.

        Raises
        ------
        ValueError
            If the attributes have neither one instance nor one per image.
        """
        if len(attributes) not in (1, len(rast)):
            raise ValueError(f"attributes must have 1 or {len(rast)} instances, got {len(attributes)}")
        return cast(Tensor, _Interpolate.apply(attributes, rast, faces))  # type: ignore[no-untyped-call]

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes.

        numba finds which pixel pairs and edges take part; the blend is torch, and so are its gradients.
        Edges with a vertex behind the camera are left out.
        """
        image, near, far, first, second = self._crossings(rast, vertices_clip, faces)
        height, width = color.shape[1:3]
        p, q = vertices_clip[image, first].double(), vertices_clip[image, second].double()
        line = torch.linalg.cross(p[:, [0, 1, 3]], q[:, [0, 1, 3]])
        at_near, at_far = (_line_at(line, pixel, height, width) for pixel in (near, far))
        # The nearer surface reaches from its own pixel's centre (0) to `reach` towards the other centre (1).
        reach = at_near / (at_near - at_far)
        spills = reach > 0.5
        target = torch.where(spills, far, near) + image * (height * width)
        source = torch.where(spills, near, far) + image * (height * width)
        amount = (reach - 0.5).abs().to(color.dtype)[:, None]
        flat = color.reshape(-1, color.shape[-1])
        return flat.index_add(0, target, amount * (flat[source] - flat[target])).reshape(color.shape)

    def _crossings(self, rast: Tensor, vertices_clip: Tensor, faces: Tensor) -> tuple[Tensor, ...]:
        """Return image, near pixel, far pixel and the edge's two vertices of every silhouette crossing."""
        batch, height = rast.shape[:2]
        triangles, neighbours, seen = (
            _array(faces, np.int32),
            self._neighbours(_array(faces, np.int32)),
            _array(rast),
        )
        bands = split_range(height, 1 if batch >= thread_count() else thread_count())
        found = run_all(
            _band_crossings,
            [
                (_array(vertices_clip[i]), triangles, neighbours, seen[i], band, self._steps)
                for i in range(batch)
                for band in bands
            ],
        )
        image = np.repeat(np.repeat(np.arange(batch), len(bands)), [len(f) for f in found])
        columns = np.concatenate(found).astype(np.int64).T
        return torch.from_numpy(image), *(torch.from_numpy(np.ascontiguousarray(c)) for c in columns)

    def _neighbours(self, faces: np.ndarray) -> np.ndarray:
        # The last topology is remembered: a fit renders the same one again and again, and comparing
        # faces is a hundred times faster than pairing their edges.
        last = self._last
        if last is None or not np.array_equal(last[0], faces):
            last = (faces.copy(), edge_neighbours(faces))
            self._last = last
        return last[1]


def edge_neighbours(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """Return what lies across each edge: 3 × face + the edge's number there, or -1.

    Edge k of a face lies opposite its corner k. Open edges, and those with more than two faces, have -1.
    """
    corners = faces[:, [1, 2, 2, 0, 0, 1]].reshape(-1, 2).astype(np.int64)
    key = corners.min(axis=1) * (int(faces.max(initial=0)) + 1) + corners.max(axis=1)
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    start = start[count == 2]
    across = np.full(len(key), -1, np.int32)
    across[order[start]], across[order[start + 1]] = order[start + 1], order[start]
    return across.reshape(-1, 3)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices_clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
        vertices = _array(vertices_clip)
        rast = torch.from_numpy(
            rasterize_batch(vertices, _array(faces, np.int32), height, width, vertices.dtype.type)[0]
        )
        ctx.save_for_backward(vertices_clip, faces, rast)
        return rast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rast: Tensor) -> tuple[Tensor | None, ...]:
        vertices, faces, rast = (_array(t) for t in ctx.saved_tensors)
        grad_vertices = np.zeros_like(vertices)
        images = zip(_array(grad_rast), vertices, rast, grad_vertices, strict=True)
        triangles = faces.astype(np.int32, copy=False)
        run_all(kernels.rasterize_backward, [(g, v, r, triangles, out) for g, v, r, out in images])
        return torch.from_numpy(grad_vertices), None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        ctx.save_for_backward(attributes, rast, faces)
        values, seen, triangles = _array(attributes), _array(rast), _array(faces, np.int32)
        batch, height, width, _ = seen.shape
        out = np.empty((batch, height, width, values.shape[2]), values.dtype)
        bands = split_range(height, 1 if batch >= thread_count() else thread_count())
        run_all(
            kernels.interpolate_forward,
            [
                (values[i % len(values)], seen[i], triangles, *band, out[i])
                for i in range(batch)
                for band in bands
            ],
        )
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces = ctx.saved_tensors
        values, seen, triangles, grads = (
            _array(attributes),
            _array(rast),
            _array(faces, np.int32),
            _array(grad_out),
        )
        batch = len(seen)
        grad_attributes = np.zeros((batch, *values.shape[1:]), values.dtype)
        grad_rast = np.empty_like(seen)
        run_all(
            kernels.interpolate_backward,
            [
                (grads[i], values[i % len(values)], seen[i], triangles, grad_attributes[i], grad_rast[i])
                for i in range(batch)
            ],
        )
        if len(values) < batch:
            grad_attributes = grad_attributes.sum(axis=0, keepdims=True)
        return torch.from_numpy(grad_attributes), torch.from_numpy(grad_rast), None


def _band_crossings(
    vertices: np.ndarray,
    faces: np.ndarray,
    neighbours: np.ndarray,
    rast: np.ndarray,
    band: tuple[int, int],
    steps: int,
) -> np.ndarray:
    crossings = np.empty((2 * (band[1] - band[0]) * rast.shape[1], 4), np.int32)
    count = kernels.find_crossings(vertices, faces, neighbours, rast, *band, steps, crossings)
    return crossings[:count].copy()


def _line_at(line: Tensor, pixel: Tensor, height: int, width: int) -> Tensor:
    """Return the homogeneous line's value at a pixel's centre, pixels numbered row by row."""
    x = (2 * (pixel % width) + 1) / width - 1
    y = (2 * torch.div(pixel, width, rounding_mode="floor") + 1) / height - 1
    return line[:, 0] * x + line[:, 1] * y + line[:, 2]


def _array(tensor: Tensor, dtype: type[np.generic] | None = None) -> np.ndarray:
    """Return a contiguous array, without a copy where possible."""
    if tensor.device.type != "cpu":
        raise ValueError(f'the "cpu" rasterizer takes CPU tensors, got one on {tensor.device}')
    return np.ascontiguousarray(tensor.detach().numpy(), dtype)
