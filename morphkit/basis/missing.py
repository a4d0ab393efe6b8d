"""Principal components of data with gaps, by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg.lapack import dposv
from threadpoolctl import threadpool_limits

from morphkit.basis.gaps import Filled, Gappy, Patterns, find_patterns
from morphkit.basis.pca import PCA, fit_pca, shares, short_note, signs, unbias, weight_sums
from morphkit.basis.samples import Samples, as_samples
from morphkit.geometry.parallel import run_all, split_range, thread_count

_NOISE_FLOOR = 1e-5  # of the mean variance per coordinate; keeps the equations solvable when all is explained
_EQUATIONS = 1 << 22  # numbers in the systems of equations that are set up at a time


@dataclass(frozen=True, eq=False)
class MissingPCA:
    """Principal components of data with gaps.

    Attributes
    ----------
    pca : the components; coordinates that no sample has are zero in mean and components.
    observed : (d,) whether any sample has the coordinate.
    iterations : EM rounds; 0 when nothing was missing.
    converged : whether what the components explain stood still in the end.
    """

    pca: PCA
    observed: Bool[np.ndarray, " d"]
    iterations: int
    converged: bool


def fit_pca_with_missing(
    data: Float[np.ndarray, "n d"] | Float[np.ndarray, "n v 3"] | h5py.Dataset | Samples,
    components: int | None = None,
    *,
    valid: Bool[np.ndarray, "n m"] | h5py.Dataset | None = None,
    weights: Float[np.ndarray, " n"] | None = None,
    tolerance: float = 1e-3,
    max_iterations: int = 50,
) -> MissingPCA:
    """Fit probabilistic PCA to data of which some coordinates are missing.

    Each round infers every sample's coefficients from the coordinates it has (with their uncertainty), then
    solves for each coordinate's mean and loadings from the samples that have it. Nothing is imputed, so a
    vertex that few scans saw gets the variance that those scans show, not one shrunk by made-up values. A
    round reads the data once, by blocks of coordinates; beside the loadings, n k² numbers are held.

    Parameters
    ----------
    data : (n, d) or (n, v, 3), n >= 2; NaN where missing; an array or an open HDF5 data set.
    components : how many; at most n - 1, which is also the default.
    valid : (n, d), or (n, v) when d = 3 v: what else is missing, whatever `data` holds there.
    weights : (n,) non-negative weight of each sample, uniform when None.
    tolerance : stop when what the components explain changes by less than this share of itself in a round.
    max_iterations : rounds at most.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or a value is infinite, or `valid` has another shape.

    References
    ----------
    Tipping & Bishop 1999, section 3.3; Ilin & Raiko 2010, equations 14-20 and section 4 (the prior, found to
    matter: without it, twenty faces with gaps are overfitted by any number of components); Liu, Rubin & Wu
    1998 (parameter expansion).
    """
    samples = as_samples(data)
    n, d = samples.shape
    if n < 2:
        raise ValueError(f"data has {n} samples; principal components need two or more")
    if valid is not None and valid.shape not in {(n, d), (n, d // 3)}:
        raise ValueError(f"valid has shape {valid.shape}; data of shape {(n, d)} need that or {(n, d // 3)}")
    counts = shares(weights, n) * n
    gappy = Gappy(samples, valid)
    with threadpool_limits(1, "blas"):
        patterns = find_patterns(gappy)
        if patterns.complete:
            return MissingPCA(fit_pca(samples, components, weights=weights), np.ones(d, bool), 0, True)
        fit = _Fit(gappy, patterns, counts)
        state, floor = fit.start(n - 1 if components is None else min(components, n - 1))
        converged, iterations = False, 0
        while not converged and iterations < max_iterations:
            state, change = fit.round(state, floor)
            converged, iterations = change <= tolerance, iterations + 1
        pca = _finish(state, patterns.counts > 0, samples.dtype, weight_sums(weights, n), components)
    return MissingPCA(pca, patterns.counts > 0, iterations, converged)


@dataclass(frozen=True, eq=False)
class _State:
    """What EM changes: x = mean + loadings · z + noise, with z standard normal; and what E-steps need.

    Attributes
    ----------
    mean, loadings : (d,), (d, k).
    noise : variance per coordinate.
    products : (n, k, k), Σ w wᵀ over the coordinates that each sample has.
    moments : (n, k), Σ w (x − mean) over them.
    latent : (n, k) the coefficients by which the last round explained the samples.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: float
    products: np.ndarray
    moments: np.ndarray
    latent: np.ndarray


