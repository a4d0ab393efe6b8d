"""Principal components as the groups of a morphable model: shapes and colours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.linalg import splu

from morphkit.basis.missing import MissingPCA, fit_pca_with_missing
from morphkit.basis.pca import PCA, fit_pca
from morphkit.geometry.laplacian import uniform_laplacian
from morphkit.morphable import LinearModel

_SUPPORT = 0.3  # of the scans; what fewer saw, a ragged rim mostly, says too little of how colours vary there


def fit_linear_model(
    shapes: Float[np.ndarray, "n v 3"],
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, "n"] | None = None,
) -> LinearModel:
    """Return the statistics of aligned shapes (or any per-vertex triples without gaps); see `fit_pca`."""
    return linear_model(fit_pca(shapes.reshape(len(shapes), -1), components, weights=weights))


def fit_albedo(
    colors: Float[np.ndarray, "n v 3"],
    faces: Int[np.ndarray, "f 3"],
    components: int | None = None,
) -> tuple[LinearModel, MissingPCA]:
    """Return the statistics of vertex colours in which NaN marks what a scan did not show.

    Vertices that less than three scans in ten show get what their neighbours on the mesh have: mean and
    components continue harmonically, so that a dark face has no pale neck where hardly a camera looked.

    Parameters
    ----------
    colors : (n, v, 3) linear RGB, NaN rows where unknown; scans without any colour are left out.
    faces : (f, 3) the topology.
    components : how many; at most one less than the scans that have colours.

    Returns
    -------
    model, fit

    Raises
    ------
    ValueError
        If fewer than two scans have colours.
    """
    flat = colors.reshape(len(colors), -1)
    colored = ~np.isnan(flat).all(axis=1)
    if colored.sum() < 2:
        raise ValueError(f"{colored.sum()} scans have colours; a basis needs two or more")
    values = flat[colored].astype(np.float32)
    values[:, (~np.isnan(values)).mean(axis=0) < _SUPPORT] = np.nan
    fit = fit_pca_with_missing(values, components)
    if fit.observed.all():
        return linear_model(fit.pca), fit
    known: np.ndarray = np.asarray(fit.observed.reshape(-1, 3).all(axis=1))
    mean = _continue(fit.pca.mean.reshape(-1, 3), known, faces)
    basis = _continue(fit.pca.components.reshape(len(known), -1), known, faces)
    basis = basis.reshape(len(fit.observed), -1)
    # no longer orthonormal: the same distribution on new axes
    spread = LinearModel(
        mean.astype(np.float32),
        np.asfortranarray(basis, dtype=np.float32),
        np.sqrt(fit.pca.variances),
        fit.pca.noise_variance,
    )
    return spread.orthonormalized()[0], fit


def linear_model(pca: PCA) -> LinearModel:
    """Return principal components of (n, 3v) data as a group of a model."""
    return LinearModel(
        pca.mean.reshape(-1, 3).astype(np.float32),
        np.asfortranarray(pca.components, dtype=np.float32),
        np.sqrt(pca.variances),
        pca.noise_variance,
    )


def compactness(model: LinearModel) -> Float[np.ndarray, "k"]:
    """Return the share of the total variance (noise included) in the first 1, 2, ... k components.

    References
    ----------
    Styner et al. 2003, section 2.4.
    """
    variances = model.standard_deviations**2
    total = variances.sum() + model.noise_variance * max(model.mean.size - len(variances), 0)
    return np.cumsum(variances) / max(float(total), 1e-300)


def _continue(values: np.ndarray, known: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Fill unknown rows harmonically over the mesh; islands without any known vertex get the mean."""
    filled = values.astype(np.float64)
    filled[~known] = filled[known].mean(axis=0)
    laplacian = uniform_laplacian(faces, len(values)).tocsr()
    inner = np.flatnonzero(~known)
    # a whisper of the mean keeps the system solvable for islands without any known vertex
    system = laplacian[inner][:, inner].tocsc()
    system.setdiag(system.diagonal() + 1e-6)
    right = -(laplacian[inner][:, np.flatnonzero(known)] @ filled[known]) + 1e-6 * filled[inner]
    filled[inner] = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(right)
    return filled
