"""A folder of raw scans to a model file and a page that shows how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from morphkit.archive import save_model
from morphkit.basis import BasisSettings
from morphkit.building.batch import Progress, quiet, register_all
from morphkit.building.handout import Common
from morphkit.building.outcome import ScanOutcome
from morphkit.building.outputs import ensure_model_path, ensure_results_apart, ensure_writable
from morphkit.building.parallel import Workers
from morphkit.building.provenance import provenance
from morphkit.building.registering import RegisterSettings, landmarked
from morphkit.building.reporting import figures, scan_rows
from morphkit.building.statistics import Material, fit_registered
from morphkit.building.templates import load_template, load_template_model
from morphkit.building.workspace import ensure_resumable, work_folder, workspace
from morphkit.errors import BadInputError, MorphkitError
from morphkit.export.build_report import write_build_report
from morphkit.morphable import MorphableModel
from morphkit.scans import ScanFile, discover

_FEWEST = 2


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
    outliers : why a registered scan is unlike the others, by name, the oddest first.
    used : names of the scans that the model is made of.
    """

    model: MorphableModel
    path: Path
    report: Path
    scans: tuple[ScanOutcome, ...]
    outliers: Mapping[str, str]
    used: tuple[str, ...]


class TooFewScansError(MorphkitError):
    """No model, since hardly a scan could be registered.

    Attributes
    ----------
    scans : what became of each scan.
    report : the page that shows them.
    """

    def __init__(self, used: int, scans: tuple[ScanOutcome, ...], report: Path) -> None:
        reason = "; ".join(scans[0].reasons).rstrip(".") if len(scans) == 1 else ""
        super().__init__(
            f"{used} of {len(scans)} scans could be registered, and a model needs at least {_FEWEST}"
            + (f" ({reason})." if reason else f"; {report} shows what became of each.")
        )
        self.scans, self.report = scans, report
        if all(scan.usable or scan.exit_code == BadInputError.exit_code for scan in scans):
            self.exit_code = BadInputError.exit_code


def build_basis(
    scans_dir: str | Path,
    output: str | Path,
    *,
    template: str | Path | None = None,
    template_landmarks: str | Path | None = None,
    components: int | None = None,
    texture: bool = True,
    prune: bool = False,
    work_dir: str | Path | None = None,
    resume: bool | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    settings: BuildSettings | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a morphable model from a folder of raw face scans.

    Every scan is cleaned and registered to the template; the registered meshes are aligned and decomposed,
    shape and albedo each. A scan that fails is named in the result and in the report, and enters nothing.
    A run that is cut short, even killed, loses the scans in flight: the next one takes what is in the work
    folder. The same scans, settings and code give the same model to the byte, however it came about.

    Parameters
    ----------
    scans_dir : the scans (ply, obj, stl, off, glb), with landmark sidecars or without.
    output : the model's file (.h5). ``<stem>-report.html`` is written beside it.
    template : a mesh, a model file, or None for the embedded head. A model passes on its uv, masks,
        landmarks, mirror map and expressions.
    template_landmarks : see `load_template`.
    components : modes of shape and of albedo to keep; None keeps all, up to 199 and 40.
    texture : build an albedo model where the scans have colours.
    prune : leave out scans that are unlike all others; they are named in any case.
    work_dir : registered meshes are kept here. None takes ``<stem>-work`` beside the model, which goes when
        the model is there.
    resume : True takes the results of an earlier run that the work folder holds, and insists that there are
        some; None takes them if there are any; False registers every scan anew. A result is only ever taken
        if the scan's files, its landmarks, the template, the settings and the code are the same.
    jobs : scans at once, in processes; None is one a core, at most 8.
    scheduler : the address of a Dask scheduler, whose workers register the scans; they must see scans and
        work folder under the same paths.
    settings : of all stages.
    progress : called with a stage's name, its finished steps and all its steps.

    Raises
    ------
    BadInputError
        When the folder holds no scans or only unusable ones, the template cannot be used, a result would
        overwrite an input, there is nothing to resume, or no worker answers at `scheduler`.
    MorphkitError
        When fewer than two scans could be registered, or a result cannot be written.
    """
    chosen = _chosen(settings or BuildSettings(), components, texture)
    target, report = Path(output), progress or quiet
    folder, workers = work_folder(target, work_dir), Workers(jobs, scheduler)
    page, files = target.with_name(f"{target.stem}-report.html"), discover(scans_dir)
    _ensure_places(target, folder, files, (template, template_landmarks))
    if work_dir is not None:
        ensure_writable(folder / "registered.npz")
    if resume:
        ensure_resumable(folder)
    source = load_template_model(template)
    known = landmarked(load_template(template, template_landmarks), files, chosen.registering)
    with workspace(folder, keep=work_dir is not None):
        outcomes = register_all(
            files,
            Common(known),
            folder,
            chosen.registering,
            workers=workers,
            reuse=resume is not False,
            progress=report,
        )
        _ensure_enough(outcomes, page)
        report("Building the model", 0, 1)
        names = tuple(scan.name for scan in outcomes if scan.usable)
        material = Material(folder, names, known.complete, source)
        found = fit_registered(material, chosen.basis, prune=prune, capped=components is None)
        dropped = len(found.used) < len(names)
        record = provenance(outcomes, found.outliers, dropped, known, template, chosen)
        model = replace(found.model, provenance={**record, **found.model.provenance})
        save_model(target, model)
        report("Building the model", 1, 1)
        report("Writing the report", 0, 1)
        write_build_report(
            page,
            model,
            scan_rows(outcomes, found.outliers, dropped),
            title=f"The model {target.name}",
            figures=figures(found),
        )
        report("Writing the report", 1, 1)
    return BuildResult(model, target, page, outcomes, found.outliers, found.used)


def _ensure_places(
    target: Path, folder: Path, files: Sequence[ScanFile], inputs: tuple[str | Path | None, ...]
) -> None:
    ensure_model_path(target, files, inputs)
    ensure_results_apart(folder, files, inputs)
    ensure_writable(target)


def _chosen(settings: BuildSettings, components: int | None, texture: bool) -> BuildSettings:
    basis = settings.basis
    if components is not None:
        basis = replace(basis, identity_components=components, albedo_components=components)
    return BuildSettings(replace(settings.registering, texture=texture), basis)


def _ensure_enough(outcomes: Sequence[ScanOutcome], page: Path) -> None:
    used = sum(scan.usable for scan in outcomes)
    if used < _FEWEST:
        write_build_report(page, None, scan_rows(outcomes), title="No model")
        raise TooFewScansError(used, tuple(outcomes), page)
