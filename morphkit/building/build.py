"""A folder of raw scans to a model file and a page that shows how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from morphkit.archive import save_model
from morphkit.basis import BasisSettings
from morphkit.building.batch import Progress, quiet
from morphkit.building.bootstrap import BootstrapSettings, Registering, register_in_rounds
from morphkit.building.collection import collect, ensure_neutral
from morphkit.building.completing import DEFAULT, completed, expressions_source
from morphkit.building.outcome import ScanOutcome
from morphkit.building.outputs import ensure_model_path, ensure_results_apart
from morphkit.building.provenance import provenance
from morphkit.building.registering import RegisterSettings, landmarked
from morphkit.building.reporting import figures, scan_rows
from morphkit.building.resuming import ensure_resumable
from morphkit.building.statistics import Material, fit_registered
from morphkit.building.templates import load_template, load_template_model
from morphkit.building.workspace import work_folder, workspace
from morphkit.errors import BadInputError, MorphkitError
from morphkit.export.build_report import write_build_report
from morphkit.io.atomic import ensure_writable
from morphkit.jobs.workers import Workers
from morphkit.morphable import MorphableModel

_FEWEST = 2


@dataclass(frozen=True)
class BuildSettings:
    """Settings of `build_basis`.

    Attributes
    ----------
    registering : the way from a scan file to a registered mesh.
    basis : the statistics.
    bootstrap : registering again with the model just built as prior.
    prune : leave out scans that are unlike all others; they are named in any case.
    """

    registering: RegisterSettings = field(default_factory=RegisterSettings)
    basis: BasisSettings = field(default_factory=lambda: BasisSettings(identity_components=199))
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    prune: bool = False


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
    scans: str | Path,
    output: str | Path,
    *,
    template: str | Path | None = None,
    template_landmarks: str | Path | None = None,
    components: int | float | None = None,
    texture: bool = True,
    mirror_training: bool = False,
    bootstrap: int = 0,
    prune: bool = False,
    expressions_from: str | Path = DEFAULT,
    work_dir: str | Path | None = None,
    resume: bool | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    settings: BuildSettings | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a morphable model from raw face scans.

    Every scan is cleaned and registered to the template; the registered meshes are aligned and decomposed,
    shape and albedo each. A scan that fails is named in the result and in the report, and enters nothing.
    A run that is cut short, even killed, loses the scans in flight: the next one takes what is in the work
    folder. The same scans, settings and code give the same model to the byte, however it came about.

    Parameters
    ----------
    scans : a folder of scans (ply, obj, stl, off, glb), with landmark sidecars or without; a folder with one
        folder for each person, whose scans are named after their expressions; or a manifest, a table of files
        with subject, expression and weight (`morphkit.scans.manifest`).
    output : the model's file (.h5). ``<stem>-report.html`` is written beside it.
    template : a mesh, a model file, or None for the embedded head. A model passes on its uv, masks,
        landmarks, mirror map and expressions.
    template_landmarks : see `load_template`.
    components : modes of shape and of albedo to keep, or the share of the variance of shape (a float in
        0..1); None keeps all, up to 199 and 40.
    texture : build an albedo model where the scans have colours.
    mirror_training : every scan counts together with its mirror image; needs a template that is a model with
        a mirror map.
    bootstrap : how often to register again, with the model just built as prior.
    prune : leave out scans that are unlike all others; they are named in any case.
    expressions_from : "default", "none" or a model file. What scans and template leave open (expressions,
        masks, the mirror map, landmark sets) comes from the embedded head, from nowhere or from that model
        (`morphkit.transfer.complete_model`); expressions that the scans show stay in any case.
    work_dir : registered meshes are kept here. None takes ``<stem>-work`` beside the model, which goes when
        the model is there.
    resume : True takes the results of an earlier run that the work folder holds, and insists that there are
        some, of these scans with this template, settings and code; None takes them if there are any; False
        registers every scan anew. A result is only ever taken if nothing that it depends on has changed.
    jobs : scans at once, in processes; None is one a core, at most 8.
    scheduler : the address of a Dask scheduler, whose workers register the scans; they must see scans and
        work folder under the same paths.
    settings : of all stages.
    progress : called with a stage's name, its finished steps and all its steps.

    Raises
    ------
    BadInputError
        When the folder holds no scans or only unusable ones, labels or weights leave fewer than two neutral
        ones that count, the template cannot be used, a result would overwrite an input, there is nothing to
        resume, or no worker answers at `scheduler`.
    MorphkitError
        When fewer than two scans could be registered, or a result cannot be written.
    """
    wanted = _Wanted(components, texture, mirror_training, bootstrap, prune)
    chosen = wanted.applied(settings or BuildSettings())
    _ensure_prior_wanted(chosen)
    target, report = Path(output), progress or quiet
    folder, workers = work_folder(target, work_dir), Workers(jobs, scheduler)
    page = target.with_name(f"{target.stem}-report.html")
    collection = collect(scans)
    if Path(scans).resolve() in folder.resolve().parents:  # an earlier run's results are nobody's scans
        collection = collection.outside(folder)
    ensure_neutral(scans, collection.entries)
    inputs = (template, template_landmarks)
    ensure_model_path(target, collection.files, inputs)
    ensure_results_apart(folder, collection.files, inputs)
    source, completing = load_template_model(template), expressions_source(expressions_from)
    _ensure_mirror(chosen.basis, source)
    known = landmarked(load_template(*inputs), collection.files, chosen.registering)
    if resume:
        ensure_resumable(folder, collection.files, known, chosen.registering)
    _ensure_places_writable(target, folder, keep=work_dir is not None)  # last, since it makes the folders
    with workspace(folder, keep=work_dir is not None):
        registering = Registering(
            collection.files, folder, chosen.registering, workers, resume is not False, report
        )
        registered = register_in_rounds(registering, known, chosen.bootstrap)
        outcomes = registered.outcomes
        _ensure_enough(outcomes, page)
        report("Building the model", 0, 1)
        about = collection.by_name
        entries = {scan.name: about[scan.name] for scan in outcomes if scan.usable}
        ensure_neutral(scans, tuple(entries.values()), what="registered scans")
        material = Material(registered.folder, entries, known.complete, source, workers)
        found = fit_registered(
            material,
            chosen.basis,
            prune=chosen.prune,
            capped=not isinstance(components, int),
            texture=texture,
        )
        report("Building the model", 1, 1)
        report("Completing the model", 0, 1)
        model, carried = completed(found.model, completing, instead=str(expressions_from) != DEFAULT)
        report("Completing the model", 1, 1)
        record = provenance(outcomes, found, known, template, chosen)
        told = model.provenance
        notes = [*registered.notes, *told["notes"], *found.notes, *carried]
        model = replace(model, provenance={**record, **told, "notes": notes})
        save_model(target, model)
        report("Writing the report", 0, 1)
        shown = scan_rows(outcomes, found)
        write_build_report(page, model, shown, title=f"The model {target.name}", figures=figures(found))
        report("Writing the report", 1, 1)
    return BuildResult(model, target, page, outcomes, found.outliers, found.used)


