"""Many scans: who is to be registered anew, several at once, with every failure named and survived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morphkit.building.outcome import RegisteredScan, ScanOutcome
from morphkit.building.outputs import ensure_results_apart, ensure_writable
from morphkit.building.parallel import map_unordered
from morphkit.building.registering import (
    RegisterSettings,
    landmarked,
    prepare_scan,
    register_prepared,
    scan_file,
    scan_fingerprint,
)
from morphkit.building.store import load_registered, picture_path, result_paths, save_registered
from morphkit.building.templates import LandmarkedTemplate, interned, load_template
from morphkit.errors import BadInputError, MorphkitError
from morphkit.export.build_pictures import registration_strip
from morphkit.io.images import write_image
from morphkit.scans.discover import ScanFile

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the number of its finished steps, and of all its steps."""


@dataclass(frozen=True, eq=False)
class _Job:
    scan: ScanFile
    template: LandmarkedTemplate
    folder: Path
    settings: RegisterSettings
    reuse: bool


def register(
    scans: Sequence[str | Path],
    output: str | Path,
    *,
    template: str | Path | None = None,
    template_landmarks: str | Path | None = None,
    settings: RegisterSettings | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[ScanOutcome, ...]:
    """Deform a template to raw scan files, and say what became of each.

    A scan that fails is named with its reason; the others go on.

    Parameters
    ----------
    scans : mesh files; landmark sidecars beside them are used, else landmarks are found on rendered views.
    output : the folder that gets, for each scan, ``<stem>.ply`` in the template's topology and vertex order
        and in the scan's own frame and units, ``<stem>.npz`` (validity, distances, colours, verdict, timings,
        hashes) and ``<stem>.png`` to look at.
    template : a mesh, a model file, or None for the embedded head.
    template_landmarks : see `load_template`.
    settings : of all stages.
    jobs : scans at once, in processes; None is one a core, at most 8.
    progress : called after each scan.

    Raises
    ------
    BadInputError
        When the template cannot be used, two scans have one name, or a result would overwrite an input.
    MorphkitError
        When the folder cannot be written to.
    """
    files, folder = [scan_file(path) for path in scans], Path(output)
    chosen = settings or RegisterSettings()
    _ensure_distinct(files)
    ensure_results_apart(folder, files, (template, template_landmarks))
    ensure_writable(folder / "registered.npz")
    known = landmarked(load_template(template, template_landmarks), files, chosen)
    return register_all(files, known, folder, chosen, jobs=jobs, progress=progress)


def register_all(
    scans: Sequence[ScanFile],
    template: LandmarkedTemplate,
    folder: Path,
    settings: RegisterSettings,
    *,
    jobs: int | None = None,
    reuse: bool = False,
    progress: Progress | None = None,
) -> tuple[ScanOutcome, ...]:
    """Register scans into `folder`, and return what became of each, in the order of `scans`.

    Parameters
    ----------
    scans : with distinct names.
    template : from `landmarked`.
    folder : gets ``<name>.ply``, ``.npz`` and ``.png`` for each scan that succeeds.
    settings : of all stages.
    jobs : scans at once, in processes; None is one a core, at most 8.
    reuse : take a result that is there if the same scan gave it, with the same template and settings.
    progress : called after each scan.
    """
    report = progress or quiet
    report("Registering scans", 0, len(scans))
    outcomes: dict[str, ScanOutcome] = {}
    work = [_Job(scan, template, folder, settings, reuse) for scan in scans]
    for outcome in map_unordered(_run, work, jobs=jobs):
        outcomes[outcome.name] = outcome
        report("Registering scans", len(outcomes), len(scans))
    return tuple(outcomes[scan.name] for scan in scans)


def _run(job: _Job) -> ScanOutcome:
    start = time.perf_counter()
    try:
        outcome = _reused(job) if job.reuse else None
        return outcome or _registered(job, start)
    except MorphkitError as error:
        return _failed(job, str(error), start, error.exit_code)
    except OSError as error:  # a full disk, a vanished drive
        return _failed(job, _disk_trouble(error, job.scan.path), start, 1)
    except Exception as error:  # one scan's trouble must not end a night's run; it is named in every report
        return _failed(job, f"internal error, {type(error).__name__}: {error}", start, 1)


def _registered(job: _Job, start: float) -> ScanOutcome:
    template = interned(job.template)
    prepared = prepare_scan(job.scan, template, job.settings)
    result = register_prepared(prepared, template, job.settings)
    if result.verdict == "failed":
        return _failed(job, "; ".join(result.reasons), start, 1)
    supported = np.where(result.valid, result.distances, np.nan)
    shown = prepared.raw if np.isfinite(prepared.raw.vertices).all() else prepared.mesh
    strip = registration_strip(shown, result.mesh_mm, supported, result.rotation)
    write_image(picture_path(job.folder, result.name), strip)
    return _succeeded(job, result, save_registered(job.folder, result), time.perf_counter() - start)


def _reused(job: _Job) -> ScanOutcome | None:
    """Return the outcome of an earlier run, if it was this scan's with this template and these settings."""
    try:
        earlier = load_registered(job.folder, job.scan.name, job.template.template.mesh)
    except BadInputError:  # none there, or cut short
        return None
    if earlier.fingerprint != scan_fingerprint(job.scan, job.template, job.settings):
        return None
    return replace(_succeeded(job, earlier, job.folder / f"{job.scan.name}.ply", 0.0), reused=True)


def _succeeded(job: _Job, result: RegisteredScan, mesh_path: Path, seconds: float) -> ScanOutcome:
    return ScanOutcome(
        name=result.name,
        source=job.scan.path,
        verdict=result.verdict,
        reasons=result.reasons,
        remarks=result.remarks,
        mesh_path=mesh_path,
        mean_distance=result.mean_distance,
        seconds=seconds,
    )


def _failed(job: _Job, reason: str, start: float, exit_code: int) -> ScanOutcome:
    reasons = [reason]
    for path in result_paths(job.folder, job.scan.name):  # an older result would pass for this run's
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            reasons.append(f"An older result is left; remove it: {_disk_trouble(error, path)}")
    seconds = time.perf_counter() - start
    return ScanOutcome(
        job.scan.name, job.scan.path, "failed", tuple(reasons), seconds=seconds, exit_code=exit_code
    )


def _disk_trouble(error: OSError, path: Path) -> str:
    return f"{error.filename or path}: {error.strerror or error}."


def _ensure_distinct(scans: Sequence[ScanFile]) -> None:
    twice = [name for name, count in Counter(scan.name for scan in scans).items() if count > 1]
    if twice:
        raise BadInputError(
            f"Several scans are called {twice[0]!r}; rename one, since results bear their names."
        )


def quiet(stage: str, done: int, total: int) -> None:
    """Report nothing."""
