"""A face that is known before a fit: where it starts, and what it believes without looking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.morphable import MorphableModel

_SUREST = 1e-3  # standard deviations; who claims to be surer is believed no further


@dataclass(frozen=True, eq=False)
class InitialFace:
    """What another estimator says of a photo's face, such as a network.

    An estimator that was trained on people of the model gives a posterior: it has counted the model's own
    prior, N(0, 1), in. So where it is surer than that, ``N(identity, identity_deviations²)`` *replaces* the
    prior, and does not multiply it; where it isn't, it knows nothing of its own, and the prior stays.

    It has also seen the photo, and no landmark that a fit goes by tells it something new. So landmarks say
    nothing of identity where the estimate is surer than the prior; they pose the face and move it. The
    photo's colours, which a fit compares more finely than any network sees them, do. (Measured with a network
    of 1.63 mm error on 60 rendered faces: fits to landmarks 1.92 mm by themselves, 1.86 with the landmarks
    counted anew, 1.64 so.)

    Attributes
    ----------
    identity : leading coefficients, standard deviations; those after them are unknown.
    identity_deviations : how far each is off as a rule, standard deviations; None where that is unknown: the
        fit then starts here, and believes what it would have believed.
    expression : leading coefficients, where the fit starts; None for the neutral face.
    name : what notes call the estimator.
    """

    identity: Float[np.ndarray, " i"]
    identity_deviations: Float[np.ndarray, " i"] | None = None
    expression: Float[np.ndarray, " e"] | None = None
    name: str = "another estimate"

    def __post_init__(self) -> None:
        deviations = self.identity_deviations
        if deviations is not None and not (deviations >= 0).all():
            raise ValueError("identity_deviations: expected numbers of 0 or more")
        parts = [self.identity] if self.expression is None else [self.identity, self.expression]
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("identity and expression: expected finite numbers")

    @property
    def note(self) -> str:
        """What the reader of a fit should know."""
        if self.identity_deviations is None:
            return f"The fit started at the face that {self.name} predicted."
        return f"The fit started at the face that {self.name} predicted, and was drawn to its identity."

    def for_model(self, model: MorphableModel) -> InitialFace:
        """Return the face with all of a model's coefficients: those that were unknown are at the mean.

        Raises
        ------
        ValueError
            When the model has fewer.
        """
        most = model.identity.n_components
        expressions = 0 if model.expression is None else model.expression.n_components
        given = np.zeros(0) if self.expression is None else self.expression
        if len(self.identity) > most or len(given) > expressions:
            raise ValueError(
                f"identity and expression: expected at most {most} and {expressions} coefficients, got "
                f"{len(self.identity)} and {len(given)}"
            )
        deviations = self.identity_deviations
        return InitialFace(
            _padded(self.identity, most, 0.0),
            None if deviations is None else _padded(deviations, most, np.inf),
            _padded(given, expressions, 0.0),
            self.name,
        )

    def identity_prior(self, weight: float) -> tuple[Float[np.ndarray, " i"], Float[np.ndarray, " i"]]:
        """Return the mean and the precision of what is believed of identity before looking.

        Parameters
        ----------
        weight : the precision of the model's own prior, 1 by its statistics.
        """
        surer, precision = self.surer(weight), np.full(len(self.identity), weight)
        if self.identity_deviations is not None:
            precision[surer] = np.maximum(self.identity_deviations[surer], _SUREST) ** -2.0
        return np.where(surer, self.identity, 0.0), precision

    def surer(self, weight: float) -> Bool[np.ndarray, " i"]:
        """Return of which identity coefficients the estimate is surer than a prior of this precision."""
        if self.identity_deviations is None:
            return np.zeros(len(self.identity), dtype=bool)
        surer: np.ndarray = np.maximum(self.identity_deviations, _SUREST) ** -2.0 > weight
        return surer


def _padded(values: Float[np.ndarray, " n"], count: int, by: float) -> Float[np.ndarray, " m"]:
    rest = np.full(count - len(values), by)
    padded: np.ndarray = np.concatenate([values.astype(np.float64), rest])
    return padded
