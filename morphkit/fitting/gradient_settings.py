"""Every number that steers the gradient fit, in one frozen place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Literal

from morphkit.losses.weights import EnergyWeights, Preset

Attention = Literal["own", "skin", "skin-probability", "all"]
Landmarks = Literal["observed", "paper"]


@dataclass(frozen=True)
class GradientSettings:
    """How the gradient fit refines a look.

    Attributes
    ----------
    weights : of the terms.
    size : side of the face's window in pixels; the paper's is 224.
    steps : of Adam.
    rate : its first step, in standard deviations of a coefficient, hundredths of a radian, pixels of the
        window, per cents of the scale; it falls to zero along a cosine.
    attention : what each pixel counts: "own", "skin" (the paper's), "skin-probability" or "all", see
        `morphkit.fitting.gradient_energy.photo_attention`.
    landmarks : "observed" are the landmark fit's, which slide along the outline; "paper" are 68 points fixed
        to the skin, of which some weigh 20.
    network : a file of ArcFace weights for the perceptual term; None takes the network that comes with the
        extra `perceptual`.
    """

    weights: EnergyWeights = field(default_factory=lambda: EnergyWeights.preset("morphkit"))
    size: int = 224
    steps: int = 60
    rate: float = 0.05
    attention: Attention = "own"
    landmarks: Landmarks = "observed"
    network: str | os.PathLike[str] | None = None

    @classmethod
    def preset(cls, name: Preset) -> GradientSettings:
        """Return a published energy, or our own.

        "deng2019", "deep3d_tf" and "deep3d_pt" compare the paper's landmarks; the paper counts pixels by its
        skin model and a threshold, both implementations by the probability alone.

        Raises
        ------
        ValueError
            If `name` is none of `morphkit.losses.EnergyWeights.preset`'s.
        """
        weights = EnergyWeights.preset(name)
        if name == "morphkit":
            return cls(weights)
        attention: Attention = "skin" if name == "deng2019" else "skin-probability"
        return cls(weights, attention=attention, landmarks="paper")

    @property
    def recognizes(self) -> bool:
        """Whether the perceptual term has a weight, and so needs a face network."""
        return self.weights.perceptual_weight > 0

    def without_perceptual(self) -> GradientSettings:
        """Return the settings without the perceptual term, which takes most of the time."""
        return replace(self, weights=replace(self.weights, perceptual_weight=0.0))