@dataclass(frozen=True, eq=False)
class _Fit:
    """The data of an EM fit: samples with gaps, and weights that are one on average."""

    gappy: Gappy
    patterns: Patterns
    counts: np.ndarray

    def start(self, k: int) -> tuple[_State, float]:
        """Begin from the data's components, gaps filled by each coordinate's mean; also the noise floor."""
        n, d = self.gappy.shape
        mean = self._plain_mean()
        first = fit_pca(Filled(self.gappy, mean), k, weights=self.counts)
        floor = _NOISE_FLOOR * max(first.total_variance / d, 1e-300)
        noise = max(first.noise_variance, 10 * floor)
        loadings = first.components * np.sqrt(np.maximum(first.variances - noise, noise))
        k = loadings.shape[1]
        products, moments = np.zeros((n, k, k)), np.zeros((n, k))
        for block in self.gappy.blocks():
            values, known = self.gappy.read(block)
            self._collect(loadings[block], values - known * mean[block], known, products, moments)
        return _State(mean, loadings, noise, products, moments, np.zeros((n, k))), floor

    def round(self, state: _State, floor: float) -> tuple[_State, float]:
        """Return the state after one expectation and one maximisation, and how much what it explains changed.

        One pass over the data: each block's equations are solved, and what the next expectation needs of
        the result is collected at once.
        """
        latent, covariance = _expect(state)
        n, k = latent.shape
        mean, loadings = np.zeros_like(state.mean), np.zeros_like(state.loadings)
        products, moments = np.zeros((n, k, k)), np.zeros((n, k))
        squares = changed = explained = 0.0
        equations = _Equations.of(state, latent, covariance, self.counts)
        for block in self.gappy.blocks():
            values, known = self.gappy.read(block)
            values = values.astype(np.float64)
            equations.solve(block, values, self.patterns, mean, loadings)
            part = latent @ loadings[block].T
            before = state.mean[block] - mean[block] + state.latent @ state.loadings[block].T
            changed, explained = (
                changed + float(np.sum((part - before) ** 2)),
                explained + float(np.sum(part**2)),
            )
            residual = values - known * mean[block]
            self._collect(loadings[block], residual, known, products, moments)
            residual -= known * part
            squares += float(self.counts @ np.einsum("nw,nw->n", residual, residual))
        uncertain = float(self.counts @ np.einsum("nij,nij->n", covariance, products))
        noise = (squares + uncertain) / float(self.counts @ self._known_per_sample())
        new = _State(mean, loadings, max(noise, floor), products, moments, latent)
        return self._expanded(new, covariance), float(np.sqrt(changed / max(explained, 1e-300)))

    def _expanded(self, state: _State, covariance: np.ndarray) -> _State:
        """Return the state with standard normal coefficients again, turned to principal axes.

        Parameter expansion: what the coefficients turned out to be goes into the loadings. Plain EM would
        take ever longer to do so the smaller the noise is.
        """
        share = self.counts / self.counts.sum()
        center = share @ state.latent
        deviation = state.latent - center
        spread = np.linalg.cholesky(
            (deviation.T * share) @ deviation + np.tensordot(share, covariance, axes=1)
        )
        stretched = state.loadings @ spread
        turn = np.linalg.eigh(stretched.T @ stretched)[1][:, ::-1]
        change = spread @ turn
        return _State(
            state.mean + state.loadings @ center,
            stretched @ turn,
            state.noise,
            change.T @ state.products @ change,
            (state.moments - state.products @ center) @ change,
            np.linalg.solve(change, deviation.T).T,
        )

    def _collect(
        self,
        loadings: np.ndarray,
        residual: np.ndarray,
        known: np.ndarray,
        products: np.ndarray,
        moments: np.ndarray,
    ) -> None:
        """Add what one block of coordinates says about the samples' coefficients."""
        whole = loadings.T @ loadings
        parts = split_range(len(known), 4 * thread_count())
        run_all(_add_products, [(loadings, whole, known[a:b], products[a:b]) for a, b in parts])
        moments += residual @ loadings

    def _plain_mean(self) -> np.ndarray:
        """Return each coordinate's mean over the samples that have it; zero where none has."""
        total, weight = np.zeros(self.gappy.shape[1]), np.zeros(self.gappy.shape[1])
        for block in self.gappy.blocks():
            values, known = self.gappy.read(block)
            total[block], weight[block] = self.counts @ values, self.counts @ known
        return total / np.where(weight > 0, weight, 1.0)

    def _known_per_sample(self) -> np.ndarray:
        weights = np.bincount(self.patterns.of, minlength=self.patterns.packed.shape[1])
        bits = np.unpackbits(self.patterns.packed, axis=0, count=self.patterns.n)
        return bits @ weights


