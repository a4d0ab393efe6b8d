"""How far a fit is off its landmarks, and what else speaks against it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.export.camera import PhotoCamera
from morphkit.fitting.seen import JAW68
from morphkit.morphable import MorphableModel

_LARGE_ERROR = 0.1  # of the eye distance, above which a fit is doubtful
_EYE_CORNERS = (36, 45)  # outer, iBUG-68
_EXTREME = 5.0  # standard deviations, beyond which a coefficient is


def doubts(error: float, identity: Float[np.ndarray, " i"]) -> tuple[str, ...]:
    """Return what speaks against a fit, one sentence each.

    Parameters
    ----------
    error : see `landmark_error`; NaN where it is unknown.
    identity : coefficients, standard deviations.
    """
    found: tuple[str, ...] = ()
    if error > _LARGE_ERROR:
        found += (
            f"The landmarks lie {100.0 * error:.0f} % of the eye distance off: look at the overlay, and "
            "check that they mark this photo's face, each in its place.",
        )
    extreme = float(np.abs(identity).max(initial=0.0))
    if extreme > _EXTREME:
        found += (
            f"An identity coefficient reaches {extreme:.0f} σ: the model knows no such face, so the photo or "
            "its landmarks mislead it.",
        )
    return found


def landmark_error(
    model: MorphableModel,
    vertices: Float[np.ndarray, "v 3"],
    camera: PhotoCamera,
    points68: Float[np.ndarray, "68 2"],
) -> float:
    """Return the mean distance of the 51 inner points over that of the outer eye corners; NaN if unknown.

    The corners' distance is the fitted face's, as long as it would be in the photo if it were not turned:
    in a profile, the photo shows little of it.

    Parameters
    ----------
    model : embeds the iBUG-68 landmarks, or some of them.
    vertices : (v, 3) head frame.
    camera : the photo's.
    points68 : (68, 2) pixels; NaN where unknown. The jaw's 17 are left out: they slide.
    """
    if "ibug68" not in model.landmarks:
        return float("nan")
    marks = model.landmarks["ibug68"].landmarks(vertices, model.faces)
    number = np.array([int(name) for name in marks.names])
    corners = marks.points[np.isin(number, _EYE_CORNERS)]
    errors = np.linalg.norm(camera.project(marks.points) - points68[number], axis=1)
    inner = ~np.isin(number, list(JAW68)) & np.isfinite(errors)
    if len(corners) < 2 or not inner.any():
        return float("nan")
    distance = float(np.linalg.norm(corners[1] - corners[0]))
    eyes = camera.K[0, 0] * distance / float(camera.to_camera(corners)[:, 2].mean())
    return float(errors[inner].mean()) / eyes
