"""New scans into principal components that exist already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import h5py
import numpy as np
from jaxtyping import Float

from morphkit.basis.pca import PCA, fit_pca, short_note, unbias, weight_sums
from morphkit.basis.samples import Samples, Stacked, as_samples
from morphkit.morphable import LinearModel


def update_pca(
    pca: PCA,
    data: Float[np.ndarray, "n d"] | Float[np.ndarray, "n v 3"] | h5py.Dataset | Samples,
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
) -> PCA:
    """Return the components of all samples so far and of new ones, without the old ones.

    With every component kept it equals fitting all samples at once. What earlier fits left out stays in the
    total and in the noise variance, but can come back into no component.

    Parameters
    ----------
    pca : of the samples so far, in the frame of `data`.
    data : (n, d) new samples, n >= 1; an array or an open HDF5 data set, in bounded memory as in `fit_pca`.
    components : how many, or the share of the variance; as many as before when None.
    weights : (n,) of the new samples, in the units of those so far (1 when None).

    Raises
    ------
    ValueError
        If the new samples have other coordinates, or `components` or `weights` are out of range.

    References
    ----------
    Ross et al. 2008, section 3.1, equation 5: there by one QR of the new samples; here the old components
    stand in as two samples each, either side of the mean, so that the method of snapshots applies.
    """
    samples = as_samples(data)
    if samples.shape[1] != len(pca.mean):
        raise ValueError(f"data has {samples.shape[1]} coordinates, the components {len(pca.mean)}")
    new_sum, new_squares = weight_sums(weights, samples.shape[0])
    old = _OldSamples.of(pca)
    counts = np.ones(samples.shape[0]) if weights is None else weights.astype(np.float64)
    stand_ins = np.full(old.shape[0], pca.weight_sum / old.shape[0])
    wanted = len(pca.variances) if components is None else components
    merged = fit_pca(Stacked((old, samples)), wanted, weights=np.r_[stand_ins, counts])
    total, squares, n = (
        pca.weight_sum + new_sum,
        pca.weight_squares + new_squares,
        pca.n_samples + len(counts),
    )
    correction = unbias(total, squares) / merged.unbias  # the stand-ins are not as many as they stand for
    variances = merged.variances * correction
    # what no component held, in mean squares, as the old share of all the weight
    lost = (pca.total_variance - float(pca.variances.sum())) / pca.unbias * pca.weight_sum / total
    whole = merged.total_variance * correction + max(lost, 0.0) * unbias(total, squares)
    rest = max(whole - float(variances.sum()), 0.0)
    left = len(pca.mean) - len(variances)
    return replace(
        merged,
        variances=variances,
        noise_variance=rest / left if left else 0.0,
        total_variance=whole,
        n_samples=n,
        weight_sum=total,
        weight_squares=squares,
        notes=short_note(components, len(variances), n),
    )


def pca_of(model: LinearModel, n_samples: int) -> PCA:
    """Return a model's group as principal components of `n_samples` equally weighted shapes.

    Raises
    ------
    ValueError
        If `n_samples` is below two.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples must be two or more, not {n_samples}")
    variances = model.standard_deviations**2
    noise = model.noise_variance * (model.mean.size - len(variances))
    return PCA(
        mean=model.mean.reshape(-1).astype(np.float64),
        components=model.basis,
        variances=variances,
        noise_variance=model.noise_variance,
        total_variance=float(variances.sum()) + noise,
        n_samples=n_samples,
        weight_sum=float(n_samples),
        weight_squares=float(n_samples),
    )


@dataclass(eq=False)
class _OldSamples(Samples):
    """Samples with the mean and the covariance of principal components: mean ± √(kλ) · component."""

    mean: np.ndarray
    arms: np.ndarray  # (k, d) without their lengths
    lengths: np.ndarray

    @classmethod
    def of(cls, pca: PCA) -> _OldSamples:
        # one component of no length where there is none: the mean still counts
        k = max(len(pca.variances), 1)
        lengths, arms = np.zeros(k), np.zeros((k, len(pca.mean)), pca.components.dtype)
        if len(pca.variances):
            lengths, arms = np.sqrt(k * pca.variances / pca.unbias), pca.components.T
        return cls(pca.mean, arms, lengths)

    def __post_init__(self) -> None:
        self.shape = (2 * len(self.lengths), len(self.mean))
        self.dtype = self.arms.dtype

    def columns(
        self,
        block: slice,
        out: Float[np.ndarray, "n w"] | None = None,  # noqa: ARG002
    ) -> Float[np.ndarray, "n w"]:
        """Return both ends of every arm."""
        arms = self.lengths[:, None] * self.arms[:, block]
        ends = np.concatenate([self.mean[block] + arms, self.mean[block] - arms])
        return ends.astype(self.dtype, copy=False)
