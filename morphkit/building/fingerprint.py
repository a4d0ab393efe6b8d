"""What a registration depends on, in hashes: results are reused only where nothing of it has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from morphkit import jobs
from morphkit.building.templates import LandmarkedTemplate, landmark_file
from morphkit.io.files import file_hash
from morphkit.io.side_files import side_files
from morphkit.scans.discover import ScanFile

PACKAGES = ("numpy", "scipy", "numba", "ai-edge-litert", "fast-simplification", "trimesh", "pillow")
"""Whose numbers a model's depend on."""

_ROOMS = ("mesh.py", "io", "geometry", "scans", "landmarks", "registration", "building", "data")


Fingerprint = Mapping[str, str]
"""Hashes of the things that a registration depends on, by name: one of `COMMON`, "scan" or "landmarks"."""

COMMON = ("template", "modes", "settings", "code")
"""What all scans of a batch have in common."""


def common_fingerprint(
    template: LandmarkedTemplate, settings: object, modes_digest: str = ""
) -> dict[str, str]:
    """Return the hashes of what all scans of a batch depend on.

    Parameters
    ----------
    template : with the landmarks that scans are placed by.
    settings : of all stages; whatever its `repr` shows.
    modes_digest : of the learnt deformations, if there are any.
    """
    chosen = hashlib.sha256(repr(settings).encode()).hexdigest()
    return dict(zip(COMMON, (template.digest, modes_digest, chosen, code_digest()), strict=True))


def scan_fingerprint(
    source: ScanFile, template: LandmarkedTemplate, settings: object, modes_digest: str = ""
) -> dict[str, str]:
    """Return the hashes of everything that a registration depends on.

    Parameters
    ----------
    source : the scan with its landmark file; materials and pictures that it names count as well.
    template, settings, modes_digest : see `common_fingerprint`.
    """
    read = landmark_file(source, template.template)
    parts = [file_hash(source.path), *(_content(path) for path in side_files(source.path))]
    return {
        "scan": hashlib.sha256("\0".join(parts).encode()).hexdigest(),
        "landmarks": f"detected {template.detected_digest}" if read is None else file_hash(read),
        **common_fingerprint(template, settings, modes_digest),
    }


def code_digest() -> str:
    """Return a hash of what computes: morphkit's own code and networks, and the versions of `PACKAGES`."""
    return jobs.code_digest(_ROOMS, PACKAGES)


def _content(path: Path) -> str:
    return f"{path.name} {file_hash(path)}" if path.is_file() else f"{path.name} is missing"
