"""One person in several photos: a joint Gauss–Newton on what they share and on what each has for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.fitting.colors import PhotometricEnergy
from morphkit.fitting.landmark import LandmarkEnergy
from morphkit.fitting.look import Look, Picture
from morphkit.fitting.photometric import Colors
from morphkit.fitting.sharing import LIGHT, Quadratic, Sharing

_TRIES = 6  # ever more damped steps, before a descent ends


@dataclass(frozen=True, eq=False)
class PhotoComparison:
    """What one photo compares.

    Attributes
    ----------
    sparse : the landmark energy.
    sharing : what it has in common with the other photos.
    colors : the photo's colours, or None to leave them out.
    """

    sparse: LandmarkEnergy
    sharing: Sharing
    colors: Colors | None

    def draw(self, look: Look) -> Picture | None:
        """Return the look's picture, where colours are compared."""
        return None if self.colors is None else self.colors.draw(look)

    def problem(self, look: Look, picture: Picture | None) -> Problem:
        """Return the energy, the photo's colours trusted as far as a drawn look's residuals allow."""
        return Problem(self, None if picture is None else self.colored(look, picture))

    def colored(self, look: Look, picture: Picture) -> PhotometricEnergy:
        """Return the photometric energy."""
        if self.colors is None:
            raise ValueError("picture: this photo's colours are not compared")
        return self.colors.energy(self.sparse, look, picture)


@dataclass(frozen=True, eq=False)
class Problem:
    """One photo's energy without the shared parameters' prior."""

    photo: PhotoComparison
    colored: PhotometricEnergy | None

    def energy(self, look: Look, picture: Picture | None, among: Bool[np.ndarray, "s s"] | None) -> float:
        """Return the energy of a look, its pixels outside `among` left as they were for the trust."""
        if self.colored is None or picture is None or among is None:
            energy = self.photo.sparse.energy(look.face)
        else:
            energy = self.colored.energy(look, picture, among)
        priors = self.photo.sharing.at(look)
        return energy - float(priors @ priors)

    def quadratic(self, look: Look, picture: Picture | None) -> Quadratic:
        """Return the energy's Gauss–Newton approximation about a look."""
        sharing = self.photo.sharing
        hessian, slope = self._equations(look, picture)
        s, o, roots = sharing.shared, sharing.own, sharing.roots
        shared = hessian[np.ix_(s, s)] / np.outer(roots, roots) - np.eye(len(s))
        return Quadratic(
            shared,
            slope[s] / roots - sharing.at(look),
            hessian[np.ix_(s, o)] / roots[:, None],
            hessian[np.ix_(o, o)],
            slope[o],
        )

    def _equations(
        self, look: Look, picture: Picture | None
    ) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        if self.colored is not None and picture is not None:
            return self.colored.normal_equations(look, picture)
        by_face, towards = self.photo.sparse.normal_equations(look.face)
        n, count = len(towards), len(towards) + len(look.albedo) + LIGHT
        # Without colours nothing speaks about albedo and light: they stay where they are.
        hessian, slope = np.eye(count), np.zeros(count)
        hessian[:n, :n], slope[:n] = by_face, towards
        slope[n : n + len(look.albedo)] = look.albedo
        return hessian, slope


@dataclass(frozen=True, eq=False)
class Joint:
    """Result of `descend`.

    Attributes
    ----------
    looks : one a photo; what is shared is the same in all.
    energies : of the sum after each accepted step.
    converged : whether the last step fell below the tolerance, or none was left to take: no damped step
        lowers the energy, and the undamped one promises less than the tolerance. False where the steps ran
        out, or where the energy refuses a step that promises more.
    """

    looks: tuple[Look, ...]
    energies: tuple[float, ...]
    converged: bool


def shared_step(
    quadratics: Sequence[Quadratic],
    weights: Float[np.ndarray, " p"],
    at: Float[np.ndarray, " s"],
    damping: float,
) -> Float[np.ndarray, " s"]:
    """Return the shared parameters' joint step: each photo's own eliminated, the prior counted once."""
    matrix, slope = _shared_equations(quadratics, weights, at, damping)
    step: np.ndarray = -np.linalg.solve(matrix, slope)
    return step


def promised_decrease(
    quadratics: Sequence[Quadratic], weights: Float[np.ndarray, " p"], at: Float[np.ndarray, " s"]
) -> float:
    """Return by how much the undamped step would lower the energy if that were quadratic."""
    matrix, slope = _shared_equations(quadratics, weights, at, 0.0)
    promised = float(slope @ np.linalg.solve(matrix, slope))
    for quadratic, weight in zip(quadratics, weights, strict=True):
        own = quadratic.own_slope
        promised += weight * float(own @ np.linalg.solve(quadratic.own, own))
    return promised


