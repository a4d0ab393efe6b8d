"""Many scans, several at once, with every failure named and survived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from morphkit.building import task
from morphkit.building.fingerprint import code_digest
from morphkit.building.handout import Common, handed_out
from morphkit.building.outcome import ScanOutcome
from morphkit.building.outputs import ensure_results_apart
from morphkit.building.registering import RegisterSettings, landmarked, scan_file
from morphkit.building.templates import load_template
from morphkit.errors import BadInputError
from morphkit.io.atomic import ensure_writable
from morphkit.jobs.workers import Workers, map_unordered
from morphkit.scans.discover import ScanFile

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the number of its finished steps, and of all its steps."""


def register(
    scans: Sequence[str | Path],
    output: str | Path,
    *,
    template: str | Path | None = None,
    template_landmarks: str | Path | None = None,
    settings: RegisterSettings | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> tuple[ScanOutcome, ...]:
    """Deform a template to raw scan files, and say what became of each.

    A scan that fails is named with its reason; the others go on.

    Parameters
    ----------
    scans : mesh files; landmark sidecars beside them are used where the template has landmarks, too, else
        landmarks are found on rendered views of both.
    output : the folder that gets, for each scan, ``<stem>.ply`` in the template's topology and vertex order
        and in the scan's own frame and units, ``<stem>.npz`` (validity, distances, colours, verdict, timings,
        hashes) and ``<stem>.png`` to look at, which a scan that failed has too if anything can be drawn.
    template : a mesh, a model file, or None for the embedded head.
    template_landmarks : see `load_template`.
    settings : of all stages.
    jobs : scans at once, in processes; None is one a core, at most 8.
    scheduler : the address of a Dask scheduler, whose workers take the scans instead; they must see scans and
        `output` under the same paths.
    progress : called after each scan.

    Raises
    ------
    BadInputError
        When the template cannot be used, a scan is a folder, two have one name, a result would overwrite an
        input, or no worker answers at `scheduler`.
    MorphkitError
        When the folder cannot be written to.
    """
    _ensure_files(scans)
    files, folder = [scan_file(path) for path in scans], Path(output)
    chosen = settings or RegisterSettings()
    _ensure_distinct(files)
    ensure_results_apart(folder, files, (template, template_landmarks))
    ensure_writable(folder / "registered.npz")
    known = landmarked(load_template(template, template_landmarks), files, chosen)
    return register_all(
        files, Common(known), folder, chosen, workers=Workers(jobs, scheduler), progress=progress
    )


def register_all(
    scans: Sequence[ScanFile],
    common: Common,
    folder: Path,
    settings: RegisterSettings,
    *,
    workers: Workers | None = None,
    reuse: bool = False,
    progress: Progress | None = None,
    stage: str = "Registering scans",
) -> tuple[ScanOutcome, ...]:
    """Register scans into `folder`, and return what became of each, in the order of `scans`.

    Parameters
    ----------
    scans : with distinct names.
    common : the template from `landmarked`, and what else the scans share.
    folder : gets ``<name>.ply``, ``.npz`` and ``.png`` for each scan that succeeds.
    settings : of all stages.
    workers : who does it.
    reuse : take a result that is there if nothing that it depends on has changed.
    progress : called after each scan.
    stage : what it is called then.
    """
    report = progress or quiet
    report(stage, 0, len(scans))
    outcomes: dict[str, ScanOutcome] = {}
    if workers is not None and workers.scheduler is not None:  # whose workers stand in other folders
        scans, folder = [_absolute(scan) for scan in scans], folder.absolute()
    with handed_out(folder, common) as handout:
        work = [task.Task(scan, folder, handout, settings, reuse, code_digest()) for scan in scans]
        for outcome in map_unordered(task.run, work, workers=workers, lost=task.give_up):
            outcomes[outcome.name] = outcome
            report(stage, len(outcomes), len(scans))
    return tuple(outcomes[scan.name] for scan in scans)


def _ensure_files(scans: Sequence[str | Path]) -> None:
    for path in scans:
        if Path(path).is_dir():
            raise BadInputError(
                f"{path} is a folder, and register takes scan files, such as those that "
                f"{Path(path) / '*.ply'} names; build-basis takes a folder and makes a model of its scans."
            )


def _ensure_distinct(scans: Sequence[ScanFile]) -> None:
    twice = [name for name, count in Counter(scan.name for scan in scans).items() if count > 1]
    if twice:
        raise BadInputError(
            f"Several scans are called {twice[0]!r}; rename one, since results bear their names."
        )


def _absolute(scan: ScanFile) -> ScanFile:
    sidecar = scan.landmarks_path
    return replace(
        scan, path=scan.path.absolute(), landmarks_path=None if sidecar is None else sidecar.absolute()
    )


def quiet(stage: str, done: int, total: int) -> None:
    """Report nothing."""
