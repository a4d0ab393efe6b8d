"""Whom a photo shows, and with which expression: coefficients in standard deviations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from morphkit.directions import NamedDirections
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.training.synthesis.complexion import Complexions
from morphkit.training.synthesis.settings import SynthesisSettings

_AT_REST = 0.5  # the share of faces
_SIDE = re.compile(r"(?<=[a-z])(Left|Right)$")
_ACROSS = re.compile(r"(mouth|jaw)(Left|Right)$")  # ways to move, not sides of the face
_GAZE = re.compile(r"eyeLook(Up|Down|In|Out)(Left|Right)$")
_USUAL = (  # how often units show, against each other
    (r"mouthClose|tongueOut", 0.0), (r"mouthSmile", 8.0), (r"jawOpen", 3.0),
    (r"eyeBlink|eyeSquint|cheekSquint|brow|eyeWide|mouthStretch|mouthUpperUp", 1.2),
    (r"mouth(Left|Right)$|jaw(Left|Right|Forward)|cheekPuff|noseSneer|mouthFunnel", 0.35),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """Who it is: identity (i,) and albedo (a,)."""

    identity: Float[np.ndarray, " i"]
    albedo: Float[np.ndarray, " a"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a photo shows: identity (i,), expression (e,) and albedo (a,)."""

    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    albedo: Float[np.ndarray, " a"]


@dataclass(frozen=True, eq=False)
class Population:
    """The people and the expressions of a model."""

    identity: LinearModel
    complexions: Complexions
    expression: LinearModel | None
    units: NamedDirections | None

    @classmethod
    def of(cls, model: MorphableModel) -> Population:
        """Return those of a model with albedo."""
        return cls(model.identity, Complexions.of(model), model.expression, model.expression_units)

    def draw_person(self, rng: np.random.Generator, settings: SynthesisSettings) -> Person:
        """Draw a standard normal identity within the truncation, and a complexion."""
        identity = truncated_normal(rng, self.identity.n_components, settings.truncation)
        return Person(identity, self.complexions.draw(rng, settings))

    def draw_expression(self, rng: np.random.Generator, strength: float) -> Float[np.ndarray, " e"]:
        """Draw an expression; half of all are nearly at rest.

        Of a model with named units, a few at some strength, left and right alike for the most part, and a
        gaze: mixed freely, as a Gaussian would, they make grimaces. Of other models, a Gaussian of random
        width, narrower than the model's own.
        """
        if self.expression is None:
            return np.zeros(0)
        at_rest = rng.random() < _AT_REST
        if self.units is None:
            width = strength * (rng.uniform(0.0, 0.2) if at_rest else rng.uniform(0.2, 0.7))
            return width * truncated_normal(rng, self.expression.n_components, 2.5)
        return strength * (self._activations(rng, at_rest) @ self.units.coefficients)

    def _activations(self, rng: np.random.Generator, at_rest: bool) -> np.ndarray:
        """Draw how strong each unit is, 0..1."""
        stems, rates = self._stems
        count = min(int(rng.integers(1, 3) if at_rest else 1 + rng.poisson(2.0)), int((rates > 0).sum()))
        shown = rng.choice(len(stems), count, replace=False, p=rates / rates.sum())
        strengths = (0.2 if at_rest else 1.0) * rng.beta(1.3, 1.5, count)
        activations = np.zeros(len(self._names))
        for stem, strength in zip(shown, strengths, strict=True):
            sides = np.clip(strength * np.exp(rng.normal(0, 0.12, 2)), 0, 1)
            if rng.random() < 0.1:
                sides[int(rng.integers(2))] *= rng.uniform(0, 0.5)
            for place, unit in enumerate(stems[stem]):
                activations[unit] = sides[place % 2]
        self._look(rng, activations)
        return activations

    def _look(self, rng: np.random.Generator, activations: np.ndarray) -> None:
        """Turn both eyes to one side, in place."""
        across, up = np.clip(rng.normal(0, [0.3, 0.2]), -0.9, 0.9)
        amounts = {"Up": max(up, 0.0), "Down": max(-up, 0.0)}
        for unit, name in enumerate(self._names):
            gaze = _GAZE.match(name)
            if gaze is None:
                continue
            outward = (gaze[1] == "Out") == (gaze[2] == "Left")
            activations[unit] = amounts.get(gaze[1], max(across if outward else -across, 0.0))

    @property
    def _names(self) -> tuple[str, ...]:
        return () if self.units is None else self.units.names

    @cached_property
    def _stems(self) -> tuple[list[list[int]], np.ndarray]:
        """The units that move together, and how often they show."""
        groups: dict[str, list[int]] = {}
        for unit, name in enumerate(self._names):
            stem = name if _ACROSS.match(name) else _SIDE.sub("", name)
            groups.setdefault(stem, []).append(unit)
        rates = np.array([_rate(stem) for stem in groups])
        return list(groups.values()), rates


def truncated_normal(rng: np.random.Generator, count: int, limit: float) -> Float[np.ndarray, " n"]:
    """Return standard normal numbers, drawn anew where they are beyond the limit."""
    values = rng.standard_normal(count)
    while (beyond := np.abs(values) > limit).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
    return values


def _rate(stem: str) -> float:
    if stem.startswith("eyeLook"):
        return 0.0
    return next((rate for pattern, rate in _USUAL if re.match(pattern, stem)), 0.7)
