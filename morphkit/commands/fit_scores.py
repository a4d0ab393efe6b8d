"""How near fits come to true faces: one by one, and all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from morphkit.commands.faces import Face, find_fit, read_face
from morphkit.errors import BadInputError, MorphkitError
from morphkit.evaluation import Alignment, FaceCrop, PooledErrors, nose_crop, now_crop, scan_to_mesh
from morphkit.mesh import Template

_FEWEST = 10  # vertices of a true face; fewer, and its landmarks are another mesh's


@dataclass(frozen=True)
class Protocol:
    """What is measured, and how.

    Attributes
    ----------
    metrical : whether size counts.
    crop : "now", or a radius in millimetres about the tip of the nose.
    neutral : whether faces are measured without expression, where that is known apart.
    """

    metrical: bool = False
    crop: float | Literal["now"] = "now"
    neutral: bool = False


@dataclass(frozen=True, eq=False)
class FaceScore:
    """How near one fit came.

    Attributes
    ----------
    name : the true face's.
    points : how many points of it are measured.
    distances : (points,) float32 millimetres to the fitted surface, or None for a failure.
    baseline : the same to the baseline's surface, or None without one.
    reason : why it failed, one sentence, or "".
    """

    name: str
    points: int
    distances: Float[np.ndarray, " n"] | None
    baseline: Float[np.ndarray, " n"] | None = None
    reason: str = ""

    @property
    def median(self) -> float:
        """The median distance; infinite for a failure."""
        return np.inf if self.distances is None else float(np.median(self.distances))

    @property
    def baseline_median(self) -> float:
        """The baseline's median distance; NaN without one."""
        return np.nan if self.baseline is None else float(np.median(self.baseline))


@dataclass(frozen=True, eq=False)
class FitEvaluation:
    """How near a folder of fits came to a folder of truths.

    Attributes
    ----------
    truth, fits : the folders.
    protocol : what was measured, and how.
    scores : of each true face.
    unmatched : names of fits without a true face, which were not looked at.
    baseline : what it was compared with, or None.
    files : what was written.
    """

    truth: Path
    fits: Path
    protocol: Protocol
    scores: tuple[FaceScore, ...]
    unmatched: tuple[str, ...] = ()
    baseline: str | None = None
    files: tuple[Path, ...] = ()

    @property
    def failures(self) -> tuple[FaceScore, ...]:
        """The faces that have no fit, or one that cannot be measured."""
        return tuple(score for score in self.scores if score.distances is None)

    @cached_property
    def pooled(self) -> PooledErrors:
        """The distances of all fits."""
        return PooledErrors.of([s.distances for s in self.scores], [s.points for s in self.scores])

    @cached_property
    def pooled_baseline(self) -> PooledErrors | None:
        """The distances of the baseline to all true faces."""
        known = [score.baseline for score in self.scores if score.baseline is not None]
        return PooledErrors.of(known) if known else None

    @cached_property
    def ratio(self) -> float:
        """The pooled median over the baseline's on the same faces, failures left out; NaN without one."""
        same = [s.baseline for s in self.scores if s.baseline is not None and s.distances is not None]
        return self.pooled.median / PooledErrors.of(same).median if same else np.nan

    @cached_property
    def better(self) -> float:
        """The share of faces whose median is below the baseline's; a failure is not. NaN without one."""
        if self.pooled_baseline is None:
            return np.nan
        return float(np.mean([score.median < score.baseline_median for score in self.scores]))


def ranked(scores: Sequence[FaceScore]) -> list[FaceScore]:
    """Return the faces that were measured, best first."""
    return sorted((score for score in scores if score.distances is not None), key=lambda score: score.median)


def measured_vertices(face: Face, crop: float | Literal["now"]) -> Bool[np.ndarray, " v"]:
    """Return which vertices of a true face are measured, as a mask.

    Raises
    ------
    BadInputError
        When it lacks the landmarks that say so, or there are hardly any such vertices.
    """
    chosen = face_crop(face, crop).contains(face.vertices)
    if face.faces is not None:
        on_surface = np.zeros(len(chosen), bool)
        on_surface[face.faces] = True
        chosen &= on_surface
    if face.counted is not None:
        chosen &= face.counted
    if chosen.sum() < _FEWEST:
        raise BadInputError(
            f"{face.path} has {chosen.sum()} vertices near its landmarks; are they its own, in millimetres?"
        )
    return chosen


def face_crop(face: Face, crop: float | Literal["now"]) -> FaceCrop:
    """Return the part of a true face that is measured; BadInputError when landmarks are missing."""
    if crop == "now":
        return now_crop(face.points)
    try:
        return nose_crop(face.landmarks, float(crop))
    except ValueError as error:
        raise BadInputError(f"{face.path}: {error}, which a crop by radius needs.") from error


def measure(face: Face, chosen: np.ndarray, fit: Face, metrical: bool) -> Alignment:
    """Return the alignment of a fit with a true face, and the distances of its chosen vertices."""
    return scan_to_mesh(face.vertices[chosen], face.points, fit.mesh, fit.points, metrical=metrical)


def score_fit(
    face: Face,
    fits: Path,
    topology: Template | None,
    baseline: Face | None,
    protocol: Protocol,
) -> FaceScore:
    """Measure the fit of a true face, and the baseline if there is one; what cannot be is a failure."""
    name = face.path.stem
    chosen = measured_vertices(face, protocol.crop)
    compared = None
    if baseline is not None:
        compared = _measure_baseline(face, chosen, baseline, protocol.metrical)
    score = FaceScore(name, int(chosen.sum()), None, compared)
    path = find_fit(fits, name)
    if path is None:
        return replace(score, reason="missing")
    try:
        fit = read_face(path, topology, neutral=protocol.neutral)
        found = measure(face, chosen, fit, protocol.metrical)
    except (MorphkitError, ValueError) as error:
        return replace(score, reason=" ".join(str(error).split()))
    return replace(score, distances=found.distances.astype(np.float32))


def _measure_baseline(face: Face, chosen: np.ndarray, baseline: Face, metrical: bool) -> np.ndarray:
    try:
        return measure(face, chosen, baseline, metrical).distances.astype(np.float32)
    except MorphkitError as error:
        raise BadInputError(f"The baseline cannot be measured against {face.path}: {error}.") from error