def _add_products(loadings: np.ndarray, whole: np.ndarray, known: np.ndarray, products: np.ndarray) -> None:
    """Add Σ w wᵀ over the coordinates that each sample has: all of them less those missing, if few are."""
    for i, row in enumerate(known):
        few = 2 * np.count_nonzero(row) < len(row)
        rows = loadings[row if few else ~row]
        products[i] += rows.T @ rows if few else whole - rows.T @ rows


def _expect(state: _State) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means (n, k) and covariances (n, k, k) of the samples' coefficients."""
    inverse = np.linalg.inv(state.products + state.noise * np.eye(state.loadings.shape[1]))
    return np.einsum("nij,nj->ni", inverse, state.moments), state.noise * inverse


@dataclass(frozen=True, eq=False)
class _Equations:
    """The normal equations of a coordinate's loadings and mean, (k + 1) of them.

    Attributes
    ----------
    extended : (n, k + 1) the samples' coefficients, then one.
    counts : (n,) the samples' weights.
    moment : (n, (k + 1)²) what each sample adds to the matrix.
    ridge : (k + 1, k + 1) a prior on the loadings, as wide as each component's are: it decides what too few
        samples leave open.
    """

    extended: np.ndarray
    counts: np.ndarray
    moment: np.ndarray
    ridge: np.ndarray

    @classmethod
    def of(cls, state: _State, latent: np.ndarray, covariance: np.ndarray, counts: np.ndarray) -> _Equations:
        n, k = latent.shape
        extended = np.concatenate([latent, np.ones((n, 1))], axis=1)
        moment = extended[:, :, None] * extended[:, None, :]
        moment[:, :k, :k] += covariance
        moment *= counts[:, None, None]
        widths = np.maximum(np.mean(state.loadings**2, axis=0), 1e-300)
        return cls(extended, counts, moment.reshape(n, -1), np.diag(np.r_[state.noise / widths, 0.0]))

    def solve(
        self, block: slice, values: np.ndarray, patterns: Patterns, mean: np.ndarray, loadings: np.ndarray
    ) -> None:
        """Write the means and loadings of a block of coordinates, one system for each pattern of gaps."""
        right = (self.extended.T * self.counts) @ values
        size = len(self.ridge)
        for present, columns in patterns.groups(block, max(_EQUATIONS // size**2, 1)):
            matrices = (present @ self.moment).reshape(-1, size, size) + self.ridge
            for matrix, own, has in zip(matrices, columns, present, strict=True):
                if not (has @ self.counts) > 0:  # nobody has it: zero it stays
                    continue
                _, solution, info = dposv(matrix, right[:, own], lower=1, overwrite_a=1)
                if info:
                    raise ValueError("data: the equations of a coordinate are not positive definite")
                mean[block][own], loadings[block][own] = solution[-1], solution[:-1].T


def _finish(
    state: _State,
    observed: np.ndarray,
    dtype: np.dtype[np.floating],
    sums: tuple[float, float],
    components: int | None,
) -> PCA:
    """Turn the loadings into orthonormal components, descending, over all coordinates."""
    columns, triangle = np.linalg.qr(state.loadings)
    turn, singular, _ = np.linalg.svd(triangle)
    keep = singular > 1e-6 * max(float(singular.max(initial=0.0)), 1e-300)
    correction, n = unbias(*sums), len(state.latent)
    # maximum likelihood: W = U (Λ − σ²)^½, Tipping & Bishop's equation 7
    variances = (singular[keep] ** 2 + state.noise) * correction
    basis = np.asfortranarray(columns @ turn[:, keep], dtype=dtype)
    basis *= signs(basis)
    noise = state.noise * correction
    total = float(variances.sum()) + noise * max(int(observed.sum()) - len(variances), 0)
    notes = short_note(components, len(variances), n)
    return PCA(state.mean, basis, variances, noise, total, n, *sums, notes)
