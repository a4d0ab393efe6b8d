"""What became of a scan: the registration itself, and the line that a person reads about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from morphkit.mesh import Landmarks, Mesh
from morphkit.registration import Diagnosis

Verdict = Literal["good", "doubtful", "failed"]


@dataclass(frozen=True, eq=False)
class RegisteredScan:
    """A scan in the template's topology.

    Attributes
    ----------
    name : the scan's name among its folder's.
    mesh : the registered mesh in the scan's own frame and units; coloured if the scan is, NaN where unknown.
    millimetres_per_unit : of the scan's units.
    valid : (v,) whether the scan supports the vertex; elsewhere the template's shape was carried on.
    distances : (v,) to the scan's surface, millimetres.
    rotation : (3, 3) from the scan's frame to the head frame.
    landmarks : that it was placed by, in the scan's frame and units.
    diagnosis : the figures that the verdict rests on.
    verdict : "good", "doubtful" or "failed".
    reasons : for the verdict.
    remarks : what cleaning mended, and what else is to be said.
    timings : seconds by stage.
    scan_hash : SHA-256 of the scan's file.
    fingerprint : hashes of everything the result depends on, by which a later run knows it; empty when nobody
        asked.
    """

    name: str
    mesh: Mesh
    millimetres_per_unit: float
    valid: Bool[np.ndarray, " v"]
    distances: Float[np.ndarray, " v"]
    rotation: Float[np.ndarray, "3 3"]
    landmarks: Landmarks
    diagnosis: Diagnosis
    verdict: Verdict
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]
    timings: Mapping[str, float]
    scan_hash: str
    fingerprint: Mapping[str, str] = field(default_factory=dict)

    @property
    def mesh_mm(self) -> Mesh:
        """The mesh in millimetres, in the scan's frame."""
        return replace(self.mesh, vertices=self.mesh.vertices * self.millimetres_per_unit)


@dataclass(frozen=True)
class ScanOutcome:
    """What became of one scan file.

    Attributes
    ----------
    name : the scan's name, which its result files bear.
    source : the scan's file.
    verdict : "good", "doubtful" or "failed"; a failed scan has no result files and enters no model.
    reasons : for the verdict.
    remarks : what cleaning mended, and what else is to be said.
    mesh_path : the registered mesh, or None.
    picture_path : what there is to look at, or None.
    diagnosis : the figures that the verdict rests on; None when there was no registration.
    timings : seconds by stage, also of a result that was reused; empty when there was no registration.
    scan_hash : SHA-256 of the scan's file; empty for a scan that failed.
    seconds : that it took.
    reused : whether an earlier run's result was taken.
    exit_code : what a command that was asked for this scan alone would return.
    """

    name: str
    source: Path
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    mesh_path: Path | None = None
    picture_path: Path | None = None
    diagnosis: Diagnosis | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    scan_hash: str = ""
    seconds: float = 0.0
    reused: bool = False
    exit_code: int = 0

    @property
    def usable(self) -> bool:
        """Whether there is a registration to use."""
        return self.verdict != "failed"
