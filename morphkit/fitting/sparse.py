"""From seen landmarks to a face: closed-form start, then the landmark fit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.fitting.contour import LandmarkObserver, landmark_observer
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkFit, fit_landmarks
from morphkit.fitting.pose import scaled_orthographic
from morphkit.fitting.seen import SeenLandmarks
from morphkit.fitting.settings import LandmarkSettings
from morphkit.morphable import MorphableModel


def fit_seen_landmarks(
    model: MorphableModel,
    seen: SeenLandmarks,
    *,
    centre: Float[np.ndarray, "2"],
    focal_prior: FocalPrior,
    settings: LandmarkSettings,
) -> LandmarkFit:
    """Fit camera, identity and expression to landmarks seen in a photo.

    Parameters
    ----------
    model : must embed the landmarks' set.
    seen : landmarks in pixels.
    centre : the principal point, pixels.
    focal_prior : what is known of the focal length.
    settings : weights, rounds and tolerances.
    """
    observer = landmark_observer(model, seen)
    return fit_landmarks(_start(observer, model, centre, focal_prior), observer, focal_prior, settings)


def _start(
    observer: LandmarkObserver, model: MorphableModel, centre: Float[np.ndarray, "2"], focal_prior: FocalPrior
) -> Face:
    """Return the mean face in its scaled orthographic pose."""
    seen = observer.seen
    weights = np.where(seen.on_outline, 0.1, 1.0) / seen.deviations**2
    pose = scaled_orthographic(
        observer.points.mean, seen.pixels, weights, focal=focal_prior.focal, centre=centre
    )
    expressions = 0 if model.expression is None else model.expression.basis.shape[1]
    return Face(pose, np.zeros(model.identity.basis.shape[1]), np.zeros(expressions))
