"""The fine stage: every vertex moves onto the scan along its normal, held by bending energy.

The unknown is the displacement u that the coarse stage could not express. It minimises
sum_i w_i (n_i . (x_i + u_i - y_i))^2 + stiffness |L u|^2. The point-to-plane term couples x, y and z; instead
of a system three times as large, each right-hand side takes the projection of the current point onto the
plane as its target and reuses one factorisation (a majorisation, so the energy only falls).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.robust import robust_weight
from morphkit.registration.prepared import Bending, PreparedTemplate
from morphkit.registration.settings import FineSettings
from morphkit.registration.target import SurfaceMatches, Target

_MIN_COSINE = 0.5
_PLANE_STEPS = 3
_FLOOR = 1e-6


def fit_fine(
    prepared: PreparedTemplate, target: Target, vertices: Float[np.ndarray, "v 3"], settings: FineSettings
) -> Float[np.ndarray, "v 3"]:
    """Return `vertices` moved onto `target`; passive parts follow what surrounds them."""
    start, residual, hints = vertices, np.zeros_like(vertices), None
    for stiffness in settings.stiffness:
        for _ in range(settings.iterations):
            moved = start + residual
            normals = vertex_normals(moved, prepared.mesh.faces)
            match = target.match(moved, normals, _MIN_COSINE, hints)
            hints = match.closest.face_indices
            belief = _belief(match, normals, settings.cutoff) * ~prepared.passive
            residual = _descend(prepared.bending, start, residual, match, belief, stiffness)
    return start + residual


def _belief(match: SurfaceMatches, normals: np.ndarray, cutoff: float) -> np.ndarray:
    cosine = np.clip(np.einsum("vd,vd->v", match.normals, normals), 0, 1)
    distance = np.where(match.usable, match.closest.distances, 0.0)
    return match.usable * cosine**2 * robust_weight(distance, cutoff)


def _descend(
    bending: Bending,
    start: np.ndarray,
    residual: np.ndarray,
    match: SurfaceMatches,
    belief: np.ndarray,
    stiffness: float,
) -> np.ndarray:
    matrix, scale = bending.matrix, 0.25 * stiffness
    factor = bending.plan.factorize(belief + _FLOOR + scale * matrix.diagonal, scale * matrix.beside)
    for _ in range(_PLANE_STEPS):
        gap = np.einsum("vd,vd->v", match.closest.points - start - residual, match.normals)
        wanted = residual + gap[:, None] * match.normals
        residual = factor.solve(belief[:, None] * wanted)
    return residual
