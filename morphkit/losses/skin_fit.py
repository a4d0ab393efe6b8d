"""Mixtures of Gaussians fitted to labelled colours, with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from morphkit.losses.skin import Mixture

_LEAST_VARIANCE = 1.0  # of a Gaussian along any axis, code values²: no finer than colours are stored


def fit_mixture(ycbcr: Float[np.ndarray, "n 3"], components: int, seed: int) -> Mixture:
    """Return the mixture under which colours are likeliest, found by expectation maximisation.

    scikit-learn's `GaussianMixture` with full covariances, started by k-means. Heaviest first.

    Parameters
    ----------
    ycbcr : 16..240, as `SkinColorModel` converts them.
    components : Gaussians.
    seed : of the start.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "Fitting skin colours needs scikit-learn, which is not installed: install it with "
            '`pip install "morphkit-3dmm[train]"`.'
        ) from error
    mixture = GaussianMixture(
        components, covariance_type="full", reg_covar=_LEAST_VARIANCE, random_state=seed, max_iter=500
    )
    with threadpool_limits(limits=1):  # steps of a millisecond, in which threads only wait for each other
        found = mixture.fit(ycbcr)
    upper = np.triu_indices(3)
    return tuple(
        (float(share), tuple(mean.tolist()), tuple(np.linalg.inv(covariance)[upper].tolist()))
        for share, mean, covariance in sorted(
            zip(found.weights_, found.means_, found.covariances_, strict=True),
            key=lambda part: -part[0],
        )
    )
