"""What a batch of faces costs: weak terms where asked, supervised ones where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from morphkit.losses import EnergyWeights
from morphkit.losses.face_network import FaceNetwork
from morphkit.rendering import PerspectiveCamera, rotate_light
from morphkit.rendering.camera_conventions import upright
from morphkit.training.batch import Batch, TruthBatch
from morphkit.training.config import LossSettings
from morphkit.training.scene import FaceScene
from morphkit.training.task import Module, StepTerms
from morphkit.training.terms import Photos, weak_terms
from morphkit.training.truth import SupervisedWeights, TrueFaces, TruthMetrics, supervised_terms

WEAK_TERMS = ("photometric", "landmark", "perceptual", "coefficient", "flattening", "monochrome")
TRUE_TERMS = ("true_identity", "true_expression", "true_albedo", "true_light", "true_pose")

Heads = Mapping[str, Float[Tensor, "batch _"]]


@dataclass(frozen=True, eq=False)
class Costs:
    """The parts of the loss that stay the same all run long.

    Attributes
    ----------
    scene : draws.
    metrics : compare with the truth; None where no dataset has any.
    weights : of the weak terms.
    supervised : of the supervised ones.
    weak_on_truth : whether rows with truth have weak terms, too.
    attention : whether the datasets' attention counts.
    face_network : for the perceptual term.
    """

    scene: FaceScene
    metrics: TruthMetrics | None
    weights: EnergyWeights
    supervised: SupervisedWeights
    weak_on_truth: bool = True
    attention: bool = True
    face_network: FaceNetwork | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All terms that a batch may have."""
        if self.metrics is None:
            return WEAK_TERMS
        lit_alike = self.metrics.shading == "linear"
        return WEAK_TERMS + tuple(name for name in TRUE_TERMS if lit_alike or name != "true_light")


def supervised_weights(settings: LossSettings) -> SupervisedWeights:
    """Return the weights of the supervised terms: what is overridden, times the common factor."""
    weights = {field.name: getattr(SupervisedWeights(), field.name) for field in fields(SupervisedWeights)}
    given = {name: getattr(settings, f"true_{name}") for name in weights}
    weights |= {name: value for name, value in given.items() if value is not None}
    return SupervisedWeights(**{name: settings.supervised * value for name, value in weights.items()})


def losses(module: Module, batch: Batch, costs: Costs) -> StepTerms:
    """Return the terms of a batch; each photo counts alike, whichever terms it has.

    A term's mean over the rows that have it is multiplied by their share of the batch: so batches and
    processes with different numbers of rendered photos add up to what one large batch costs.

    Parameters
    ----------
    module : the network: called with pictures (batch, 3, s, s) and landmarks it returns heads by name.
    """
    heads = module(batch.images.permute(0, 3, 1, 2), batch.shown_landmarks)
    return StepTerms(head_terms(heads, batch, costs), heads)


def head_terms(heads: Heads, batch: Batch, costs: Costs) -> dict[str, Float[Tensor, ""]]:
    """Return the terms of what a network said of a batch."""
    terms: dict[str, Tensor] = {}
    weak = torch.ones_like(batch.has_truth) if costs.weak_on_truth else ~batch.has_truth
    if bool(weak.any()):
        terms |= _shared(_weak(_rows(heads, weak), batch.take(weak), costs), weak)
    known = batch.has_truth
    if batch.truth is not None and costs.metrics is not None and bool(known.any()):
        terms |= _shared(_supervised(_rows(heads, known), batch.take(known), costs), known)
    if not terms:  # photos alone, with neither truth nor weak terms
        raise ValueError("the batch has no term; weak_on_truth is off and supervised is 0")
    return terms


def _weak(heads: Heads, batch: Batch, costs: Costs) -> dict[str, Tensor]:
    decoded = costs.scene.decode(heads)
    drawn = costs.scene.draw(decoded, background=batch.photos)
    attention = batch.attention if costs.attention else torch.ones_like(batch.attention)
    photos = Photos(batch.photos, attention, batch.landmarks)
    return weak_terms(costs.scene, drawn, decoded.coefficients, photos, costs.weights, costs.face_network)


def _supervised(heads: Heads, batch: Batch, costs: Costs) -> dict[str, Tensor]:
    if batch.truth is None or costs.metrics is None:
        raise ValueError("batch must have truth")
    truth = true_faces(batch.truth, batch.size)
    return supervised_terms(costs.scene.decode(heads), truth, costs.metrics, costs.supervised)


def true_faces(truth: TruthBatch, size: int) -> TrueFaces:
    """Return truth as the supervised terms take it: the camera upright, the light in its axes."""
    camera = PerspectiveCamera(truth.K, truth.R, truth.t, size, size)
    camera = upright(camera)
    light = rotate_light(truth.light, (camera.R @ truth.R.transpose(1, 2)).to(truth.light))
    parts = {name: getattr(camera, name).to(truth.light) for name in ("K", "R", "t")}
    return TrueFaces(truth.identity, truth.expression, truth.albedo, light, replace(camera, **parts))


def _rows(heads: Heads, rows: Bool[Tensor, " batch"]) -> dict[str, Tensor]:
    return dict(heads) if bool(rows.all()) else {name: values[rows] for name, values in heads.items()}


def _shared(terms: Mapping[str, Tensor], rows: Bool[Tensor, " batch"]) -> dict[str, Tensor]:
    share = rows.float().mean()
    return {name: share * value for name, value in terms.items()}
