"""One group of linear statistics, and named directions in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class LinearModel:
    """One coefficient group: instance = mean + basis · (standard_deviations ⊙ coefficients).

    Attributes
    ----------
    mean : (v, 3) float32.
    basis : (3v, k) float32, orthonormal columns (but see `marginal`), xyz interleaved; kept
        Fortran-ordered, so that a component is contiguous in memory.
    standard_deviations : (k,) float64, descending.
    noise_variance : variance per coordinate outside the basis (PPCA's sigma squared).
    """

    mean: Float[np.ndarray, "v 3"]
    basis: Float[np.ndarray, "d k"]
    standard_deviations: Float[np.ndarray, "k"]
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        if self.basis.shape != (self.mean.size, len(self.standard_deviations)):
            raise ValueError(
                f"basis has shape {self.basis.shape}; a mean of shape {self.mean.shape} and "
                f"{len(self.standard_deviations)} standard deviations need "
                f"{(self.mean.size, len(self.standard_deviations))}"
            )

    @property
    def n_components(self) -> int:
        """The number of components k."""
        return len(self.standard_deviations)

    @cached_property
    def gram(self) -> Float[np.ndarray, "k k"]:
        """The (k, k) float64 matrix of inner products of the basis columns; the identity up to rounding."""
        gram = np.zeros((self.n_components, self.n_components))
        for start in range(0, len(self.basis), 1 << 14):  # float64 accumulation without a float64 copy
            rows = self.basis[start : start + (1 << 14)].astype(np.float64)
            gram += rows.T @ rows
        return gram

    @property
    def is_orthonormal(self) -> bool:
        """Whether the columns are orthonormal to 1e-3; false for a marginal."""
        return bool(np.abs(self.gram - np.eye(self.n_components)).max(initial=0.0) < 1e-3)

    def offset(self, coefficients: Float[np.ndarray, "c"]) -> Float[np.ndarray, "v 3"]:
        """Return the displacement from the mean, (v, 3) float64.

        Parameters
        ----------
        coefficients : (c,) in standard deviations, c <= k; components beyond c are zero.

        Raises
        ------
        ValueError
            If more coefficients are given than there are components.
        """
        c = len(coefficients)
        if c > self.n_components:
            raise ValueError(f"coefficients has {c} entries; the model has {self.n_components} components")
        scaled = (self.standard_deviations[:c] * coefficients).astype(self.basis.dtype)
        return (self.basis[:, :c] @ scaled).astype(np.float64).reshape(-1, 3)

    def instance(self, coefficients: Float[np.ndarray, "c"]) -> Float[np.ndarray, "v 3"]:
        """Return mean + basis · (σ ⊙ coefficients), (v, 3) float64; see `offset`."""
        return self.mean + self.offset(coefficients)

    def sample(self, rng: np.random.Generator) -> Float[np.ndarray, "v 3"]:
        """Draw an instance with standard normal coefficients, (v, 3) float64, without the noise term."""
        return self.instance(rng.standard_normal(self.n_components))

    def project(
        self, values: Float[np.ndarray, "v 3"], noise_variance: float = 0.0
    ) -> Float[np.ndarray, "k"]:
        """Return the coefficients whose instance is nearest to `values`.

        Parameters
        ----------
        values : (v, 3), in the model's frame.
        noise_variance : variance per coordinate of the noise in `values`. Zero gives least squares; more
            gives the most probable coefficients under the model (Tipping & Bishop 1999, eq. 28 in
            coefficients of unit variance), drawn towards zero.

        Returns
        -------
        (k,) float64 coefficients, in standard deviations.
        """
        seen = moments(self.basis, values - self.mean)
        return solve_coefficients(self.gram, seen, self.standard_deviations, noise_variance)

    def truncate(self, n_components: int) -> LinearModel:
        """Keep the first components; the variance of the others is spread into the noise.

        Parameters
        ----------
        n_components : 0 <= n_components <= k.

        Notes
        -----
        PPCA's noise is the mean variance of the left-out directions, so with d coordinates and k kept
        before, the new noise is (Σ dropped λ + (d − k) old noise) / (d − n_components).
        """
        if not 0 <= n_components <= self.n_components:
            raise ValueError(f"n_components is {n_components}; the model has {self.n_components}")
        dropped = float(np.sum(self.standard_deviations[n_components:] ** 2))
        rest = self.mean.size - n_components
        noise = dropped + (self.mean.size - self.n_components) * self.noise_variance
        return LinearModel(
            self.mean,
            self.basis[:, :n_components],
            self.standard_deviations[:n_components],
            noise / rest if rest else 0.0,
        )

    def marginal(self, vertex_indices: Int[np.ndarray, "n"]) -> LinearModel:
        """Return the statistics of some vertices only, with the *same* coefficients.

        ``marginal(i).instance(c) == instance(c)[i]``, hence the columns are no longer orthonormal;
        `orthonormalized` makes them so again, at the price of other coefficients.
        """
        rows = (3 * vertex_indices[:, None] + np.arange(3)).ravel()
        basis = np.asfortranarray(self.basis[rows])
        return replace(self, mean=self.mean[vertex_indices], basis=basis)

    def orthonormalized(self) -> tuple[LinearModel, Float[np.ndarray, "r k"]]:
        """Return the same distribution on an orthonormal basis, and the map between coefficients.

        Returns
        -------
        model : r <= k components, those of (numerically) zero variance left out.
        rotation : (r, k); ``model.instance(rotation @ c)`` equals ``self.instance(c)``.
        """
        covariance = self.standard_deviations[:, None] * self.gram * self.standard_deviations
        variances, vectors = np.linalg.eigh(covariance)
        order = np.argsort(-variances, kind="stable")
        order = order[variances[order] > 1e-10 * max(variances.max(initial=0.0), 1e-300)]
        deviations, vectors = np.sqrt(variances[order]), vectors[:, order]
        mix = (self.standard_deviations[:, None] * vectors / deviations).astype(self.basis.dtype)
        basis = np.asfortranarray(self.basis @ mix)
        return LinearModel(self.mean, basis, deviations, self.noise_variance), vectors.T.copy()


@dataclass(frozen=True, eq=False)
class NamedDirections:
    """Named directions in a group's coefficient space, such as the 52 expression units.

    Attributes
    ----------
    names : n names.
    coefficients : (n, k) float64; row i, given to the group as its coefficients, is unit i at full strength.
    """

    names: tuple[str, ...]
    coefficients: Float[np.ndarray, "n k"]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.coefficients):
            raise ValueError(f"{len(self.names)} names for {len(self.coefficients)} rows of coefficients")

    def combine(self, strengths: Mapping[str, float]) -> Float[np.ndarray, "k"]:
        """Return the group's coefficients for units at these strengths; KeyError names an unknown unit."""
        rows = dict(zip(self.names, self.coefficients, strict=True))
        total = np.zeros(self.coefficients.shape[1])
        for name, strength in strengths.items():
            total += strength * rows[name]
        return total


def moments(basis: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return basisᵀ residual, in float64; summed in blocks so that float32 loses nothing over 10^5 terms."""
    flat = residual.reshape(-1)
    total = np.zeros(basis.shape[1])
    for start in range(0, len(flat), 1 << 14):
        block = slice(start, start + (1 << 14))
        total += flat[block].astype(np.float64) @ basis[block].astype(np.float64)
    return total


def cross_gram(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return aᵀ b in float64, summed in blocks."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), 1 << 14):
        block = slice(start, start + (1 << 14))
        total += a[block].T.astype(np.float64) @ b[block].astype(np.float64)
    return total


def solve_coefficients(
    gram: np.ndarray, seen: np.ndarray, deviations: np.ndarray, noise_variance: float
) -> np.ndarray:
    """Return the least-norm c of min |r − B σ c|² + noise_variance |c|²; gram is BᵀB, seen is Bᵀr."""
    normal = deviations[:, None] * gram * deviations + noise_variance * np.eye(len(deviations))
    solution: np.ndarray = np.linalg.lstsq(normal, deviations * seen, rcond=None)[0]
    return solution
