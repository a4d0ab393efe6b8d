"""A folder of raw scans to a model file and a page that shows how it came about."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import morphkit
from morphkit.archive import save_model
from morphkit.basis import BasisSettings, build_model
from morphkit.building.batch import Progress, quiet, register_all
from morphkit.building.outcome import RegisteredScan, ScanOutcome
from morphkit.building.outputs import ensure_model_path, ensure_results_apart, ensure_writable
from morphkit.building.registering import RegisterSettings, landmarked
from morphkit.building.store import load_registered, picture_path
from morphkit.building.templates import LandmarkedTemplate, load_template, load_template_model
from morphkit.errors import BadInputError, MorphkitError
from morphkit.export.build_report import ScanRow, write_build_report
from morphkit.io.images import read_image
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel
from morphkit.scans import discover

_FEWEST = 2
_PACKAGES = ("numpy", "scipy", "numba", "ai-edge-litert")


@dataclass(frozen=True)
class BuildSettings:
    """Settings of `build_basis`.

    Attributes
    ----------
    registering : the way from a scan file to a registered mesh.
    basis : the statistics.
    """

    registering: RegisterSettings = field(default_factory=RegisterSettings)
    basis: BasisSettings = field(default_factory=lambda: BasisSettings(identity_components=199))


@dataclass(frozen=True, eq=False)
class BuildResult:
    """What `build_basis` made.

    Attributes
    ----------
    model : the morphable model.
    path : its file.
    report : the page with a picture of every scan.
    scans : what became of each scan, in the folder's order.
    """

    model: MorphableModel
    path: Path
    report: Path
    scans: tuple[ScanOutcome, ...]


def build_basis(
    scans_dir: str | Path,
    output: str | Path,
    *,
    template: str | Path | None = None,
    template_landmarks: str | Path | None = None,
    components: int | None = None,
    texture: bool = True,
    work_dir: str | Path | None = None,
    jobs: int | None = None,
    settings: BuildSettings | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a morphable model from a folder of raw face scans.

    Every scan is cleaned and registered to the template; the registered meshes are aligned and decomposed,
    shape and albedo each. A scan that fails is named in the result and in the report, and enters nothing.

    Parameters
    ----------
    scans_dir : the scans (ply, obj, stl, off, glb), with landmark sidecars or without.
    output : the model's file (.h5). ``<stem>-report.html`` is written beside it.
    template : a mesh, a model file, or None for the embedded head. A model passes on its uv, masks,
        landmarks, mirror map and expressions.
    template_landmarks : see `load_template`.
    components : modes of shape and of albedo to keep; None keeps all, up to 199 and 40.
    texture : build an albedo model where the scans have colours.
    work_dir : registered meshes are kept here, and a later run takes those whose scan, template and settings
        are the same; None keeps nothing.
    jobs : scans at once, in processes; None is one a core, at most 8. The model does not depend on it.
    settings : of all stages.
    progress : called with a stage's name, its finished steps and all its steps.

    Raises
    ------
    BadInputError
        When the folder holds no scans or only unusable ones, the template cannot be used, or a result would
        overwrite an input.
    MorphkitError
        When fewer than two scans could be registered, or a result cannot be written.
    """
    chosen = _chosen(settings or BuildSettings(), components, texture)
    target, report = Path(output), progress or quiet
    files = discover(scans_dir)
    inputs = (template, template_landmarks)
    ensure_model_path(target, files, inputs)
    if work_dir is not None:
        ensure_results_apart(Path(work_dir), files, inputs)
        ensure_writable(Path(work_dir) / "registered.npz")
    ensure_writable(target)
    source = load_template_model(template)
    known = landmarked(load_template(template, template_landmarks), files, chosen.registering)
    with _folder(work_dir) as folder:
        outcomes = register_all(
            files, known, folder, chosen.registering, jobs=jobs, reuse=work_dir is not None, progress=report
        )
        _ensure_enough(outcomes)
        report("Building the model", 0, 1)
        used = [load_registered(folder, scan.name, known.template.mesh) for scan in outcomes if scan.usable]
        provenance = _provenance(outcomes, used, known, template, chosen)
        basis = _limited(chosen.basis, len(used), asked=components is not None)
        model = _build(used, known.complete, source, basis, provenance)
        save_model(target, model)
        report("Building the model", 1, 1)
        report("Writing the report", 0, 1)
        page = target.with_name(f"{target.stem}-report.html")
        write_build_report(page, model, _rows(outcomes, folder), title=f"The model {target.name}")
        report("Writing the report", 1, 1)
    return BuildResult(model, target, page, outcomes)


