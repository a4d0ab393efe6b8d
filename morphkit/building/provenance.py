"""What a model was made from, for its file and for its report."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import morphkit
from morphkit.building.fingerprint import PACKAGES
from morphkit.building.outcome import ScanOutcome
from morphkit.building.statistics import Statistics
from morphkit.building.templates import LandmarkedTemplate

_FIGURES = ("covered", "landmark_error", "strain")


def provenance(
    outcomes: Sequence[ScanOutcome],
    found: Statistics,
    template: LandmarkedTemplate,
    template_path: str | Path | None,
    settings: Any,
) -> dict[str, Any]:
    """Return what the model was made from; no times, no folders: the same input gives the same file.

    Parameters
    ----------
    outcomes : of all scans.
    found : the statistics.
    template : that they were registered to.
    template_path : its file, or None for the embedded head.
    settings : a dataclass.
    """
    versions = {"morphkit": morphkit.__version__, "python": platform.python_version()}
    said = {scan.name: _reasons(scan, found) for scan in outcomes}
    return {
        "made_by": "morphkit build-basis",
        "scans": [
            {
                "name": scan.name,
                "file": scan.source.name,
                "sha256": scan.scan_hash,
                "verdict": scan.verdict,
                **_figures(scan),
                **said[scan.name],
            }
            for scan in outcomes
            if scan.name in found.used
        ],
        "left_out": [
            {"name": scan.name, "file": scan.source.name, **said[scan.name]}
            for scan in outcomes
            if scan.name not in found.used
        ],
        "template": {
            "file": "the embedded head" if template_path is None else Path(template_path).name,
            "sha256": template.digest,
        },
        "settings": asdict(settings),
        "versions": versions | {name: version(name) for name in PACKAGES},
    }


def _figures(scan: ScanOutcome) -> dict[str, float]:
    """Return what the verdict rests on, to four digits; landmarks in millimetres."""
    facts = {} if scan.diagnosis is None else asdict(scan.diagnosis)
    return {name: float(f"{facts[name]:.4g}") for name in _FIGURES if facts.get(name) is not None}


def _reasons(scan: ScanOutcome, found: Statistics) -> dict[str, list[str]]:
    reasons = [reason.replace(f"{scan.source.parent}{os.sep}", "") for reason in scan.reasons]
    reasons += [said[scan.name] for said in (found.outliers, found.unpaired) if scan.name in said]
    return {"reasons": reasons} if reasons else {}