@dataclass(frozen=True)
class _Wanted:
    """What a call of `build_basis` asks for besides its settings."""

    components: int | float | None
    texture: bool
    mirror_training: bool
    bootstrap: int
    prune: bool

    def applied(self, settings: BuildSettings) -> BuildSettings:
        """Return the settings with what was asked for."""
        basis, count = settings.basis, self.components
        if count is not None:
            basis = replace(basis, identity_components=count)
        if isinstance(count, int):
            basis = replace(basis, albedo_components=count)
        return BuildSettings(
            replace(settings.registering, texture=self.texture),
            replace(basis, mirrored=basis.mirrored or self.mirror_training),
            replace(settings.bootstrap, rounds=max(settings.bootstrap.rounds, self.bootstrap)),
            settings.prune or self.prune,
        )


def _ensure_places_writable(target: Path, folder: Path, *, keep: bool) -> None:
    if keep:
        ensure_writable(folder / "registered.npz")
    ensure_writable(target)


def _ensure_prior_wanted(settings: BuildSettings) -> None:
    if settings.bootstrap.rounds and settings.registering.registration.method == "nicp":
        raise BadInputError('The method "nicp" takes no prior, so there is nothing to bootstrap; choose one.')


def _ensure_mirror(settings: BasisSettings, source: MorphableModel | None) -> None:
    if settings.mirrored and (source is None or source.mirror is None):
        raise BadInputError(
            "Mirrored training needs a template that knows its left from its right: a model file with a "
            "mirror map, or the embedded head."
        )


def _ensure_enough(outcomes: Sequence[ScanOutcome], page: Path) -> None:
    used = sum(scan.usable for scan in outcomes)
    if used < _FEWEST:
        write_build_report(page, None, scan_rows(outcomes), title="No model")
        raise TooFewScansError(used, tuple(outcomes), page)
