"""From faces as datasets hold them to what a network sees: moved and changed, and all that must follow."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from morphkit.io.color import srgb_to_linear
from morphkit.losses.colors import linear_to_srgb
from morphkit.training.augmentation import Augmentation
from morphkit.training.batch import Batch, RawBatch, TruthBatch
from morphkit.training.degrading import degraded, hashed_normal, patch_mask
from morphkit.training.mirroring import IBUG68_MIRROR, MirrorMap


def viewed(raw: RawBatch, change: Augmentation, size: int, mirror: MirrorMap | None) -> Batch:
    """Return what the network sees of faces: one affine map, then colours; all that is known follows.

    Exposure and white balance are light, so the truth's light follows them. Contrast, blur, noise and patches
    are the camera's affair: the network sees them in `images`, while drawings are compared with `photos`,
    which lack them; attention is zero under patches.

    Parameters
    ----------
    raw : the faces, on the device where all happens.
    change : what happens to each.
    size : side of the pictures, pixels.
    mirror : for the truth of mirrored rows; None doesn't mirror rows with truth.
    """
    change = change.to(raw.images.device)
    flip = change.flip if mirror is not None else change.flip & ~raw.has_truth
    source = raw.images.shape[1]
    affine = change.affine(source, size, flip)
    linear = _linear(raw.images)
    photos = linear_to_srgb((_warped(linear, affine, size) * change.gain[:, None, None, :]).clamp(0.0, 1.0))
    attention = _warped(raw.attention[..., None].float() / 255.0, affine, size, padding="zeros")[..., 0]
    attention = attention * (1.0 - patch_mask(change, size).amax(dim=1))
    truth = None if raw.truth is None else _moved_truth(raw.truth, change, affine, flip, mirror, source)
    landmarks = _moved_landmarks(raw.landmarks, affine, flip)
    return Batch(
        images=degraded(photos, change),
        photos=photos,
        attention=attention,
        landmarks=landmarks,
        shown_landmarks=_shown(landmarks, change, size),
        truth=truth,
        has_truth=raw.has_truth,
        places=raw.places,
    )


def _linear(images: UInt8[Tensor, "batch s s 3"]) -> Float[Tensor, "batch s s 3"]:
    return torch.from_numpy(_linear_table()).to(images.device)[images.long()]


@cache
def _linear_table() -> np.ndarray:
    return srgb_to_linear(np.arange(256) / 255.0).astype(np.float32)


def _warped(
    images: Float[Tensor, "batch s s c"],
    affine: Float[Tensor, "batch 2 3"],
    size: int,
    padding: str = "border",
) -> Float[Tensor, "batch t t c"]:
    """Return pictures under affine maps of their pixels: whole pixels are averaged first where it shrinks."""
    planes = images.permute(0, 3, 1, 2)
    factor = max(1, images.shape[1] // size)
    if factor > 1:
        planes = functional.avg_pool2d(planes, factor)
    small = planes.shape[2]
    inverse = torch.linalg.inv(_square(affine))[:, :2]
    # from the target's -1..1 to its pixels, through the map, to the source's -1..1
    span = (size / 2) * inverse[:, :, :2]
    middle = span.sum(dim=2) + inverse[:, :, 2]
    scale = 2.0 / (factor * small)
    theta = torch.cat([span * scale, (middle * scale - 1.0)[:, :, None]], dim=2)
    grid = functional.affine_grid(theta.float(), [len(images), 1, size, size], align_corners=False)
    sampled = functional.grid_sample(planes, grid, padding_mode=padding, align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def _square(affine: Float[Tensor, "batch 2 3"]) -> Float[Tensor, "batch 3 3"]:
    last = affine.new_tensor([0.0, 0.0, 1.0]).expand(len(affine), 1, 3)
    return torch.cat([affine, last], dim=1)


def _moved_landmarks(
    landmarks: Float[Tensor, "batch 68 2"], affine: Float[Tensor, "batch 2 3"], flip: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch 68 2"]:
    moved = landmarks.double() @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]
    swapped = moved[:, list(IBUG68_MIRROR)]
    return torch.where(flip[:, None, None], swapped, moved).to(landmarks.dtype)


def _shown(
    landmarks: Float[Tensor, "batch 68 2"], change: Augmentation, size: int
) -> Float[Tensor, "batch 68 2"]:
    """Return landmarks with noise, of each point and of all together."""
    own = hashed_normal(change.noise_key + 1, landmarks)
    together = hashed_normal(change.noise_key + 2, landmarks[:, :1])
    return landmarks + (size * change.landmark_noise)[:, None, None] * (own + together)


def _moved_truth(
    truth: TruthBatch,
    change: Augmentation,
    affine: Float[Tensor, "batch 2 3"],
    flip: Bool[Tensor, " batch"],
    mirror: MirrorMap | None,
    source: int,
) -> TruthBatch:
    """Return the truth of the pictures: of the mirrored rows first, then under what else the map does."""
    if mirror is not None:
        truth = _chosen(flip, mirror.truth(truth, source), truth)
    F = affine.new_tensor([[-1.0, 0.0, source], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    square = _square(affine)
    rest = torch.where((flip & (mirror is not None))[:, None, None], square @ F, square)
    light = truth.light * change.gain.to(truth.light)[:, None, :]
    groups = truth.identity, truth.expression, truth.albedo
    return TruthBatch(*groups, light, rest @ truth.K, truth.R, truth.t)


def _chosen(on: Tensor, one: TruthBatch, other: TruthBatch) -> TruthBatch:
    """Return rows of one where `on`, else of the other."""

    def pick(name: str) -> Tensor:
        a, b = getattr(one, name), getattr(other, name)
        return torch.where(on.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    names = ("identity", "expression", "albedo", "light", "K", "R", "t")
    return TruthBatch(*map(pick, names))
