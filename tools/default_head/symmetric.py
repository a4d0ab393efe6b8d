"""Principal components of a left-right symmetric population."""

from __future__ import annotations

import numpy as np


def symmetric_pca(
    samples: np.ndarray, mirror: np.ndarray, flip: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the PCA of the samples together with their mirror images.

    The joint covariance splits into that of the symmetric halves and that of the antisymmetric halves, so
    every mode is exactly the one or the other, and the mean is exactly symmetric.

    Parameters
    ----------
    samples : (n, v, 3); read only.
    mirror : (v,) left-right map.
    flip : (3,) sign of each channel under mirroring: (-1, 1, 1) for positions, ones for colours.
    components : how many modes to keep.

    Returns
    -------
    mean (v, 3), basis (3v, k) orthonormal, standard deviations (k,), noise variance per coordinate
    (Tipping & Bishop 1999: the variance left over the directions left).
    """
    other = samples[:, mirror] * flip.astype(samples.dtype)
    mean = 0.5 * (samples + other).mean(0, dtype=np.float64)
    modes = []
    total = 0.0
    for half in (0.5 * (samples + other) - mean.astype(samples.dtype), 0.5 * (samples - other)):
        rows = half.reshape(len(samples), -1)
        values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64) / len(rows))
        total += float(np.clip(values, 0, None).sum())
        keep = np.argsort(-values)[:components]
        modes.append((values[keep], rows.T @ vectors[:, keep].astype(samples.dtype)))
    variance = np.concatenate([values for values, _ in modes])
    basis = np.concatenate([vectors for _, vectors in modes], axis=1)
    order = np.argsort(-variance)[:components]
    basis = _oriented(np.linalg.qr(basis[:, order].astype(np.float64))[0])
    noise = max(total - float(variance[order].sum()), 0.0) / (basis.shape[0] - components)
    return mean, basis, np.sqrt(variance[order]), noise


def _oriented(basis: np.ndarray) -> np.ndarray:
    """Return the columns with their largest entry positive, so that signs do not depend on the solver.

    An antisymmetric mode has two entries of that size; the first one decides.
    """
    size = np.abs(basis)
    first = np.argmax(size > size.max(0) * (1.0 - 1e-4), axis=0)
    sign = np.where(basis[first, np.arange(basis.shape[1])] < 0, -1.0, 1.0)
    return basis * sign
