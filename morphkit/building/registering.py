"""One raw scan file to one registered mesh: read, clean, find landmarks, register, carry colours over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import morphkit
from morphkit.building.colors import ColorSettings, has_colors, transfer_colors
from morphkit.building.outcome import RegisteredScan
from morphkit.building.store import file_hash
from morphkit.building.templates import LandmarkedTemplate
from morphkit.io.landmarks import read_landmarks
from morphkit.io.meshes import read_mesh
from morphkit.landmarks import ScanLandmarkSettings, detect_scan_landmarks
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration import RegistrationSettings
from morphkit.registration import register as register_mesh
from morphkit.scans import CleanedScan, CleanSettings, clean_scan


@dataclass(frozen=True)
class RegisterSettings:
    """Every number that steers the way from a scan file to a registered mesh.

    Attributes
    ----------
    cleaning, detection, registration, colors : the stages' own settings.
    texture : whether colours are carried over.
    """

    cleaning: CleanSettings = field(default_factory=CleanSettings)
    detection: ScanLandmarkSettings = field(default_factory=ScanLandmarkSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    colors: ColorSettings = field(default_factory=ColorSettings)
    texture: bool = True


@dataclass(frozen=True)
class ScanSource:
    """A scan's files.

    Attributes
    ----------
    name : what its results are called.
    path : the scan.
    landmarks_path : its landmark file, or None to find landmarks on rendered views.
    """

    name: str
    path: Path
    landmarks_path: Path | None = None


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan that is ready to be registered.

    Attributes
    ----------
    source : its files.
    mesh : cleaned, in millimetres, in the scan's own pose.
    landmarks : in the same frame.
    detected : whether they were found on rendered views; else they come from a file.
    millimetres_per_unit : of the scan's units.
    remarks : what cleaning and detection have to say to a person.
    scan_hash : SHA-256 of the scan's file.
    timings : seconds by stage.
    """

    source: ScanSource
    mesh: Mesh
    landmarks: Landmarks
    detected: bool
    millimetres_per_unit: float
    remarks: tuple[str, ...]
    scan_hash: str
    timings: Mapping[str, float]


def register_scan(
    scan: ScanSource | str | Path,
    template: LandmarkedTemplate | Template,
    settings: RegisterSettings | None = None,
) -> RegisteredScan:
    """Register one raw scan file.

    Parameters
    ----------
    scan : its files; a path alone takes a landmark sidecar beside it, if there is one.
    template : with the landmarks that scans are placed by.
    settings : of all stages.

    Raises
    ------
    BadInputError
        When a file cannot be used (`RejectedScanError`: its geometry; `NoFaceError`: no face on its views).
    RegistrationError
        When the template cannot be placed on the scan.
    """
    settings = settings or RegisterSettings()
    source = scan if isinstance(scan, ScanSource) else find_source(Path(scan))
    known = template if isinstance(template, LandmarkedTemplate) else LandmarkedTemplate(template)
    return register_prepared(prepare_scan(source, settings), known, settings)


def prepare_scan(source: ScanSource, settings: RegisterSettings) -> PreparedScan:
    """Read a scan, clean it, and read or find its landmarks; see `register_scan` for what it raises."""
    timings: dict[str, float] = {}
    with _timed(timings, "read"):
        raw = read_mesh(source.path, allow_nonfinite=True)
        scan_hash = file_hash(source.path)
    with _timed(timings, "clean"):
        cleaned = clean_scan(raw, settings.cleaning)
    with _timed(timings, "landmarks"):
        landmarks, remarks = _landmarks(source, cleaned, settings)
    return PreparedScan(
        source=source,
        mesh=cleaned.mesh,
        landmarks=landmarks,
        detected=source.landmarks_path is None,
        millimetres_per_unit=cleaned.report.scale,
        remarks=remarks,
        scan_hash=scan_hash,
        timings=timings,
    )


def register_prepared(
    scan: PreparedScan, template: LandmarkedTemplate, settings: RegisterSettings
) -> RegisteredScan:
    """Register a prepared scan; see `register_scan` for what it raises."""
    timings = dict(scan.timings)
    with _timed(timings, "register"):
        result = register_mesh(
            scan.mesh,
            template.matching(scan.detected),
            landmarks=scan.landmarks,
            settings=settings.registration,
        )
    colors = None
    with _timed(timings, "colors"):
        if settings.texture and has_colors(scan.mesh):
            colors = transfer_colors(scan.mesh, result.mesh, settings.colors)
    units = scan.millimetres_per_unit
    return RegisteredScan(
        name=scan.source.name,
        mesh=Mesh(result.mesh.vertices / units, result.mesh.faces, colors),
        millimetres_per_unit=units,
        valid=result.valid,
        distances=result.distances,
        rotation=result.similarity.rotation.T,
        landmarks=replace(scan.landmarks, points=scan.landmarks.points / units),
        verdict=result.verdict,
        reasons=(*result.reasons, *scan.remarks),
        timings=timings,
        scan_hash=scan.scan_hash,
        fingerprint=scan_fingerprint(scan.source, template, settings),
    )


def scan_fingerprint(source: ScanSource, template: LandmarkedTemplate, settings: RegisterSettings) -> str:
    """Return a hash of everything a registration depends on: files, template, settings, version.

    A texture image beside an OBJ is not looked at.
    """
    landmarks = "detected" if source.landmarks_path is None else file_hash(source.landmarks_path)
    parts = (file_hash(source.path), landmarks, template.digest, repr(settings), morphkit.__version__)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def find_source(path: Path) -> ScanSource:
    """Return a scan's files: the path, and the landmark sidecar beside it if there is one."""


def _landmarks(
    source: ScanSource, cleaned: CleanedScan, settings: RegisterSettings
) -> tuple[Landmarks, tuple[str, ...]]:
    if source.landmarks_path is not None:
        given = read_landmarks(source.landmarks_path)
        return replace(given, points=given.points * cleaned.report.scale), ()
    found = detect_scan_landmarks(cleaned.mesh, settings.detection)
    return found.ibug68, ()


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