def _shared_equations(
    quadratics: Sequence[Quadratic],
    weights: Float[np.ndarray, " p"],
    at: Float[np.ndarray, " s"],
    damping: float,
) -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, " s"]]:
    matrix, slope = (1.0 + damping) * np.eye(len(at)), at.copy()
    for quadratic, weight in zip(quadratics, weights, strict=True):
        one, towards = quadratic.damped(damping).eliminated()
        matrix += weight * one
        slope += weight * towards
    return matrix, slope


def moved(look: Look, sharing: Sharing, quadratic: Quadratic, step: Float[np.ndarray, " s"]) -> Look:
    """Return a look after a step of the shared parameters and its own answer to it."""
    whole = np.zeros(len(sharing.shared) + len(sharing.own))
    whole[sharing.shared] = step / sharing.roots
    whole[sharing.own] = quadratic.answer(step)
    return look.moved(whole)


def descend(
    photos: Sequence[PhotoComparison],
    looks: Sequence[Look],
    weights: Float[np.ndarray, " p"],
    *,
    iterations: int,
    tolerance: float,
) -> Joint:
    """Minimise the weighted sum of the photos' energies plus the shared prior by damped Gauss–Newton.

    Parameters
    ----------
    photos : the photos; they share alike.
    looks : where to start; what is shared is the same in all.
    weights : of the photos. A photo's own parameters do not depend on its weight.
    iterations : steps at most.
    tolerance : ends the descent when the energy's relative decrease falls below it.
    """
    sharing, damping = photos[0].sharing, 1e-3
    trace: list[float] = []
    here = tuple(looks)
    pictures = [photo.draw(look) for photo, look in zip(photos, here, strict=True)]
    for _ in range(iterations):
        problems = [
            photo.problem(look, picture) for photo, look, picture in zip(photos, here, pictures, strict=True)
        ]
        quadratics = [
            problem.quadratic(look, picture)
            for problem, look, picture in zip(problems, here, pictures, strict=True)
        ]
        for _ in range(_TRIES):
            step = shared_step(quadratics, weights, sharing.at(here[0]), damping)
            ahead = tuple(
                moved(look, sharing, quadratic.damped(damping), step)
                for look, quadratic in zip(here, quadratics, strict=True)
            )
            drawn = [photo.draw(look) for photo, look in zip(photos, ahead, strict=True)]
            energy, lower = _energies(problems, weights, (here, pictures), (ahead, drawn))
            if lower < energy:
                break
            damping *= 10.0
        else:
            promised = promised_decrease(quadratics, weights, sharing.at(here[0]))
            return Joint(here, tuple(trace), bool(promised <= tolerance * energy))
        here, pictures = ahead, drawn
        damping = max(damping / 5.0, 1e-6)
        trace.append(lower)
        if energy - lower <= tolerance * energy:
            return Joint(here, tuple(trace), True)
    return Joint(here, tuple(trace), False)


def lowest_start(
    problems: Sequence[Problem], weights: Float[np.ndarray, " p"], starts: Sequence[Sequence[Look]]
) -> tuple[Look, ...]:
    """Return the looks with the lowest energy among several; in each, what is shared is the same in all.

    Parameters
    ----------
    problems : of the photos.
    weights : of the photos.
    starts : for each, a look a photo.
    """
    best: _Drawn | None = None
    for looks in starts:
        drawn = [problem.photo.draw(look) for problem, look in zip(problems, looks, strict=True)]
        if best is not None:
            known, new = _energies(problems, weights, best, (looks, drawn))
        if best is None or new < known:
            best = looks, drawn
    if best is None:
        raise ValueError("starts: expected at least one, got none")
    return tuple(best[0])


_Drawn = tuple[Sequence[Look], Sequence[Picture | None]]


def _energies(
    problems: Sequence[Problem], weights: Float[np.ndarray, " p"], here: _Drawn, ahead: _Drawn
) -> tuple[float, float]:
    """Return the energy of two states, compared at the pixels that both show."""
    totals = []
    common = [_common(a, b) for a, b in zip(here[1], ahead[1], strict=True)]
    for looks, pictures in (here, ahead):
        at = problems[0].photo.sharing.at(looks[0])
        each = [
            weight * problem.energy(look, picture, among)
            for problem, weight, look, picture, among in zip(
                problems, weights, looks, pictures, common, strict=True
            )
        ]
        totals.append(sum(each) + float(at @ at))
    return totals[0], totals[1]


def _common(one: Picture | None, other: Picture | None) -> Bool[np.ndarray, "s s"] | None:
    return None if one is None or other is None else one.compared & other.compared
