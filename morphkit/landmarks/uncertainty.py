"""How wrong detected landmarks are, by point and direction: measured on heads whose truth is known."""

from __future__ import annotations

import functools
from importlib.resources import files

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from morphkit.geometry.similarity import Similarity
from morphkit.landmarks.sighting import canonical_points

_GUESSED = 8.0  # standard deviation of a point that no view shows, millimetres
_FADING = 0.7  # and what each millimetre to the nearest point that is seen adds
_WHOLE = 0.85  # share of the points that is seen on a whole face
_TABLE = "landmark_errors.npz"  # made by tools/landmark_errors.py
_ACROSS = 0.3  # least standard deviation, millimetres: a scan's own noise


def point_covariances(
    spread: Float[np.ndarray, "478"], seen: Bool[np.ndarray, "478"], pose: Similarity
) -> Float[np.ndarray, "478 3 3"]:
    """Return the covariances of detected points, in the scan's frame and units.

    The network errs otherwise on every face, and in the same way in every view of one face. So what the
    errors are was measured on simulated scans of many heads: some millimetres along outlines and bare
    surfaces (jaw, cheeks, forehead), little across them. Views that differ more than usual add to it. A face
    that is there in part misleads the network on that part, too (half of one: about 1.7 times the errors).

    Parameters
    ----------
    spread : weighted rms distance of the views' points to the merged ones, millimetres of the canonical face.
    seen : whether any view showed the point.
    pose : canonical face to scan.
    """
    measured, usual = error_table()
    excess = np.maximum(spread**2 - usual**2, 0)
    covariances = measured + (excess / 3 + _ACROSS**2)[:, None, None] * np.eye(3)
    covariances *= max(1.0, _WHOLE / float(seen.mean())) ** 2
    far = np.hypot(_GUESSED, _FADING * _distances_to_seen(seen))
    covariances[~seen] = (far[~seen] ** 2)[:, None, None] * np.eye(3)
    turned: Float[np.ndarray, "478 3 3"] = pose.scale**2 * pose.rotation @ covariances @ pose.rotation.T
    return turned


def _distances_to_seen(seen: Bool[np.ndarray, "478"]) -> Float[np.ndarray, "478"]:
    """Return how far each point is from the nearest one seen, millimetres of the canonical face."""
    points = canonical_points()
    return np.asarray(cKDTree(points[seen]).query(points)[0])


@functools.cache
def error_table() -> tuple[Float[np.ndarray, "478 3 3"], Float[np.ndarray, "478"]]:
    """Return the measured covariances and the usual spread of views, millimetres of the canonical face."""
    with (files("morphkit") / "data" / _TABLE).open("rb") as file, np.load(file, allow_pickle=False) as table:
        upper, usual = table["covariances"].astype(np.float64), table["spread"].astype(np.float64)
    covariances = np.empty((478, 3, 3))
    rows, columns = np.triu_indices(3)
    covariances[:, rows, columns] = covariances[:, columns, rows] = upper
    return covariances, usual
