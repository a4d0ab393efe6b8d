"""One raw scan file to one registered mesh: read, clean, find landmarks, register, carry colours over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from morphkit.building.colors import ColorSettings, has_colors, in_sight, transfer_colors
from morphkit.building.outcome import RegisteredScan
from morphkit.building.templates import LandmarkedTemplate, Look, as_clay, landmark_file
from morphkit.errors import NoFaceError
from morphkit.io.files import file_hash
from morphkit.io.landmarks import read_landmarks_counted
from morphkit.io.meshes import read_mesh
from morphkit.landmarks import ScanLandmarkSettings, detect_scan_landmarks, embed_landmarks
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.registration import RegistrationSettings
from morphkit.registration import register as register_mesh
from morphkit.registration.progress import timed
from morphkit.scans.clean import CleanedScan, CleanSettings, clean_scan
from morphkit.scans.discover import ScanFile, find_landmarks

_UNREAD = (
    "Its landmark file was not read: the template has no landmarks to compare it with, so both were looked "
    "at; give the template's (--template-landmarks) to go by the file."
)
_UNSETTLED = "The registration had not quite settled in its last round."


@dataclass(frozen=True)
class RegisterSettings:
    """Every number that steers the way from a scan file to a registered mesh.

    Attributes
    ----------
    cleaning, detection, registration, colors : the stages' own settings.
    detected_inflation : factor on the standard deviations of detected landmarks. One network sets all 478
        points and its errors go together, so that they say no more than about a dozen independent ones.
    texture : whether colours are carried over.
    """

    cleaning: CleanSettings = field(default_factory=CleanSettings)
    detection: ScanLandmarkSettings = field(default_factory=ScanLandmarkSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    colors: ColorSettings = field(default_factory=ColorSettings)
    detected_inflation: float = 6.0
    texture: bool = True


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan that is ready to be registered.

    Attributes
    ----------
    source : its files.
    raw : as it was delivered, but in millimetres.
    mesh : cleaned, in millimetres, in the scan's own pose.
    landmarks : in the same frame.
    look : how the scan looked when they were found on rendered views; None when they come from a file.
    millimetres_per_unit : of the scan's units.
    remarks : what cleaning mended, and landmarks that were left out.
    scan_hash : SHA-256 of the scan's file.
    timings : seconds by stage.
    """

    source: ScanFile
    raw: Mesh
    mesh: Mesh
    landmarks: Landmarks
    look: Look | None
    millimetres_per_unit: float
    remarks: tuple[str, ...]
    scan_hash: str
    timings: Mapping[str, float]


def register_scan(
    scan: ScanFile | str | Path,
    template: LandmarkedTemplate | Template,
    settings: RegisterSettings | None = None,
) -> RegisteredScan:
    """Register one raw scan file.

    Parameters
    ----------
    scan : its files; a path alone takes a landmark sidecar beside it, if there is one.
    template : with the landmarks that scans are placed by; without any, scan and template are both looked at.
    settings : of all stages.

    Raises
    ------
    BadInputError
        When a file cannot be used (`RejectedScanError`: its geometry; `NoFaceError`: no face on its views).
    RegistrationError
        When the template cannot be placed on the scan.
    """
    settings = settings or RegisterSettings()
    source = scan if isinstance(scan, ScanFile) else scan_file(scan)
    known = template if isinstance(template, LandmarkedTemplate) else landmarked(template, [source], settings)
    return register_prepared(prepare_scan(source, known, settings), known, settings)


def landmarked(
    template: Template, scans: Sequence[ScanFile], settings: RegisterSettings
) -> LandmarkedTemplate:
    """Return the template with what scans need whose landmarks are not read: landmarks as detected.

    Raises
    ------
    NoFaceError
        When such scans are there, but the detector finds no face on the template.
    """
    if all(landmark_file(scan, template) is not None for scan in scans):
        return LandmarkedTemplate(template)
    try:
        looks: dict[Look, Mapping[str, LandmarkEmbedding]] = {}
        if has_colors(template.mesh):
            looks["colored"] = embed_landmarks(template.mesh, settings.detection)
        looks["clay"] = embed_landmarks(as_clay(template.mesh), settings.detection)
        return LandmarkedTemplate(template, looks)
    except NoFaceError as error:
        raise NoFaceError(
            "No face was found on the template, so scans cannot be compared with it; give its landmarks "
            "(--template-landmarks) and lay a landmark file beside every scan, or take another template."
        ) from error


