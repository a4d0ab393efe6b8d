"""What a worker does with one scan: take an earlier result, or register it; a failure is a result as well."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morphkit.building.fingerprint import Fingerprint, code_digest, scan_fingerprint
from morphkit.building.handout import Handout, take
from morphkit.building.outcome import RegisteredScan, ScanOutcome
from morphkit.building.registering import PreparedScan, RegisterSettings, prepare_scan, register_prepared
from morphkit.building.store import load_registered, picture_path, result_paths, save_registered
from morphkit.errors import BadInputError, MorphkitError
from morphkit.export.build_pictures import registration_strip, scan_strip
from morphkit.io.images import write_image
from morphkit.io.meshes import read_mesh
from morphkit.mesh import Mesh
from morphkit.scans.discover import ScanFile


@dataclass(frozen=True, eq=False)
class Task:
    """One scan to register; small, since it travels to the workers.

    Attributes
    ----------
    scan : its files.
    folder : for the results.
    handout : the template, and what else the batch shares.
    settings : of all stages.
    reuse : take a result that is there if nothing that it depends on has changed.
    code : `code_digest` of the process that hands the task out.
    """

    scan: ScanFile
    folder: Path
    handout: Handout
    settings: RegisterSettings
    reuse: bool
    code: str


def run(task: Task) -> ScanOutcome:
    """Register a scan and write its result; every trouble becomes an outcome that names it."""
    start = time.perf_counter()
    try:
        return _done(task, start)
    except MorphkitError as error:
        return _failed(task, str(error), start, error.exit_code)
    except OSError as error:  # a full disk, a vanished drive
        return _failed(task, _disk_trouble(error, task.scan.path), start)
    except Exception as error:  # one scan's trouble must not end a night's run; it is named in every report
        return _failed(task, f"internal error, {type(error).__name__}: {error}", start)


def give_up(task: Task) -> ScanOutcome:
    """Return the outcome of a scan whose process died without a word."""
    reason = f"{task.scan.path}: its process was ended from outside, as happens when memory runs out."
    return _failed(task, reason, time.perf_counter(), draw=False)


def _done(task: Task, start: float) -> ScanOutcome:
    if task.code != code_digest():
        raise MorphkitError(
            "This worker's morphkit, or a package it computes with, is not that of the command; "
            "install the same everywhere."
        )
    common = take(task.handout)
    fingerprint = scan_fingerprint(task.scan, common.template, task.settings, task.handout.modes_digest)
    earlier = _reused(task, fingerprint, common.template.template.mesh) if task.reuse else None
    if earlier is not None:
        return replace(_succeeded(task, earlier, 0.0), reused=True)
    prepared = prepare_scan(task.scan, common.template, task.settings)
    result = register_prepared(prepared, common.template, task.settings, common.modes)
    _draw(task, prepared, result)
    if result.verdict == "failed":
        failed = _failed(task, "; ".join(result.reasons), start, draw=False)
        return replace(failed, diagnosis=result.diagnosis, timings=dict(result.timings))
    save_registered(task.folder, replace(result, fingerprint=fingerprint))
    return _succeeded(task, result, time.perf_counter() - start)


def _reused(task: Task, fingerprint: Fingerprint, template: Mesh) -> RegisteredScan | None:
    """Return the result of an earlier run that depends on the same things."""
    try:
        earlier = load_registered(task.folder, task.scan.name, template)
    except BadInputError:  # none there, or cut short
        return None
    return earlier if earlier.fingerprint == fingerprint else None


def _draw(task: Task, prepared: PreparedScan, result: RegisteredScan) -> None:
    supported = np.where(result.valid, result.distances, np.nan)
    shown = prepared.raw if np.isfinite(prepared.raw.vertices).all() else prepared.mesh
    strip = registration_strip(shown, result.mesh_mm, supported, result.rotation)
    write_image(picture_path(task.folder, task.scan.name), strip)


def _succeeded(task: Task, result: RegisteredScan, seconds: float) -> ScanOutcome:
    return ScanOutcome(
        name=result.name,
        source=task.scan.path,
        verdict=result.verdict,
        reasons=result.reasons,
        remarks=result.remarks,
        mesh_path=task.folder / f"{task.scan.name}.ply",
        picture_path=picture_path(task.folder, task.scan.name),
        diagnosis=result.diagnosis,
        timings=dict(result.timings),
        scan_hash=result.scan_hash,
        seconds=seconds,
    )


def _failed(task: Task, reason: str, start: float, exit_code: int = 1, *, draw: bool = True) -> ScanOutcome:
    reasons = [reason]
    picture = picture_path(task.folder, task.scan.name)
    stale = [path for path in result_paths(task.folder, task.scan.name) if draw or path != picture]
    for path in stale:  # an older result would pass for this run's
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            reasons.append(f"An older result is left; remove it: {_disk_trouble(error, path)}")
    if draw:
        with suppress(Exception):  # whatever broke the scan may break its picture too
            write_image(picture, scan_strip(read_mesh(task.scan.path, allow_nonfinite=True)))
    return ScanOutcome(
        name=task.scan.name,
        source=task.scan.path,
        verdict="failed",
        reasons=tuple(reasons),
        picture_path=picture if picture.is_file() else None,
        seconds=time.perf_counter() - start,
        exit_code=exit_code,
    )


def _disk_trouble(error: OSError, path: Path) -> str:
    return f"{error.filename or path}: {error.strerror or error}."
