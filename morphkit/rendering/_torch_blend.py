"""A weighted sum of a table's rows: what interpolation and texture sampling come down to."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def blend_rows(
    table: Float[Tensor, "rows c"], index: Int[Tensor, "k n"], weights: Float[Tensor, "k n"]
) -> Float[Tensor, "n c"]:
    """Return the sum over k of weights[k] times the rows index[k]; gradients reach table and weights.

    Kept for the way back are the arguments alone; written with torch's own operations, each of the k
    products would keep its factors.
    """
    return cast(Tensor, _BlendRows.apply(table, index, weights))  # type: ignore[no-untyped-call]


class _BlendRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, index, weights)
        out = table.new_zeros(index.shape[1], table.shape[1])
        for rows, weight in zip(index, weights, strict=True):
            out += table.index_select(0, rows) * weight[:, None]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, index, weights = ctx.saved_tensors
        grad_table, grad_weights = None, None
        if ctx.needs_input_grad[0]:
            grad_table = torch.zeros_like(table)
            for rows, weight in zip(index, weights, strict=True):
                grad_table.index_add_(0, rows, grad * weight[:, None])
        if ctx.needs_input_grad[2]:
            grad_weights = torch.stack([(grad * table.index_select(0, rows)).sum(1) for rows in index])
        return grad_table, None, grad_weights
