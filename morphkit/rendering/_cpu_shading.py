"""Matte shading and unit vectors on a CPU: numba loops inside torch autograd functions.

What torch does in thirty passes over a picture, these do in one. Gradients of a light are summed in runs of
points that depend on the points' number alone, and so not on the threads.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all
from morphkit.rendering import _cpu_shading_kernels as kernels
from morphkit.rendering._arrays import array
from morphkit.rendering._cpu_pixels import runs

_POINTS = 50_000  # of a run: long enough to outweigh a call


def shade(
    albedo: Float[Tensor, "batch *shape 3"],
    normals: Float[Tensor, "batch *shape 3"],
    light: Float[Tensor, "batch k 3"],
) -> Float[Tensor, "batch *shape 3"]:
    """Return albedo times brightness, the normals' first k <= 9 polynomials times `light`."""
    whole = torch.nn.functional.pad(light, (0, 0, 0, 9 - light.shape[1]))
    return cast(Tensor, _Shade.apply(albedo, normals, whole))  # type: ignore[no-untyped-call]


def unit(vectors: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Return vectors of length one; zero stays zero, with zero gradient."""
    return cast(Tensor, _Unit.apply(vectors))  # type: ignore[no-untyped-call]


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, albedo: Tensor, normals: Tensor, light: Tensor) -> Tensor:
        ctx.save_for_backward(albedo, normals, light)
        colors, directions, lights = _points(albedo), _points(normals), array(light)
        out = np.empty_like(colors)
        run_all(
            kernels.shade_forward,
            [(colors[i, run], directions[i, run], lights[i], out[i, run]) for i, run in _jobs(colors)],
        )
        return torch.from_numpy(out).reshape(albedo.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        albedo, normals, light = ctx.saved_tensors
        colors, directions, lights, grads = _points(albedo), _points(normals), array(light), _points(grad_out)
        by_albedo, by_normals = np.empty_like(colors), np.empty_like(directions)
        jobs = _jobs(colors)
        by_light = np.zeros((len(jobs), 9, 3))
        run_all(
            kernels.shade_backward,
            [
                (
                    grads[i, run],
                    colors[i, run],
                    directions[i, run],
                    lights[i],
                    by_albedo[i, run],
                    by_normals[i, run],
                    own,
                )
                for (i, run), own in zip(jobs, by_light, strict=True)
            ],
        )
        total = by_light.reshape(len(lights), -1, 9, 3).sum(axis=1).astype(lights.dtype)
        return (
            torch.from_numpy(by_albedo).reshape(albedo.shape),
            torch.from_numpy(by_normals).reshape(normals.shape),
            torch.from_numpy(total),
        )


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        ctx.save_for_backward(vectors)
        values = array(vectors).reshape(-1, 3)
        out = np.empty_like(values)
        run_all(kernels.unit_forward, [(values[run], out[run]) for run in _runs(len(values))])
        return torch.from_numpy(out).reshape(vectors.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> Tensor:
        (vectors,) = ctx.saved_tensors
        values, grads = array(vectors).reshape(-1, 3), array(grad_out).reshape(-1, 3)
        out = np.empty_like(values)
        run_all(kernels.unit_backward, [(grads[run], values[run], out[run]) for run in _runs(len(values))])
        return torch.from_numpy(out).reshape(vectors.shape)


def _points(tensor: Tensor) -> np.ndarray:
    """Return (batch, n, 3) from (batch, ..., 3)."""
    return array(tensor).reshape(len(tensor), -1, 3)


def _runs(count: int) -> list[slice]:
    return runs(count, -(-count // _POINTS))


def _jobs(points: np.ndarray) -> list[tuple[int, slice]]:
    return [(i, run) for i in range(len(points)) for run in _runs(points.shape[1])]
