"""Where a landmark fit starts: the mean face, posed in closed form."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.fitting.contour import LandmarkObserver
from morphkit.fitting.landmark import Face, FocalPrior
from morphkit.fitting.pose import scaled_orthographic
from morphkit.morphable import MorphableModel

_OUTLINE_SHARE = 0.1  # of an outline point's weight, since it lies on another place of the skin than its own


def start_face(
    observer: LandmarkObserver,
    model: MorphableModel,
    centre: Float[np.ndarray, "2"],
    focal_prior: FocalPrior,
) -> Face:
    """Return the mean face in the scaled orthographic pose of seen landmarks.

    Parameters
    ----------
    observer : the landmarks and the model's points of them.
    model : the model.
    centre : the principal point, pixels.
    focal_prior : gives the focal length.
    """
    seen = observer.seen
    weights = np.where(seen.on_outline, _OUTLINE_SHARE, 1.0) / seen.deviations**2
    points = observer.points.mean
    pose = scaled_orthographic(points, seen.pixels, weights, focal=focal_prior.focal, centre=centre)
    expressions = 0 if model.expression is None else model.expression.basis.shape[1]
    return Face(pose, np.zeros(model.identity.basis.shape[1]), np.zeros(expressions))
