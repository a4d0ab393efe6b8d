"""How well a network does on people it has not seen: in millimetres where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.model import FaceModel, ShapeMap
from morphkit.morphable import MorphableModel
from morphkit.training.guard import NotFiniteError, first_not_finite, held_out_sentence
from morphkit.training.task import Validation

VALIDATION_NAMES = (
    "identity_error_mm",
    "mean_face_error_mm",
    "identity_ratio",
    "identity_spread",
    "identity_correlation",
)


@dataclass(frozen=True, eq=False)
class IdentityRuler:
    """Measures neutral faces of a model against each other.

    Attributes
    ----------
    shape : the vertices of the face region as a function of the coefficients.
    n_expression : coefficients of expression, zero here.
    """

    shape: ShapeMap
    n_expression: int

    @classmethod
    def of(cls, model: MorphableModel, device: torch.device | str) -> IdentityRuler:
        """Return the ruler for a model's face region."""
        part = model.marginal(np.flatnonzero(model.face_mask))
        face = FaceModel.from_morphable(part, device=device)
        return cls(face.vertices, face.layout.expression)

    def vertices(self, identity: Float[Tensor, "batch i"]) -> Float[Tensor, "batch v 3"]:
        """Return neutral faces, millimetres."""
        return self.shape(identity, identity.new_zeros(len(identity), self.n_expression))

    def errors(
        self, identity: Float[Tensor, "batch i"], truth: Float[Tensor, "batch j"]
    ) -> Float[Tensor, " batch"]:
        """Return the mean distance of vertices after the best similarity, millimetres.

        Scale is left free, as in the NoW benchmark's non-metrical track: a photo doesn't tell it.
        """
        found, wanted = self.vertices(identity).double(), self.vertices(truth).double()
        return (aligned(found, wanted) - wanted).norm(dim=2).mean(dim=1)


def aligned(
    source: Float[Tensor, "batch n 3"], target: Float[Tensor, "batch n 3"]
) -> Float[Tensor, "batch n 3"]:
    """Return points under the similarity that brings them nearest to others (Umeyama 1991)."""
    source_mean, target_mean = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    source, centred = source - source_mean, target - target_mean
    left, values, right = torch.linalg.svd(centred.transpose(1, 2) @ source)
    sign = torch.ones_like(values)
    sign[:, 2] = torch.det(left @ right).sign()
    rotation = left * sign[:, None] @ right
    scale = (values * sign).sum(dim=1) / source.square().sum(dim=(1, 2)).clamp_min(1e-12)
    return scale[:, None, None] * source @ rotation.transpose(1, 2) + target_mean


def truth_sums(
    ruler: IdentityRuler, predicted: Float[Tensor, "batch i"], truth: Float[Tensor, "batch j"]
) -> dict[str, Tensor]:
    """Return what rows with truth add to the sums, float64; the first i of j coefficients are predicted."""
    found, wanted = predicted.double(), truth[:, : predicted.shape[1]].double()
    return {
        "known": torch.tensor(float(len(found)), dtype=torch.float64, device=found.device),
        "error": ruler.errors(predicted, truth).sum(),
        "mean_face": ruler.errors(torch.zeros_like(predicted), truth).sum(),
        "square": (found - wanted).square().sum(dim=0),
        "found": found.sum(dim=0),
        "found_square": found.square().sum(dim=0),
        "wanted": wanted.sum(dim=0),
        "wanted_square": wanted.square().sum(dim=0),
        "product": (found * wanted).sum(dim=0),
    }


def spread_sums(predicted: Float[Tensor, "batch i"]) -> dict[str, Tensor]:
    """Return what any row adds: how far predictions differ, which tells a collapse to the mean."""
    found = predicted.double()
    return {"all_found": found.sum(dim=0), "all_found_square": found.square().sum(dim=0)}


def ensure_finite(
    heads: Mapping[str, Float[Tensor, "batch _"]],
    places: Int[Tensor, " batch"],
    describe: Callable[[int], str],
) -> None:
    """Refuse predictions of held-out photos that aren't finite.

    Parameters
    ----------
    heads : of the network.
    places : of the photos.
    describe : names the photo of a place.

    Raises
    ------
    NotFiniteError
        Naming the first head that isn't, and the photos; its step is -1, for the loop to set.
    """
    name = first_not_finite(heads)
    if name is None:
        return
    bad = places[~torch.isfinite(heads[name]).all(dim=1)].tolist()
    term = f"network's {name}"
    raise NotFiniteError(held_out_sentence(term, [describe(place) for place in bad]), term, -1)


def added(sums: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return two dictionaries of sums as one."""
    both = dict(sums)
    for name, value in more.items():
        both[name] = both[name] + value if name in both else value
    return both


def summary(sums: Mapping[str, Tensor], terms: tuple[str, ...], *, by_truth: bool = True) -> Validation:
    """Return means of the weak terms, and with truth the error of identity against that of the mean face.

    The spread is the root mean square deviation of predicted coefficients between people, of the truth's
    where that is known, else of the model's 1.

    Parameters
    ----------
    sums : over all rows.
    terms : of the loss.
    by_truth : the error of identity is the score where it is known; else it is told alone, and the score is
        the loss: a run that uses no truth must not choose its best weights by it.
    """
    count = float(sums["count"])
    values = {name: float(sums[name]) / count for name in terms if name in sums}
    values["total"] = sum(values.values())
    spread = _variance(sums["all_found"], sums["all_found_square"], count)
    if float(sums["known"]) == 0:
        values["identity_spread"] = float(spread.mean().sqrt())
        return Validation(values, values["total"])
    known = float(sums["known"])
    error, mean_face = float(sums["error"]) / known, float(sums["mean_face"]) / known
    wanted = _variance(sums["wanted"], sums["wanted_square"], known)
    found = _variance(sums["found"], sums["found_square"], known)
    together = sums["product"] / known - sums["found"] * sums["wanted"] / known**2
    correlation = together / (found * wanted).sqrt().clamp_min(1e-12)
    values |= {
        "identity_error_mm": error,
        "mean_face_error_mm": mean_face,
        "identity_ratio": error / mean_face,
        "identity_spread": float((found.mean() / wanted.mean().clamp_min(1e-12)).sqrt()),
        "identity_correlation": float((correlation * wanted).sum() / wanted.sum().clamp_min(1e-12)),
    }
    deviation = (sums["square"] / known).sqrt().cpu().numpy()
    score = error / mean_face if by_truth else values["total"]
    return Validation(values, score, {"identity_deviation": deviation})


def empty_truth(components: int, device: torch.device) -> dict[str, Tensor]:
    """Return the sums of no rows with truth, so that all processes have the same."""
    zero = torch.zeros((), dtype=torch.float64, device=device)
    names = ("square", "found", "found_square", "wanted", "wanted_square", "product")
    vectors = {name: zero.expand(components).clone() for name in names}
    return {"known": zero, "error": zero.clone(), "mean_face": zero.clone(), **vectors}


def _variance(total: Tensor, square: Tensor, count: float) -> Tensor:
    return (square / count - (total / count).square()).clamp_min(0.0)
