"""Principal components as the groups of a morphable model: shapes, expressions and colours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import splu

from morphkit.basis.gram import Mapper
from morphkit.basis.mirroring import fit_mirrored, mirror_images, symmetric
from morphkit.basis.missing import MissingPCA, fit_pca_with_missing
from morphkit.basis.pca import PCA, fit_pca
from morphkit.basis.poses import chunks
from morphkit.basis.samples import Rows, Samples, Stacked, as_samples
from morphkit.geometry.laplacian import uniform_laplacian
from morphkit.morphable import LinearModel

_FEWEST, _FEWEST_SHARE = 5, 0.6  # scans that must show a vertex's colours; of few, this share
_SUPPORT = 0.3  # of the scans; what fewer saw, a ragged rim mostly, says too little of how things vary there


def fit_linear_model(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
) -> LinearModel:
    """Return the statistics of aligned shapes (or any per-vertex triples without gaps); see `fit_pca`."""
    return linear_model(fit_pca(shapes, components, weights=weights))


def fit_shapes(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    mirror: Int[np.ndarray, " v"] | None = None,
    centered: bool = True,
    method: str = "exact",
    output: h5py.Group | None = None,
    mapper: Mapper = map,
) -> PCA:
    """Return the principal components of shapes or offsets; with a mirror map, left-right symmetrised."""
    if mirror is None:
        return fit_pca(shapes, components, weights=weights, method=method, centered=centered, mapper=mapper)
    return fit_mirrored(
        shapes,
        mirror,
        components,
        weights=weights,
        method=method,
        centered=centered,
        output=output,
        mapper=mapper,
    )


def fit_incomplete_shapes(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    valid: Bool[np.ndarray, "n v"],
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    mirror: Int[np.ndarray, " v"] | None = None,
    output: h5py.Group | None = None,
) -> tuple[MissingPCA, int]:
    """Return the principal components of shapes from their valid vertices alone.

    Vertices that less than three shapes in ten have say too little; there, shapes count as they are.

    Returns
    -------
    fit : components as a share of the variance are found among all.
    scarce : how many vertices count as they are.
    """
    scarce = valid.mean(axis=0) < _SUPPORT
    if mirror is not None:
        scarce &= scarce[mirror]
    count = None if isinstance(components, float) else components
    samples, mask, doubled = _doubled(shapes, valid | scarce, weights, mirror, True, output)
    fit = fit_pca_with_missing(samples, count, valid=mask, weights=doubled)
    pca = fit.pca if count == components else _share(fit.pca, float(components or 1.0))
    return replace(fit, pca=_undoubled(pca, mirror, True)), int(scarce.sum())


def fit_albedo(
    colors: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    faces: Int[np.ndarray, "f 3"],
    components: int | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    mirror: Int[np.ndarray, " v"] | None = None,
    output: h5py.Group | None = None,
) -> tuple[LinearModel, MissingPCA]:
    """Return the statistics of vertex colours in which NaN marks what a scan did not show.

    Vertices that less than three scans in ten show, or less than five (of eight or fewer: six in ten), get
    what their neighbours on the mesh have: mean and components continue harmonically, so that a dark face has
    no pale neck where hardly a camera looked, and a few people's hair makes no blots.

    Parameters
    ----------
    colors : (n, v, 3) linear RGB, NaN rows where unknown; scans without any colour, or of weight zero, are
        left out.
    faces : (f, 3) the topology.
    components : how many; at most one less than the scans that have colours.
    weights : (n,) of the scans, uniform when None.
    mirror : (v,) the vertex at the mirrored place: every scan counts together with its mirror image.
    output : an open group for mirror images, needed if `colors` is a data set and there is a mirror map.

    Returns
    -------
    model, fit

    Raises
    ------
    ValueError
        If fewer than two scans have colours.
    """
    seen, support = _colored(colors, weights)
    colored = np.flatnonzero(seen)
    if len(colored) < 2:
        raise ValueError(f"{len(colored)} scans have colours; a basis needs two or more")
    enough = _enough(support, len(colored))
    if mirror is not None:
        enough |= enough[mirror]
    known = np.broadcast_to(enough, (len(seen), len(enough)))
    samples, mask, doubled = _doubled(colors, known, weights, mirror, False, output)
    rows = colored if mirror is None else np.r_[colored, colored + len(seen)]
    fit = fit_pca_with_missing(
        Rows(samples, rows),
        components,
        valid=mask[: len(rows)],
        weights=None if doubled is None else doubled[rows],
    )
    fit = replace(fit, pca=_undoubled(fit.pca, mirror, False))
    if fit.observed.all():
        return linear_model(fit.pca), fit
    known_vertices: np.ndarray = np.asarray(fit.observed.reshape(-1, 3).all(axis=1))
    mean = _continue(fit.pca.mean.reshape(-1, 3), known_vertices, faces)
    basis = _continue(fit.pca.components.reshape(len(known_vertices), -1), known_vertices, faces)
    basis = basis.reshape(len(fit.observed), -1)
    # no longer orthonormal: the same distribution on new axes
    spread = LinearModel(
        mean.astype(np.float32),
        np.asfortranarray(basis, dtype=np.float32),
        np.sqrt(fit.pca.variances),
        fit.pca.noise_variance,
    )
    return spread.orthonormalized()[0], fit


def _enough(support: Int[np.ndarray, " v"], scans: int) -> Bool[np.ndarray, " v"]:
    """Return which vertices are shown by scans enough; if most are not, those that any scan shows.

    So do parts of a face, of different people, make a whole.
    """
    shown = support > 0
    enough: np.ndarray = support >= max(_SUPPORT * scans, min(_FEWEST, _FEWEST_SHARE * scans))
    return enough if 2 * np.count_nonzero(enough) > np.count_nonzero(shown) else shown


def _colored(colors: Any, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which scans that count have colours (n,), and how many of them show each vertex (v,)."""
    seen, support = np.zeros(len(colors), bool), np.zeros(colors.shape[1], np.int64)
    for rows in chunks(*colors.shape[:2]):
        known = ~np.isnan(colors[rows]).any(axis=2)
        if weights is not None:
            known &= (weights[rows] > 0)[:, None]
        seen[rows] = known.any(axis=1)
        support += known.sum(axis=0)
    return seen, support


