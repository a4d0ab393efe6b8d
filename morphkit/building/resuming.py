"""Whether a work folder holds what a run can go on with, and if not, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from morphkit.building.fingerprint import common_fingerprint, scan_fingerprint
from morphkit.building.store import data_path, load_fingerprint
from morphkit.building.templates import LandmarkedTemplate
from morphkit.errors import BadInputError
from morphkit.scans.discover import ScanFile

_NAMED = 3  # scans of another run
_WORDS = {
    "template": "the template",
    "modes": "the model they were registered with",
    "settings": "the settings (such as --method or --no-texture)",
    "code": "the version of morphkit or of what it computes with",
    "scan": "the scans' own files",
    "landmarks": "the scans' landmarks",
}


def ensure_resumable(
    folder: Path, scans: Sequence[ScanFile], template: LandmarkedTemplate, settings: object
) -> None:
    """Refuse to resume from a folder in which no earlier run has left a result that this one can use.

    Parameters
    ----------
    folder : the work folder.
    scans : of this run.
    template : with the landmarks that scans are placed by.
    settings : of all stages.

    Raises
    ------
    BadInputError
        Naming the folder, and what differs.
    """
    files = [path for path in folder.glob("*.npz") if not path.name.startswith(".")]  # a killed writer's
    if not files:
        raise _refusal(folder, "holds no registered scans")
    ours = {data_path(folder, scan.name): scan for scan in scans}
    named = sorted(set(files) & set(ours))
    if not named:
        others = ", ".join(sorted(path.stem for path in files)[:_NAMED])
        more = ", ..." if len(files) > _NAMED else ""
        raise _refusal(folder, f"holds none of these {len(scans)} scans, but others ({others}{more})")
    known = {path: found for path in named if (found := load_fingerprint(path)) is not None}
    if not known:
        raise _refusal(folder, "holds files of these names that this version of morphkit did not write")
    common = common_fingerprint(template, settings)
    differences = [_differing(found, common) for found in known.values()]
    fewest = min(differences, key=len)
    if not fewest:
        fresh = [path for path, differing in zip(known, differences, strict=True) if not differing]
        fewest = _changed_scans({path: known[path] for path in fresh}, ours, template, settings)
    if fewest:
        words = " and ".join(_WORDS[name] for name in fewest)
        raise _refusal(folder, f"was made otherwise: {words} differed")


def _differing(found: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, value in wanted.items() if found.get(name) != value)


def _changed_scans(
    known: Mapping[Path, Mapping[str, str]],
    ours: Mapping[Path, ScanFile],
    template: LandmarkedTemplate,
    settings: object,
) -> tuple[str, ...]:
    """Return what of the scans themselves has changed; nothing if any of them is as it was."""
    differing: tuple[str, ...] = ()
    for path, found in known.items():
        differing = _differing(found, scan_fingerprint(ours[path], template, settings))
        if not differing:
            break
    return differing


def _refusal(folder: Path, reason: str) -> BadInputError:
    return BadInputError(
        f"There is nothing to resume: {folder} {reason}. Leave out --resume to register the scans, or name "
        "the earlier run's folder with --work."
    )
