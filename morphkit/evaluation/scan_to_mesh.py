"""How far a true face lies from a fitted one, as the NoW benchmark measures it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.evaluation.alignment import Alignment, MisalignedError, align_by_points, refine
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.mesh import Mesh

_ON_THE_FACE = 0.15  # of the outer-eye distance: the seven points lie no farther from the fit's own surface


def scan_to_mesh(
    truth: Float[np.ndarray, "n 3"],
    truth_points: Float[np.ndarray, "7 3"],
    fitted: Mesh,
    fitted_points: Float[np.ndarray, "7 3"],
    *,
    metrical: bool = False,
) -> Alignment:
    """Return the distance of every point of a true face to a fitted surface, after the best alignment.

    The fit is brought onto the truth by their seven points, then by the least squares of those distances,
    both with the freedom of a similarity, or of a rigid motion when metrical.

    Parameters
    ----------
    truth : (n, 3) the vertices that are measured, millimetres: a scan's within `now_crop`, say.
    truth_points, fitted_points : (7, 3) in the order of `NOW_POINTS`, each in its own mesh's frame.
    fitted : any topology and frame; any scale, but when metrical millimetres.
    metrical : the size counts.

    Returns
    -------
    Alignment
        Distances in the truth's units, whatever the fit's.

    Raises
    ------
    MisalignedError
        When the fit holds numbers that are none, or its seven points are not its own or not a face's.
    ValueError
        When there are no true points, or fewer than a similarity needs.

    References
    ----------
    Sanyal et al. 2019 (RingNet), section 5: the NoW benchmark; metrical: Zielonka et al. 2022 (MICA).
    """
    if len(truth) < 3 or not np.isfinite(truth).all():
        raise ValueError(f"truth: expected at least 3 finite points, got {len(truth)}")
    if not np.isfinite(fitted.vertices).all():
        raise MisalignedError("its vertices are not all finite")
    start = align_by_points(fitted_points, truth_points, metrical=metrical)
    query = ClosestPointQuery(fitted)
    away = start.scale * float(query.query(fitted_points).distances.max())
    if away > _ON_THE_FACE * float(np.linalg.norm(truth_points[0] - truth_points[3])):
        raise MisalignedError(f"one of its seven points lies {away:.3g} mm from its own surface")
    found = refine(query, truth, start, metrical=metrical)
    if not np.isfinite(found.distances).all():
        raise MisalignedError("its alignment with the true face broke down")
    return found
