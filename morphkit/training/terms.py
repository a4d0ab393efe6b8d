"""The loss of a batch, term by term: with photos alone, and against known truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.losses import (
    EnergyWeights,
    coefficient_loss,
    ibug68_weights,
    landmark_loss,
    monochrome_light_loss,
    perceptual_loss,
    photometric_loss,
    texture_flattening_loss,
)
from morphkit.losses.face_network import FaceNetwork
from morphkit.model import Coefficients
from morphkit.rendering import ImageTransform, sample_image
from morphkit.training.scene import FacePicture, FaceScene

_PAPERS_CROP = 224.0  # pixels, for which the landmark weight is meant

Chips = Literal["predicted", "given"]


@dataclass(frozen=True, eq=False)
class Photos:
    """What photos show of faces, in their crops.

    Attributes
    ----------
    srgb : the crops, 0..1.
    attention : how much each pixel counts, 0..1.
    landmarks : the 68 iBUG points, pixels of the crop; NaN where unknown.
    embeddings : what the face network makes of each, or None to ask it.
    """

    srgb: Float[Tensor, "batch s s 3"]
    attention: Float[Tensor, "batch s s"]
    landmarks: Float[Tensor, "batch 68 2"]
    embeddings: Float[Tensor, "batch d"] | None = None


def weak_terms(
    scene: FaceScene,
    picture: FacePicture,
    coefficients: Coefficients,
    photos: Photos,
    weights: EnergyWeights,
    network: FaceNetwork | None = None,
    chips: Chips = "predicted",
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted terms of Deng et al. 2019, sections 4.1 and 4.2; their sum is the loss.

    Terms of weight zero are left out, as is the perceptual one without a network.

    Parameters
    ----------
    scene : that drew the picture.
    picture : the predicted faces, drawn over the photos.
    coefficients : that it was drawn from.
    photos : what it is compared with.
    weights : of the terms; per pixel of a 224-pixel crop, whatever the size is here.
    network : for the perceptual term.
    chips : the landmarks by which the network's chips are cut.
    """
    c, w = coefficients, weights
    groups = w.identity_weight, w.expression_weight, w.albedo_weight
    terms = {"coefficient": coefficient_loss(c.identity, c.expression, c.albedo, *groups)}
    if w.photometric_weight > 0:
        counts = photos.attention * picture.seen
        terms["photometric"] = w.photometric_weight * photometric_loss(picture.srgb, photos.srgb, counts)
    if w.landmark_weight > 0:
        terms["landmark"] = w.landmark_weight * landmark_term(
            picture.landmarks, photos.landmarks, scene.layout.size
        )
    if w.perceptual_weight > 0 and network is not None:
        points = _chip_points(picture.landmarks, photos.landmarks, chips)
        terms["perceptual"] = w.perceptual_weight * perceptual_term(network, picture.srgb, photos, points)
    if w.flattening_weight > 0:
        skin = scene.display_skin(picture)
        everywhere = torch.arange(skin.shape[1], device=skin.device)
        terms["flattening"] = w.flattening_weight * texture_flattening_loss(skin, everywhere)
    if w.monochrome_weight > 0:
        terms["monochrome"] = w.monochrome_weight * monochrome_light_loss(c.light)
    return terms


def landmark_term(
    predicted: Float[Tensor, "batch 68 2"], observed: Float[Tensor, "batch 68 2"], size: int
) -> Float[Tensor, ""]:
    """Return the paper's landmark loss in pixels² of a 224-pixel crop; unknown points (NaN) cost nothing.

    Parameters
    ----------
    size : side of the crop that the points are told in, pixels.
    """
    scale = _PAPERS_CROP / size
    known = observed.isfinite().all(dim=-1, keepdim=True)
    target = torch.where(known, observed, predicted.detach())
    return landmark_loss(scale * predicted, scale * target, ibug68_weights().to(predicted))


def perceptual_term(
    network: FaceNetwork,
    drawn: Float[Tensor, "batch s s 3"],
    photos: Photos,
    points: Float[Tensor, "batch 68 2"],
) -> Float[Tensor, ""]:
    """Return 1 − cosine of what a network sees in pictures and photos, cut at the same points.

    Parameters
    ----------
    points : of the 68, in the crop; they take no gradient.
    """
    cut = network.template.affine(points.detach())
    size = network.template.size
    chip = ImageTransform(cut, (drawn.shape[2], drawn.shape[1]), (size, size))
    observed = photos.embeddings
    if observed is None:
        with torch.no_grad():
            observed = network(sample_image(photos.srgb, chip, padding="border"))
    return perceptual_loss(network(sample_image(drawn, chip, padding="border")), observed)


def _chip_points(
    predicted: Float[Tensor, "batch 68 2"], given: Float[Tensor, "batch 68 2"], chips: Chips
) -> Float[Tensor, "batch 68 2"]:
    """Return the points that cut chips; of photos whose points aren't all known, the predicted ones."""
    if chips == "predicted":
        return predicted.detach()
    known = given.isfinite().all(dim=2).all(dim=1)
    return torch.where(known[:, None, None], given, predicted.detach())
