"""What happens to the colours of pictures on their way to the network."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from morphkit.training.augmentation import Augmentation

_RowChange = Callable[[Tensor, Tensor], Tensor]

_LUMA = (0.299, 0.587, 0.114)


def degraded(images: Float[Tensor, "batch s s 3"], change: Augmentation) -> Float[Tensor, "batch s s 3"]:
    """Return sRGB pictures with contrast, saturation, blur, resolution, noise and patches changed, in 0..1.

    Each row by itself: what it becomes doesn't depend on its neighbours.
    """
    images = _toned(images, change)
    images = _where(images, change.resolution < 1.0, lambda rows, on: _reduced(rows, change.resolution[on]))
    size = images.shape[1]
    images = _where(images, change.blur > 0.0, lambda rows, on: _blurred(rows, change.blur[on] * size))
    images = _where(
        images,
        change.noise > 0.0,
        lambda rows, on: (
            rows + change.noise[on, None, None, None] * hashed_normal(change.noise_key[on], rows)
        ),
    )
    return _covered(images, change).clamp(0.0, 1.0)


def patch_mask(change: Augmentation, size: int) -> Float[Tensor, "batch p s s"]:
    """Return which pixels each patch covers, 0 or 1."""
    centres = (torch.arange(size, device=change.patches.device) + 0.5) / size
    left, top, right, bottom = change.patches[..., None].unbind(dim=2)
    across = (centres >= left) & (centres < right)
    down = (centres >= top) & (centres < bottom)
    return (down[..., :, None] & across[..., None, :]).float()


def hashed_normal(
    keys: Int[Tensor, " batch"], like: Float[Tensor, "batch ..."]
) -> Float[Tensor, "batch ..."]:
    """Return normal noise in the shape of `like` that depends on each row's key alone, on any device.

    Each value is a hash of its key and place (the finaliser of splitmix64), made normal by Box and Muller.
    """
    places = torch.arange(like[0].numel(), device=like.device)
    state = keys[:, None] + (2 * places + 1)[None] * _GOLDEN
    first, second = _uniform(state), _uniform(state + _GOLDEN)
    radius = (-2.0 * first.log()).sqrt()
    return (radius * (2.0 * math.pi * second).cos()).reshape(like.shape).to(like.dtype)


_GOLDEN = -7046029254386353131  # splitmix64's 0x9E3779B97F4A7C15 as a signed number
_MIX = (-4658895280553007687, -7723592293110705685)  # its two multipliers


def _uniform(state: Tensor) -> Tensor:
    """Return numbers above 0 and at most 1, of 24 bits."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        state = (state ^ _shifted(state, shift)) * factor
    state = state ^ _shifted(state, 31)
    return (_shifted(state, 40).float() + 1.0) / 2**24


def _shifted(state: Tensor, count: int) -> Tensor:
    """Shift right with zeros coming in; torch's own repeats the sign."""
    return (state >> count) & ((1 << (64 - count)) - 1)


def _toned(images: Tensor, change: Augmentation) -> Tensor:
    grey = (images * images.new_tensor(_LUMA)).sum(dim=3, keepdim=True)
    saturation = torch.where(change.grey, torch.zeros_like(change.saturation), change.saturation)
    images = grey + saturation[:, None, None, None] * (images - grey)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + change.contrast[:, None, None, None] * (images - middle)


def _where(images: Tensor, on: Tensor, change: _RowChange) -> Tensor:
    """Change some rows only."""
    if not bool(on.any()):
        return images
    images = images.clone()
    images[on] = change(images[on], on)
    return images


def _reduced(images: Tensor, shares: Tensor) -> Tensor:
    """Return pictures shrunk and enlarged again, row by row."""
    size = images.shape[1]
    rows = []
    for image, share in zip(images.permute(0, 3, 1, 2), shares.tolist(), strict=True):
        small = functional.interpolate(image[None], (max(4, round(share * size)),) * 2, mode="area")
        rows.append(functional.interpolate(small, (size, size), mode="bilinear", align_corners=False))
    return torch.cat(rows).permute(0, 2, 3, 1)


def _blurred(images: Tensor, deviations: Tensor) -> Tensor:
    """Return pictures under Gaussians of their own, pixels; borders are carried on."""
    radius = math.ceil(3.0 * float(deviations.max()))
    places = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (places / deviations.clamp_min(1e-3)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    planes = images.permute(0, 3, 1, 2).reshape(1, -1, *images.shape[1:3])
    padded = functional.pad(planes, [radius] * 4, mode="replicate")
    groups = planes.shape[1]
    down = functional.conv2d(padded, kernels[:, None, :, None], groups=groups)
    both = functional.conv2d(down, kernels[:, None, None, :], groups=groups)
    return both.reshape(len(images), 3, *images.shape[1:3]).permute(0, 2, 3, 1)


def _covered(images: Tensor, change: Augmentation) -> Tensor:
    masks = patch_mask(change, images.shape[1])[..., None]
    for mask, color in zip(masks.unbind(dim=1), change.patch_colors.unbind(dim=1), strict=True):
        images = images * (1.0 - mask) + mask * color[:, None, None, :]
    return images
