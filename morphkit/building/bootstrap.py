"""Register, build, register again: the model just built tells which deformations are likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morphkit.basis import BasisSettings
from morphkit.building.batch import Progress, register_all
from morphkit.building.handout import Common
from morphkit.building.outcome import ScanOutcome
from morphkit.building.registering import RegisterSettings
from morphkit.building.statistics import Material, fit_registered
from morphkit.building.templates import LandmarkedTemplate
from morphkit.jobs.workers import Workers
from morphkit.scans.discover import ScanFile
from morphkit.scans.manifest import NEUTRAL, ManifestEntry

_FEWEST = 8  # scans; fewer teach a model that knows hardly more than themselves


@dataclass(frozen=True)
class BootstrapSettings:
    """How a model helps to register its own scans again.

    Attributes
    ----------
    rounds : how often; 0 registers once, without a model.
    modes : deformations that a round takes from the model before it, at most.
    """

    rounds: int = 0
    modes: int = 40


@dataclass(frozen=True, eq=False)
class Registering:
    """Everything that a round of registration needs besides the template.

    Attributes
    ----------
    files : the scans.
    folder : for results; later rounds have folders in it.
    settings : of all stages.
    workers : who does it.
    reuse : take results that are there if nothing that they depend on has changed.
    progress : called after each scan.
    """

    files: Sequence[ScanFile]
    folder: Path
    settings: RegisterSettings
    workers: Workers
    reuse: bool
    progress: Progress

    def run(self, common: Common, round_number: int) -> tuple[ScanOutcome, ...]:
        """Register all scans with a template; rounds count from zero."""
        return register_all(
            self.files,
            common,
            round_folder(self.folder, round_number),
            self.settings,
            workers=self.workers,
            reuse=self.reuse,
            progress=self.progress,
            stage="Registering scans" + (f", round {round_number + 1}" if round_number else ""),
        )


@dataclass(frozen=True, eq=False)
class Registered:
    """What rounds of registration came to.

    Attributes
    ----------
    outcomes : of the last round.
    folder : of the last round.
    notes : sentences on what differs from what was asked for.
    """

    outcomes: tuple[ScanOutcome, ...]
    folder: Path
    notes: tuple[str, ...] = ()


def register_in_rounds(
    registering: Registering, template: LandmarkedTemplate, settings: BootstrapSettings
) -> Registered:
    """Register scans, and again with the model that they make as prior.

    Rounds end early when too few scans are registered well to learn from; a note says so.

    Parameters
    ----------
    registering : the scans and how to go about them.
    template : of the first round.
    settings : how many rounds, and how much they learn.

    References
    ----------
    Gerig et al. 2018, section 5 (a model that is built in rounds).
    """
    outcomes, number = registering.run(Common(template), 0), 0
    notes: tuple[str, ...] = ()
    while number < settings.rounds:
        folder = round_folder(registering.folder, number)
        teachers = tuple(scan.name for scan in outcomes if scan.verdict == "good")
        if len(teachers) < _FEWEST:
            notes = (_ended_early(number, settings.rounds, len(teachers), len(outcomes)),)
            break
        number += 1
        common = learnt(folder, teachers, template, settings.modes, registering.workers)
        outcomes = registering.run(common, number)
    return Registered(outcomes, round_folder(registering.folder, number), notes)


def _ended_early(done: int, asked: int, teachers: int, scans: int) -> str:
    return (
        f"Bootstrap: {done} of {asked} rounds were run, since only {teachers} of {scans} scans were "
        f"registered well, and a model to learn from needs at least {_FEWEST}."
    )


def learnt(
    folder: Path, names: Sequence[str], template: LandmarkedTemplate, modes: int, workers: Workers
) -> Common:
    """Return the mean of registered scans as template, with its likely deformations.

    Every scan counts as a person of its own, whatever its expression, and outliers do not count.

    Parameters
    ----------
    folder : that holds the registered scans.
    names : of those to learn from.
    template : their topology, with the landmarks that scans are placed by.
    modes : how many deformations, at most.
    workers : who forms the large sums.
    """
    entries = {name: ManifestEntry(Path(name), name, NEUTRAL) for name in names}
    material = Material(folder, entries, template.template, workers=workers)
    settings = BasisSettings(identity_components=modes)
    found = fit_registered(material, settings, prune=True, measure=False, texture=False).model.identity
    mesh = replace(template.template.mesh, vertices=found.mean.astype(np.float64))
    scaled = found.basis * found.standard_deviations.astype(np.float32)
    return Common(
        replace(template, template=replace(template.template, mesh=mesh)),
        scaled.reshape(len(found.mean), 3, -1),
    )


def round_folder(folder: Path, number: int) -> Path:
    """Return where the results of a round lie; rounds count from zero."""
    return folder if number == 0 else folder / f"bootstrap-{number}"


def last_round_folder(folder: Path, most: int | None = None) -> Path:
    """Return where the results of the last round lie that a work folder has, of at most so many."""
    number = 0
    while number != most and round_folder(folder, number + 1).is_dir():
        number += 1
    return round_folder(folder, number)
