"""Skin that a person could have: a linear model's colours also reach red, green and black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.morphable import LinearModel, MorphableModel
from morphkit.training.synthesis.settings import SynthesisSettings

_TRIES = 64  # candidates at once
_LOOKED_AT = 150  # vertices
_DARKEST, _BRIGHTEST = 0.004, 1.0  # linear RGB that skin has
_BEYOND = 0.04  # the share of the skin that may lie outside
_RED_OVER_GREEN = (1.06, 2.4)  # of the mean; Monk's ten tones have 1.09 to 2.21
_GREEN_OVER_BLUE = (1.05, 2.4)  # 1.09 to 2.24
_YELLOW, _YELLOWER = 0.16, 1.35  # log(G/B) over log(R/G) at most: beyond, skin is green
_PULL = 0.85  # towards the mean, where no candidate will do
_TONES = (-55.0, 75.0)  # degrees, over which tones are drawn evenly


@dataclass(frozen=True, eq=False)
class Complexions:
    """The colours of a model's skin at some of its vertices.

    Attributes
    ----------
    mean : (n, 3) linear RGB.
    directions : (a, 3n) times the standard deviations.
    """

    mean: Float[np.ndarray, "n 3"]
    directions: Float[np.ndarray, "a d"]

    @classmethod
    def of(cls, model: MorphableModel) -> Complexions:
        """Return those of a model with albedo.

        Raises
        ------
        ValueError
            If it has none.
        """
        if model.albedo is None:
            raise ValueError("the model has no albedo group")
        skin = np.flatnonzero(model.masks.get("skin", model.face_mask))
        some = skin[np.linspace(0, len(skin) - 1, min(len(skin), _LOOKED_AT)).astype(int)]
        part: LinearModel = model.albedo.marginal(some)
        return cls(part.mean.astype(float), (part.basis * part.standard_deviations).T.astype(float))

    def draw(self, rng: np.random.Generator, settings: SynthesisSettings) -> Float[np.ndarray, " a"]:
        """Draw coefficients: standard normal among those that are skin, or such that tones come evenly."""
        count = len(self.directions)
        candidates = np.clip(rng.standard_normal((_TRIES, count)), -settings.truncation, settings.truncation)
        wanted = rng.uniform(*_TONES) if settings.tones == "even" else None
        good = candidates[self.plausible(candidates)]
        if not len(good):
            return self._pulled(candidates[0])
        if wanted is None:
            return good[0]
        return good[np.argmin(np.abs(tone(self._colors(good).mean(axis=1)) - wanted))]

    def plausible(self, coefficients: Float[np.ndarray, "c a"]) -> np.ndarray:
        """Return for each row whether the skin has colours of skin."""
        colors = self._colors(coefficients)
        beyond = ((colors < _DARKEST) | (colors > _BRIGHTEST)).any(axis=2).mean(axis=1) <= _BEYOND
        red, green, blue = np.maximum(colors.mean(axis=1), 1e-6).T
        fair = _between(red / green, *_RED_OVER_GREEN) & _between(green / blue, *_GREEN_OVER_BLUE)
        return beyond & fair & (np.log(green / blue) < _YELLOW + _YELLOWER * np.log(red / green))

    def _colors(self, coefficients: np.ndarray) -> np.ndarray:
        return (coefficients @ self.directions).reshape(len(coefficients), -1, 3) + self.mean

    def _pulled(self, coefficients: np.ndarray) -> np.ndarray:
        """Return coefficients nearer to the mean, as far as needed; those of the mean if that is no skin."""
        for step in range(40):
            nearer = coefficients * _PULL**step
            if self.plausible(nearer[None])[0]:
                return nearer
        return np.zeros_like(coefficients)


def tone(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Return the individual typology angle of linear RGB, degrees: about -50 dark, 20 tan, 55 very light.

    arctan((L* - 50) / b*) in CIELAB, D65 (Chardon et al. 1991).
    """
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.maximum(colors, 0) @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.degrees(np.arctan2(116 * f[:, 1] - 66, 200 * (f[:, 1] - f[:, 2])))


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return (values >= low) & (values <= high)
