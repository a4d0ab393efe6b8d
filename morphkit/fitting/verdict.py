"""Which photos count as the person's, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.errors import MorphkitError
from morphkit.fitting.consensus import DISAGREE, DOUBTED, PersonEvidence, photo_weights


@dataclass(frozen=True, eq=False)
class FailedPhoto:
    """A photo that could not be fitted, and why.

    Attributes
    ----------
    index : its place among the given ones.
    name : what the notes call it.
    error : why.
    """

    index: int
    name: str
    error: MorphkitError

    @property
    def note(self) -> str:
        """What the reader should know."""
        return f"{self.name} is left out: {str(self.error).removeprefix('the photo: ')}"


@dataclass(frozen=True, eq=False)
class Verdict:
    """How far each photo counts, and how far it disagrees with the others.

    Attributes
    ----------
    names : what the notes call the photos, as a sentence's first words.
    weights, disagreements : (p,) from `morphkit.fitting.consensus.photo_weights`.
    """

    names: tuple[str, ...]
    weights: Float[np.ndarray, " p"]
    disagreements: Float[np.ndarray, " p"]

    @staticmethod
    def of(names: Sequence[str], evidence: Sequence[PersonEvidence]) -> Verdict:
        """Return the verdict on photos by what each says of the person."""
        return Verdict(tuple(names), *photo_weights(evidence))

    @property
    def notes(self) -> tuple[str, ...]:
        """What speaks against single photos, or against all being of one person."""
        doubted = tuple(
            f"{name} looks like someone else, or its fit went wrong: counted {100.0 * weight:.0f} %."
            for name, weight in zip(self.names, self.weights, strict=True)
            if weight < DOUBTED
        )
        return (*doubted, *self._discord("The others" if doubted else "The photos"))

    def _discord(self, who: str) -> tuple[str, ...]:
        """Return what speaks against those that count being one person."""
        off = np.where(self.weights >= DOUBTED, self.disagreements, 0.0)
        if off.max() <= DISAGREE:
            return ()
        if len(self.names) == 2:
            return (
                "The two photos hardly look like one person, and two have no majority: both count fully. "
                "Look at them, or add a third photo.",
            )
        return (
            f"{who} hardly look like one person ({self.names[int(off.argmax())]} least of all), but none "
            "stands out enough to be left out: all count. Look at them, or add more photos.",
        )
