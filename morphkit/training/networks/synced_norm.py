"""Batch normalisation over the batches of all processes, on any device."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

_ACROSS = (0, 2, 3)  # images, rows and columns


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of what all processes see together.

    So that several processes learn what one would from all their pictures. `nn.SyncBatchNorm` does the same,
    but on GPUs alone. With a single process, or when not training, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: Float[Tensor, "batch k h w"]) -> Float[Tensor, "batch k h w"]:  # noqa: A002 - torch's name
        """Return the normalised input."""
        if not self.training or not _several_processes():
            return super().forward(input)
        self._check_input_dim(input)
        normalised, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        self._remember(mean, variance, float(count))
        return cast(Tensor, normalised)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics as `nn.BatchNorm2d` does, the variance unbiased."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1.0)), share)


def synced(network: nn.Module, gpu: bool = False) -> nn.Module:
    """Return a network whose batch normalisations are synchronised; names and values of its weights stay.

    Parameters
    ----------
    network : changed in place, where it holds `nn.BatchNorm2d`.
    gpu : use torch's own `nn.SyncBatchNorm`, which is made for GPUs and runs nowhere else.
    """
    if gpu:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(network, name, _converted(child))
        else:
            synced(child)
    return network


def _converted(norm: nn.BatchNorm2d) -> SyncedBatchNorm2d:
    new = SyncedBatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta"
    )
    new._parameters, new._buffers = norm._parameters, norm._buffers
    return new.train(norm.training)


def _several_processes() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + ε) · weight + bias by the statistics of all processes.

    Half precision is reckoned in single. Two sums travel: of the values, then of the squared distances from
    their mean, which loses no digits where the mean is large. Backward, weight and bias get this process'
    share alone: what averages gradients over processes adds the others'.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = x if x.dtype == torch.float64 else x.float()
        here = values.new_tensor([values.numel() / values.shape[1]])
        sums = _over_processes(torch.cat([values.sum(dim=_ACROSS), here]))
        mean, count = sums[:-1] / sums[-1], sums[-1]
        away = values - _channels(mean)
        variance = _over_processes((away**2).sum(dim=_ACROSS)) / count
        scale = (variance + epsilon).rsqrt()
        unit = away.mul_(_channels(scale))
        ctx.save_for_backward(unit, scale, weight, count)
        ctx.wants = weight is not None, bias is not None
        out = unit if weight is None else unit * _channels(weight.to(unit))
        out = out if bias is None else out + _channels(bias.to(unit))
        ctx.mark_non_differentiable(mean, variance, count)
        return out.to(x.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        unit, scale, weight, count = ctx.saved_tensors
        grads = grad.to(unit)
        plain, along = grads.sum(dim=_ACROSS), (grads * unit).sum(dim=_ACROSS)
        everywhere = _over_processes(torch.stack([plain, along])) / count
        factor = scale if weight is None else scale * weight.to(scale)
        centred = grads - _channels(everywhere[0]) - unit * _channels(everywhere[1])
        by_weight, by_bias = (
            value.to(weight) if wanted else None
            for value, wanted in zip((along, plain), ctx.wants, strict=True)
        )
        return (centred * _channels(factor)).to(grad.dtype), by_weight, by_bias, None


def _over_processes(values: Tensor) -> Tensor:
    """Return the sum over all processes; the same bits in each."""
    total = values.clone()
    distributed.all_reduce(total)
    return total


def _channels(values: Float[Tensor, " k"]) -> Float[Tensor, "1 k 1 1"]:
    return values[None, :, None, None]
