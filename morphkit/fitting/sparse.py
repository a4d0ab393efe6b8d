"""Where a landmark fit starts: the mean face or one that is known, posed in closed form."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.fitting.contour import LandmarkObserver
from morphkit.fitting.initial import InitialFace
from morphkit.fitting.landmark import Face, FocalPrior
from morphkit.fitting.pose import scaled_orthographic
from morphkit.morphable import MorphableModel

_OUTLINE_SHARE = 0.1  # of an outline point's weight, since it lies on another place of the skin than its own


def start_face(
    observer: LandmarkObserver,
    model: MorphableModel,
    centre: Float[np.ndarray, "2"],
    focal_prior: FocalPrior,
    initial: InitialFace | None = None,
) -> Face:
    """Return the mean face, or an initial one, in the scaled orthographic pose of seen landmarks.

    Parameters
    ----------
    observer : the landmarks and the model's points of them.
    model : the model.
    centre : the principal point, pixels.
    focal_prior : gives the focal length.
    initial : with all of the model's coefficients.
    """
    seen = observer.seen
    weights = np.where(seen.on_outline, _OUTLINE_SHARE, 1.0) / seen.deviations**2
    identity, expression = _coefficients(model, initial)
    points = observer.points.mean if initial is None else observer.points.at(identity, expression)
    pose = scaled_orthographic(points, seen.pixels, weights, focal=focal_prior.focal, centre=centre)
    return Face(pose, identity, expression)


def _coefficients(
    model: MorphableModel, initial: InitialFace | None
) -> tuple[Float[np.ndarray, " i"], Float[np.ndarray, " e"]]:
    if initial is not None and initial.expression is not None:
        return initial.identity, initial.expression
    expressions = 0 if model.expression is None else model.expression.basis.shape[1]
    identity = np.zeros(model.identity.basis.shape[1]) if initial is None else initial.identity
    return identity, np.zeros(expressions)