def prepare_scan(source: ScanFile, template: LandmarkedTemplate, settings: RegisterSettings) -> PreparedScan:
    """Read a scan, clean it, and read or find its landmarks; see `register_scan` for what it raises."""
    timings: dict[str, float] = {}
    with timed(timings, "read"):
        raw = read_mesh(source.path, allow_nonfinite=True)
        scan_hash = file_hash(source.path)
    with timed(timings, "clean"):
        cleaned = clean_scan(raw, settings.cleaning)
    with timed(timings, "landmarks"):
        path, look = landmark_file(source, template.template), None
        if path is not None:
            landmarks, remarks = _read(path, cleaned)
        else:
            look = template.shared_look(cleaned.mesh)
            landmarks = _detect(cleaned.mesh, look, settings)
            remarks = () if source.landmarks_path is None else (_UNREAD,)
    return PreparedScan(
        source=source,
        raw=replace(raw, vertices=raw.vertices * cleaned.report.scale),
        mesh=cleaned.mesh,
        landmarks=landmarks,
        look=look,
        millimetres_per_unit=cleaned.report.scale,
        remarks=(*cleaned.report.remarks, *remarks),
        scan_hash=scan_hash,
        timings=timings,
    )


def register_prepared(
    scan: PreparedScan,
    template: LandmarkedTemplate,
    settings: RegisterSettings,
    modes: Float[np.ndarray, "v 3 k"] | None = None,
) -> RegisteredScan:
    """Register a prepared scan; see `register_scan` for what it raises.

    Parameters
    ----------
    scan : from `prepare_scan`.
    template : with the landmarks that scans are placed by.
    settings : of all stages.
    modes : (v, 3, k) deformations of the template learnt from data, millimetres, one standard deviation each.
    """
    timings = dict(scan.timings)
    with timed(timings, "register"):
        result = register_mesh(
            scan.mesh,
            template.matching(scan.look),
            landmarks=scan.landmarks,
            settings=settings.registration,
            modes=modes,
        )
    colors = None
    with timed(timings, "colors"):
        if settings.texture and has_colors(scan.mesh):
            eyes = in_sight(result.mesh, template.eyes, result.similarity.rotation)
            colors = transfer_colors(scan.mesh, result.mesh, settings.colors, valid=result.valid | eyes)
    units = scan.millimetres_per_unit
    return RegisteredScan(
        name=scan.source.name,
        mesh=replace(result.mesh, vertices=result.mesh.vertices / units, colors=colors, texture=None),
        millimetres_per_unit=units,
        valid=result.valid,
        distances=result.distances,
        rotation=result.similarity.rotation.T,
        landmarks=scan.landmarks.scaled(1 / units),
        diagnosis=result.diagnosis,
        verdict=result.verdict,
        reasons=result.reasons,
        remarks=scan.remarks if result.converged else (*scan.remarks, _UNSETTLED),
        timings=timings,
        scan_hash=scan.scan_hash,
    )


def scan_file(path: str | Path) -> ScanFile:
    """Return a scan's files: the path, and the landmark file beside it if there is one."""
    return ScanFile(Path(path), find_landmarks(path))


def _detect(mesh: Mesh, look: Look, settings: RegisterSettings) -> Landmarks:
    found = detect_scan_landmarks(as_clay(mesh) if look == "clay" else mesh, settings.detection)
    return found.mediapipe478.less_certain(settings.detected_inflation)


def _read(path: Path, cleaned: CleanedScan) -> tuple[Landmarks, tuple[str, ...]]:
    """Return a file's landmarks in millimetres, and remarks on them."""
    landmarks, listed = read_landmarks_counted(path)
    lost = listed - len(landmarks.names)
    verb = "is not a number" if lost == 1 else "are not numbers"
    remarks = (f"{lost} of {listed} landmarks {verb}: left out.",) if lost else ()
    return landmarks.scaled(cleaned.report.scale), remarks
