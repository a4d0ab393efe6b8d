"""All that can be said of how good a basis is, given the shapes at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.alignment import align_shapes
from morphkit.basis.linear import compactness
from morphkit.basis.metrics import Metric, generalization, leave_out_generalization, specificity
from morphkit.basis.outliers import Outlier, find_outliers
from morphkit.linear import LinearModel

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a basis is.

    Attributes
    ----------
    compactness : (k,) share of the variance in the first 1, 2, ... k modes.
    generalization : to held-out shapes; None without any.
    leave_out : to the training shapes, some left out at a time; None without enough of them.
    specificity : of random heads; None without real ones to compare with.
    specific_to : what those were, "training" or "held-out".
    outliers : training shapes that stand out.
    """

    compactness: Float[np.ndarray, " k"]
    generalization: Metric | None = None
    leave_out: Metric | None = None
    specificity: Metric | None = None
    specific_to: str | None = None
    outliers: tuple[Outlier, ...] = ()

    def modes_for(self, share: float) -> int | None:
        """Return how many modes hold this share of the variance; None if all of them do not."""
        enough = np.flatnonzero(self.compactness >= share - 1e-9)
        return int(enough[0]) + 1 if len(enough) else None


def evaluate_basis(
    model: LinearModel,
    faces: Int[np.ndarray, "f 3"],
    *,
    held_out: Float[np.ndarray, "n v 3"] | None = None,
    training: Float[np.ndarray, "m v 3"] | None = None,
    mask: Bool[np.ndarray, " v"] | None = None,
    samples: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure what these shapes allow: compactness needs none, generalization and specificity some.

    Parameters
    ----------
    model : with an orthonormal basis.
    faces : (f, 3) the topology.
    held_out : (n, v, 3) registered shapes of people who are not in the model, in any poses.
    training : (m, v, 3) the shapes that it was made from, in any poses.
    mask : (v,) the vertices to measure and to align on; all when None.
    samples : random heads for specificity.
    seed : of all that is drawn at random.
    progress : called with a stage, how much of it is done, and how much there is.
    """
    general = left_out = specific = against = None
    outliers: tuple[Outlier, ...] = ()
    if held_out is not None:
        with _stage(progress, "Generalization"):
            general = generalization(model, held_out, faces, mask=mask, seed=seed)
    if training is not None:
        with _stage(progress, "Leaving scans out"):
            weights = None if mask is None else mask.astype(np.float64)
            aligned = align_shapes(training, model.mean.astype(np.float64), weights=weights)
            if len(training) > 3:
                left_out = leave_out_generalization(aligned.shapes, faces, mask=mask, seed=seed)
            outliers = find_outliers(aligned.shapes, mask=mask, faces=faces, seed=seed)
    real = held_out if training is None else training
    if real is not None:
        with _stage(progress, "Specificity"):
            specific = specificity(model, real, faces, mask=mask, samples=samples, seed=seed)
        against = "held-out" if training is None else "training"
    return Evaluation(compactness(model), general, left_out, specific, against, outliers)


@contextmanager
def _stage(progress: Progress | None, name: str) -> Iterator[None]:
    """Tell that a stage begins, and when it has ended."""
    if progress is not None:
        progress(name, 0, 1)
    yield
    if progress is not None:
        progress(name, 1, 1)
