"""What a registration hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry.similarity import Similarity
from morphkit.mesh import Mesh

Verdict = Literal["good", "doubtful", "failed"]


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Each template vertex's point on the scan: the closest one, whether it passed the gates or not.

    Attributes
    ----------
    face_indices : (v,) int32 scan triangles.
    barycentrics : (v, 3) weights there.
    """

    face_indices: Int[np.ndarray, " v"]
    barycentrics: Float[np.ndarray, "v 3"]


@dataclass(frozen=True)
class Diagnosis:
    """Figures that a verdict rests on.

    How near the surface lies to the scan says nothing about sliding along it; landmarks and strain do.

    Attributes
    ----------
    covered : share of the judged template area that found data on the scan.
    distance : mean distance of that area to the scan, millimetres.
    landmark_error : median distance of the registered landmarks to the given ones, millimetres; None without.
    flipped : share of triangles that turned over.
    strain : how unevenly the edges lengthened: root mean square of the logarithm of the factor, apart from an
        even growth; None when the method does not tell.
    resizing : logarithm of the scale when the placement was searched for; None when landmarks gave it.
    """

    covered: float
    distance: float
    landmark_error: float | None
    flipped: float
    strain: float | None
    resizing: float | None


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """A scan in template topology.

    Attributes
    ----------
    mesh : the deformed template, in the scan's frame and units.
    valid : (v,) whether the scan has data for the vertex; elsewhere the shape only carries on.
    distances : (v,) of the vertices to the scan's surface.
    correspondence : the closest scan points.
    similarity : from the template's frame to the scan's.
    diagnosis : the figures that the verdict rests on.
    converged : whether the last iterations hardly moved the mesh.
    verdict : "good", "doubtful" (look at it) or "failed" (do not use it).
    reasons : for a verdict other than "good", one clause each.
    timings : seconds by stage.
    """

    mesh: Mesh
    valid: Bool[np.ndarray, " v"]
    distances: Float[np.ndarray, " v"]
    correspondence: Correspondence
    similarity: Similarity
    diagnosis: Diagnosis
    converged: bool
    verdict: Verdict
    reasons: tuple[str, ...]
    timings: Mapping[str, float]
