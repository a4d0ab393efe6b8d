"""Scans to model: the stages tied together, resumable."""

from morphkit.building.batch import register
from morphkit.building.build import BuildResult, BuildSettings, TooFewScansError, build_basis
from morphkit.building.outcome import RegisteredScan, ScanOutcome
from morphkit.building.registering import RegisterSettings, register_scan
from morphkit.building.templates import load_template

__all__ = [
    "BuildResult",
    "BuildSettings",
    "RegisterSettings",
    "RegisteredScan",
    "ScanOutcome",
    "TooFewScansError",
    "build_basis",
    "load_template",
    "register",
    "register_scan",
]
