"""The terms of a loss that knows the truth, of rendered photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.losses.colors import linear_to_srgb
from morphkit.losses.supervised import (
    gram_loss,
    gram_matrix,
    light_loss,
    projection_loss,
    similarity_tangents,
)
from morphkit.model import FaceModel, ShapeMap
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.rendering import ImageTransform, PerspectiveCamera, rotate_light
from morphkit.rendering.camera_conventions import upright
from morphkit.training.networks.outputs import Decoded, OutputLayout, Shading

_PAPERS_CROP = 224.0  # pixels, in which distances are told
_POINTS = 200


@dataclass(frozen=True)
class SupervisedWeights:
    """The weight of each term; 0 leaves it out.

    On rendered photos of the default head, taking every face for the mean one costs 9.4, 3.2, 3.4, 1.6 and 21
    by these terms; pose is soon learnt, and then the first ones lead.

    Attributes
    ----------
    identity, expression : per mm² of the mean squared distance of the face's vertices (`gram_loss`).
    albedo : per squared sRGB distance, 0..1, likewise.
    light : per squared brightness of a white sphere (`light_loss`). Left out of layouts whose light
        multiplies sRGB codes ("deng-paper", "deep3d-tf", "deep3d-pt"): the truth of photos is radiance.
    pose : per squared pixel of a 224-pixel crop, of points all over the face (`projection_loss`).
    """

    identity: float = 1.0
    expression: float = 1.0
    albedo: float = 50.0
    light: float = 5.0
    pose: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number of at least 0, got {value}")


@dataclass(frozen=True, eq=False)
class TrueFaces:
    """What rendered photos were made of, a batch of them.

    Attributes
    ----------
    identity, expression, albedo : standard deviations; more components than are predicted may be given.
    light : radiance in the axes of `camera`.
    camera : of the crop, before any augmentation.
    """

    identity: Float[Tensor, "batch i"]
    expression: Float[Tensor, "batch e"]
    albedo: Float[Tensor, "batch a"]
    light: Float[Tensor, "batch 9 3"]
    camera: PerspectiveCamera


@dataclass(frozen=True, eq=False)
class TruthMetrics:
    """How faces of a model are compared with known ones, without their vertices.

    Attributes
    ----------
    size : side of the crop, pixels.
    shading : of the layout: whether its light is what the truth's is.
    identity, expression, albedo : matrices of `gram_loss`.
    points : some 200 points of the face as a function of the coefficients.
    """

    size: int
    shading: Shading
    identity: Float[Tensor, "i i"]
    expression: Float[Tensor, "e e"]
    albedo: Float[Tensor, "a a"]
    points: ShapeMap

    @classmethod
    def from_morphable(
        cls,
        model: MorphableModel,
        layout: OutputLayout,
        device: torch.device | str = "cpu",
        similar_alike: bool = True,
    ) -> TruthMetrics:
        """Prepare a model; vertices of its `face` mask count.

        Parameters
        ----------
        model : whose coefficients are known.
        layout : for the crop's size, and what its light multiplies.
        similar_alike : let faces that differ only in size and place count as equal: one photo from afar can't
            tell a large face from a near one.
        """
        numbers = np.flatnonzero(model.face_mask)
        mean = torch.from_numpy(model.instance()[numbers])
        free = similarity_tangents(mean) if similar_alike else None
        identity, expression = (
            _gram(None if group is None else _movements(group, numbers), free)
            for group in (model.identity, model.expression)
        )
        albedo = _gram(None if model.albedo is None else _displayed(model.albedo, numbers), None)
        return cls(
            layout.size,
            layout.shading,
            identity.to(device, torch.float32),
            expression.to(device, torch.float32),
            albedo.to(device, torch.float32),
            _spread_points(model, numbers, device),
        )


def supervised_terms(
    decoded: Decoded,
    truth: TrueFaces,
    metrics: TruthMetrics,
    weights: SupervisedWeights,
    augmentation: Float[Tensor, "batch 2 3"] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted terms that know the truth; their sum is the loss. Zero weights leave out theirs.

    The true light is linear radiance: a layout whose light multiplies sRGB codes is not compared with it.

    Parameters
    ----------
    decoded : the prediction.
    truth : of the same faces.
    metrics : of their model.
    weights : of the terms.
    augmentation : from the pixels of the crop to those of the picture that was seen, which has its size; None
        where it was seen as it is. What it turns in the picture turns the light; it must not mirror.
    """
    c, w = decoded.coefficients, weights
    camera, light = _seen_as(truth, augmentation)
    terms = {}
    for name in ("identity", "expression", "albedo"):
        weight, gram = getattr(w, name), getattr(metrics, name)
        predicted, known = getattr(c, name), getattr(truth, name)
        if weight > 0 and known.shape[1]:
            whole = torch.nn.functional.pad(predicted, (0, known.shape[1] - predicted.shape[1]))
            terms[f"true_{name}"] = weight * gram_loss(whole, known, gram)
    if w.light > 0 and metrics.shading == "linear":
        terms["true_light"] = w.light * light_loss(c.light, light)
    if w.pose > 0:
        scale = _PAPERS_CROP / metrics.size
        seen = decoded.camera.project(metrics.points(c.identity, c.expression))
        known = camera.project(metrics.points(truth.identity, truth.expression))
        terms["true_pose"] = w.pose * projection_loss(scale * seen, scale * known)
    return terms


