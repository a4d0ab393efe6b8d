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

    face_indices: Int[np.ndarray, "v"]
    barycentrics: Float[np.ndarray, "v 3"]


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
    converged : whether the last iterations hardly moved the mesh.
    verdict : "good", "doubtful" (look at it) or "failed" (do not use it).
    reasons : for a verdict other than "good", one clause each.
    timings : seconds by stage.
    """

    mesh: Mesh
    valid: Bool[np.ndarray, "v"]
    distances: Float[np.ndarray, "v"]
    correspondence: Correspondence
    similarity: Similarity
    converged: bool
    verdict: Verdict
    reasons: tuple[str, ...]
    timings: Mapping[str, float]
