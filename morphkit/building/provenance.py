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
from morphkit.building.templates import LandmarkedTemplate
from morphkit.export.build_report import ScanRow


def provenance(
    outcomes: Sequence[ScanOutcome],
    template: LandmarkedTemplate,
    template_path: str | Path | None,
    settings: Any,
) -> dict[str, Any]:
    """Return what the model was made from; no times, no folders: the same input gives the same file.

    Parameters
    ----------
    outcomes : of all scans.
    template : that they were registered to.
    template_path : its file, or None for the embedded head.
    settings : a dataclass.
    """
    versions = {"morphkit": morphkit.__version__, "python": platform.python_version()}
    return {
        "made_by": "morphkit build-basis",
        "scans": [
            {"file": scan.source.name, "sha256": scan.scan_hash, "verdict": scan.verdict}
            for scan in outcomes
            if scan.usable
        ],
        "left_out": [
            {"file": scan.source.name, "reasons": [_without_folder(reason, scan) for reason in scan.reasons]}
            for scan in outcomes
            if not scan.usable
        ],
        "template": {
            "file": "the embedded head" if template_path is None else Path(template_path).name,
            "sha256": template.digest,
        },
        "settings": asdict(settings),
        "versions": versions | {name: version(name) for name in PACKAGES},
    }


def _without_folder(reason: str, scan: ScanOutcome) -> str:
    return reason.replace(f"{scan.source.parent}{os.sep}", "")


def scan_rows(outcomes: Sequence[ScanOutcome]) -> list[ScanRow]:
    """Return the report's line on each scan."""
    return [
        ScanRow(
            scan.name,
            scan.verdict,
            scan.reasons,
            scan.mean_distance,
            scan.picture_path,
            scan.remarks,
            scan.timings,
            scan.reused,
        )
        for scan in outcomes
    ]