def _doubled(
    values: Any,
    valid: np.ndarray,
    weights: np.ndarray | None,
    mirror: np.ndarray | None,
    flip: bool,
    output: h5py.Group | None,
) -> tuple[Samples, np.ndarray, np.ndarray | None]:
    """Return samples, masks and weights, followed by those of the mirror images if there is a mirror."""
    if mirror is None:
        return as_samples(values), valid, weights
    images = mirror_images(values, mirror, flip, output)
    both = Stacked((as_samples(values), as_samples(images)))
    return both, np.concatenate([valid, valid[:, mirror]]), None if weights is None else np.tile(weights, 2)


def _undoubled(pca: PCA, mirror: np.ndarray | None, flip: bool) -> PCA:
    """Return the components of samples and mirror images as the samples', with an exactly symmetric mean."""
    if mirror is None:
        return pca
    mean = symmetric(pca.mean.reshape(-1, 3), mirror, flip).reshape(-1)
    return replace(
        pca,
        mean=mean,
        n_samples=pca.n_samples // 2,
        weight_sum=pca.weight_sum / 2,
        weight_squares=pca.weight_squares / 2,
    )


def _share(pca: PCA, share: float) -> PCA:
    """Return as many components as explain a share of the variance."""
    explained = np.cumsum(pca.variances) / max(pca.total_variance, 1e-300)
    k = min(int(np.searchsorted(explained, share * (1 - 1e-12))) + 1, len(explained))
    left = len(pca.mean) - k
    rest = max(pca.total_variance - float(pca.variances[:k].sum()), 0.0)
    return replace(
        pca,
        components=pca.components[:, :k],
        variances=pca.variances[:k],
        noise_variance=rest / left if left else 0.0,
    )


def linear_model(pca: PCA) -> LinearModel:
    """Return principal components of (n, 3v) data as a group of a model."""
    return LinearModel(
        pca.mean.reshape(-1, 3).astype(np.float32),
        np.asfortranarray(pca.components, dtype=np.float32),
        np.sqrt(pca.variances),
        pca.noise_variance,
    )


def compactness(model: LinearModel) -> Float[np.ndarray, " k"]:
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