def _chosen(settings: BuildSettings, components: int | None, texture: bool) -> BuildSettings:
    basis = settings.basis
    if components is not None:
        basis = replace(basis, identity_components=components, albedo_components=components)
    return BuildSettings(replace(settings.registering, texture=texture), basis)


def _limited(settings: BasisSettings, scans: int, *, asked: bool) -> BasisSettings:
    """Return the settings with no more components than the scans span, unless a person asked for more."""
    if asked:
        return settings
    shape, albedo = settings.identity_components, settings.albedo_components
    return replace(
        settings,
        identity_components=min(shape, scans - 1) if isinstance(shape, int) else shape,
        albedo_components=None if albedo is None else min(albedo, scans - 1),
    )


@contextmanager
def _folder(work_dir: str | Path | None) -> Iterator[Path]:
    if work_dir is not None:
        yield Path(work_dir)
        return
    with tempfile.TemporaryDirectory(prefix="morphkit-") as name:
        yield Path(name)


def _ensure_enough(outcomes: Sequence[ScanOutcome]) -> None:
    used = sum(scan.usable for scan in outcomes)
    if used < _FEWEST:
        failures = "; ".join(
            f"{scan.name}: {', '.join(reason.rstrip('.') for reason in scan.reasons)}"
            for scan in outcomes
            if not scan.usable
        )
        bad_input = all(scan.exit_code == BadInputError.exit_code for scan in outcomes)
        raise (BadInputError if bad_input else MorphkitError)(
            f"{used} of {len(outcomes)} scans could be registered, and a model needs at least {_FEWEST}"
            + (f" ({failures})." if failures else "; add more.")
        )


def _build(
    scans: Sequence[RegisteredScan],
    template: Template,
    source: MorphableModel | None,
    settings: BasisSettings,
    provenance: dict[str, Any],
) -> MorphableModel:
    """Return the model of registered scans; what only a source model knows is passed on."""
    model = build_model(
        np.stack([scan.mesh_mm.vertices for scan in scans]),
        template,
        colors=_colors(scans),
        valid=np.stack([scan.valid for scan in scans]),
        mirror=None if source is None else source.mirror,
        settings=settings,
        provenance=provenance,
    )
    if source is None:
        return model
    return replace(model, expression=source.expression, expression_units=source.expression_units)


def _colors(scans: Sequence[RegisteredScan]) -> np.ndarray | None:
    """Return (n, v, 3) colours, NaN for scans without; None when no scan has any."""
    if all(scan.mesh.colors is None for scan in scans):
        return None
    blank = np.full((len(scans[0].mesh.vertices), 3), np.nan, dtype=np.float32)
    return np.stack([blank if scan.mesh.colors is None else scan.mesh.colors for scan in scans])


def _provenance(
    outcomes: Sequence[ScanOutcome],
    used: Sequence[RegisteredScan],
    template: LandmarkedTemplate,
    template_path: str | Path | None,
    settings: BuildSettings,
) -> dict[str, Any]:
    """Return what the model was made from; no times, no folders: the same input gives the same file."""
    hashes = {scan.name: scan.scan_hash for scan in used}
    versions = {"morphkit": morphkit.__version__, "python": platform.python_version()}
    return {
        "made_by": "morphkit build-basis",
        "scans": [
            {"file": scan.source.name, "sha256": hashes[scan.name], "verdict": scan.verdict}
            for scan in outcomes
            if scan.usable
        ],
        "left_out": [
            {"file": scan.source.name, "reasons": list(scan.reasons)} for scan in outcomes if not scan.usable
        ],
        "template": {
            "file": "the embedded head" if template_path is None else Path(template_path).name,
            "sha256": template.digest,
        },
        "settings": asdict(settings),
        "versions": versions | {name: version(name) for name in _PACKAGES},
    }


def _rows(outcomes: Sequence[ScanOutcome], folder: Path) -> list[ScanRow]:
    return [
        ScanRow(
            scan.name,
            scan.verdict,
            scan.reasons,
            scan.mean_distance,
            read_image(picture_path(folder, scan.name)) if scan.usable else None,
            scan.remarks,
        )
        for scan in outcomes
    ]
