"""mean + coefficients · basis in torch, and for a large basis on a CPU in numba loops that read it once.

For more than one face, torch's matrix products copy the basis into a layout of their own at every call, which
costs more than the product itself. Both loops are linear and each is the other's derivative, so gradients of
any order work, and so do `torch.func`'s transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.model import _linear_kernels as kernels

Span = tuple[int, int]  # components from the first up to, but without, the second

_LARGE = 1 << 22  # numbers: a smaller basis stays in the caches, where torch's product is as fast
_WIDTH = 8192  # columns of a block at most
_BLOCKS = 8  # their number is a multiple of this, so that threads get equal shares


def combine(
    coefficients: Float[Tensor, "batch c"],
    mean: Float[Tensor, " d"],
    basis: Float[Tensor, "k d"],
    spans: Sequence[Span],
) -> Float[Tensor, "batch d"]:
    """Return mean + coefficients · basis, for the components in `spans`, c of them in all.

    Where mean or basis want a gradient themselves, torch does it all.
    """
    if _want_loops(coefficients, mean, basis):
        components = np.concatenate([np.arange(*span) for span in spans])
        return cast(Tensor, _Combine.apply(coefficients, mean, basis, components))  # type: ignore[no-untyped-call]
    parts = torch.split(coefficients, [stop - start for start, stop in spans], dim=1)
    points = mean
    for part, (start, stop) in zip(parts, spans, strict=True):
        points = torch.addmm(points, part, basis[start:stop])
    return points


def _want_loops(coefficients: Tensor, mean: Tensor, basis: Tensor) -> bool:
    return (
        basis.device.type == "cpu"
        and basis.numel() >= _LARGE
        and basis.is_contiguous()
        and len(coefficients) > 1  # for one face torch has a product that reads the basis in place
        and basis.dtype in (torch.float32, torch.float64)
        and coefficients.dtype == mean.dtype == basis.dtype
        and not (mean.requires_grad or basis.requires_grad)
    )


class _Combine(torch.autograd.Function):
    """coefficients (batch, c) -> mean + coefficients · basis[components] (batch, d)."""

    @staticmethod
    def forward(coefficients: Tensor, mean: Tensor, basis: Tensor, components: np.ndarray) -> Tensor:
        padded = _padded(components)
        weights = np.zeros((len(coefficients), len(padded)), _array(basis).dtype)
        weights[:, : len(components)] = _array(coefficients)
        out = np.empty((len(weights), basis.shape[1]), weights.dtype)  # numpy's large arrays have large pages
        fixed = weights, padded, _array(basis), _array(mean)
        _over_blocks(kernels.combine, fixed, basis.shape[1], out)
        return torch.from_numpy(out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        _, mean, basis, ctx.components = inputs
        ctx.set_materialize_grads(False)  # no zeros as large as the basis
        ctx.save_for_backward(basis)
        ctx.save_for_forward(mean, basis)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None, None
        (basis,) = ctx.saved_tensors
        return _Moments.apply(grad, basis, ctx.components), None, None, None  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *others: Tensor | None) -> Tensor:
        _check_only(tangent, others)
        mean, basis = ctx.saved_tensors
        return cast(Tensor, _Combine.apply(tangent, torch.zeros_like(mean), basis, ctx.components))  # type: ignore[no-untyped-call]

    @staticmethod
    def vmap(
        _: Any, in_dims: tuple[int | None, ...], coefficients: Tensor, *fixed: Any
    ) -> tuple[Tensor, int]:
        return _vmap(_Combine, in_dims, coefficients, *fixed)


class _Moments(torch.autograd.Function):
    """values (batch, d) -> values · basis[components]ᵀ (batch, c)."""

    @staticmethod
    def forward(values: Tensor, basis: Tensor, components: np.ndarray) -> Tensor:
        padded, seen = _padded(components), _array(values)
        sums = np.empty((_block_count(seen.shape[1]), len(seen), len(padded)), seen.dtype)
        _over_blocks(kernels.moments, (seen, padded, _array(basis)), seen.shape[1], sums)
        return torch.from_numpy(sums.sum(axis=0))[:, : len(components)]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        _, basis, ctx.components = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(basis)
        ctx.save_for_forward(basis)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None
        (basis,) = ctx.saved_tensors
        zero = basis.new_zeros(basis.shape[1])
        return _Combine.apply(grad, zero, basis, ctx.components), None, None  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, *others: Tensor | None) -> Tensor:
        _check_only(tangent, others)
        (basis,) = ctx.saved_tensors
        return cast(Tensor, _Moments.apply(tangent, basis, ctx.components))  # type: ignore[no-untyped-call]

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int | None, ...], values: Tensor, *fixed: Any) -> tuple[Tensor, int]:
        return _vmap(_Moments, in_dims, values, *fixed)


def _vmap(
    function: type[torch.autograd.Function], in_dims: tuple[int | None, ...], values: Tensor, *fixed: Any
) -> tuple[Tensor, int]:
    """Lay the mapped axis and the batch one after the other: each row is a face of its own."""
    if in_dims[0] is None or any(dim is not None for dim in in_dims[1:]):
        raise ValueError("vmap may run over coefficients, not over the mean or the basis")
    values = values.movedim(in_dims[0], 0)
    rows = function.apply(values.flatten(0, 1), *fixed)  # type: ignore[no-untyped-call]
    return rows.reshape(*values.shape[:2], -1), 0


def _check_only(tangent: Tensor | None, others: tuple[Tensor | None, ...]) -> None:
    if tangent is None or any(other is not None for other in others):
        raise ValueError("forward derivatives are those of the coefficients, not of the mean or the basis")


def _padded(components: np.ndarray) -> np.ndarray:
    """Repeat the last component until they number a multiple of what a kernel takes together."""
    missing = -len(components) % kernels.TOGETHER
    return np.pad(components, (0, missing), mode="edge") if len(components) else components


def _over_blocks(kernel: Any, fixed: tuple[Any, ...], columns: int, out: np.ndarray) -> None:
    """Call a kernel for every block of columns. The blocks, and so the sums, don't depend on the threads."""
    count = _block_count(columns)
    width = -(-columns // count)
    run_all(kernel, [(*fixed, width, *share, out) for share in split_range(count, thread_count())])


def _block_count(columns: int) -> int:
    return _BLOCKS * -(-columns // (_BLOCKS * _WIDTH))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
