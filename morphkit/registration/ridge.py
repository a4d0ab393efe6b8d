"""The closed-form posterior of the deformation prior given noisy, direction-dependent observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg

from morphkit.registration.prior import DeformationPrior


@dataclass(frozen=True, eq=False)
class Observations:
    """Displacements seen at n points, with a precision along a normal and another across it.

    Attributes
    ----------
    prior : the prior at those points.
    displacements : (n, 3) observed displacements from the template, millimetres.
    normals : (n, 3) unit directions.
    along, across : (n,) precisions (inverse variances) along the normal and in the tangent plane.
    """

    prior: DeformationPrior
    displacements: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    along: Float[np.ndarray, "n"]
    across: Float[np.ndarray, "n"]


def posterior_mean(observations: list[Observations], rank: int) -> Float[np.ndarray, "3 k"]:
    """Return the coefficients that maximise the posterior, using the `rank` widest basis functions.

    They solve (I + sum_i B_i' P_i B_i) c = sum_i B_i' P_i d_i, where P_i = across + (along - across) n n'.
    """
    rank = min(rank, observations[0].prior.rank)
    matrix, right = np.eye(3 * rank), np.zeros(3 * rank)
    for seen in observations:
        _accumulate(matrix, right, seen, rank)
    solution = linalg.solve(matrix, right, assume_a="pos", overwrite_a=True, check_finite=False)
    return solution.reshape(3, rank)


def _accumulate(matrix: np.ndarray, right: np.ndarray, seen: Observations, rank: int) -> None:
    bases = [seen.prior.odd[:, :rank], seen.prior.even[:, :rank], seen.prior.even[:, :rank]]
    extra = np.sqrt(np.maximum(seen.along - seen.across, 0.0))[:, None] * seen.normals
    normal_rows = np.hstack([basis * extra[:, [k]] for k, basis in enumerate(bases)])
    matrix += normal_rows.T @ normal_rows
    right += normal_rows.T @ (extra * seen.displacements).sum(axis=1)
    isotropic = [basis.T @ (basis * seen.across[:, None]) for basis in bases[:2]]
    for k, basis in enumerate(bases):
        block = slice(k * rank, (k + 1) * rank)
        matrix[block, block] += isotropic[min(k, 1)]
        right[block] += basis.T @ (seen.across * seen.displacements[:, k])