def _seen_as(
    truth: TrueFaces, augmentation: Float[Tensor, "batch 2 3"] | None
) -> tuple[PerspectiveCamera, Float[Tensor, "batch 9 3"]]:
    """Return camera and light of the picture that was seen, the camera upright in it."""
    if augmentation is None:
        return truth.camera, truth.light
    size = truth.camera.width, truth.camera.height
    seen = upright(truth.camera.through(ImageTransform(augmentation, size, size)))
    turn = seen.R @ truth.camera.R.transpose(1, 2)
    return seen, rotate_light(truth.light, turn.to(truth.light))


def _gram(
    movements: Float[Tensor, "k n 3"] | None, free: Float[Tensor, "m n 3"] | None
) -> Float[Tensor, "k k"]:
    if movements is None:
        return torch.zeros(0, 0)
    return gram_matrix(movements, movements.new_ones(movements.shape[1]), free)


def _movements(group: LinearModel, numbers: Int[np.ndarray, " n"]) -> Float[Tensor, "k n 3"]:
    """Return how vertices move, or change colour, per standard deviation."""
    basis = group.basis.reshape(len(group.mean), 3, -1)[numbers] * group.standard_deviations
    return torch.from_numpy(np.ascontiguousarray(basis.transpose(2, 0, 1), dtype=np.float64))


def _displayed(albedo: LinearModel, numbers: Int[np.ndarray, " n"]) -> Float[Tensor, "k n 3"]:
    """Return how vertices' sRGB changes per standard deviation, by the slope of its curve at the mean."""
    mean = torch.from_numpy(albedo.mean[numbers].astype(np.float64)).clamp(0.0, 1.0).requires_grad_()
    (slope,) = torch.autograd.grad(linear_to_srgb(mean).sum(), mean)
    return _movements(albedo, numbers) * slope


def _spread_points(
    model: MorphableModel, numbers: Int[np.ndarray, " n"], device: torch.device | str
) -> ShapeMap:
    """Return points of the mean face far from each other: each is the farthest from those before it."""
    places = model.instance()[numbers]
    nearest = np.linalg.norm(places - places.mean(axis=0), axis=1)
    chosen = []
    for _ in range(min(_POINTS, len(numbers))):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
    part = model.marginal(numbers[np.array(chosen)])
    return FaceModel.from_morphable(part, device=device).vertices
