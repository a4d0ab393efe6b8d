"""One group of linear statistics: a mean, orthonormal directions and how far people go along them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from morphkit import gaussian
from morphkit.geometry.similarity import Similarity


@dataclass(frozen=True, eq=False)
class LinearModel:
    """One coefficient group: instance = mean + basis · (standard_deviations ⊙ coefficients).

    Attributes
    ----------
    mean : (v, 3) float32.
    basis : (3v, k) float32, orthonormal columns (but see `marginal`), xyz interleaved; kept
        Fortran-ordered, so that a component is contiguous in memory.
    standard_deviations : (k,) float64; descending in what morphkit builds, in others' files as they come.
    noise_variance : variance per coordinate outside the basis (PPCA's sigma squared).
    """

    mean: Float[np.ndarray, "v 3"]
    basis: Float[np.ndarray, "d k"]
    standard_deviations: Float[np.ndarray, " k"]
    noise_variance: float = 0.0

    @classmethod
    def constant(cls, mean: Float[np.ndarray, "v 3"]) -> LinearModel:
        """Return the group of no components, whose every instance is the mean.

        Parameters
        ----------
        mean : (v, 3) in any unit.
        """
        single = np.ascontiguousarray(mean, np.float32)
        return cls(single, np.zeros((single.size, 0), np.float32), np.zeros(0))

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
        return gaussian.cross_gram(self.basis, self.basis)

    @property
    def digest(self) -> bytes:
        """A hash of mean, basis and standard deviations in single precision."""
        parts = (self.mean, self.basis.T, self.standard_deviations)
        arrays = (np.ascontiguousarray(part, np.float32) for part in parts)
        return b"".join(hashlib.sha256(array.tobytes()).digest() for array in arrays)

    @cached_property
    def signal_deviations(self) -> Float[np.ndarray, " k"]:
        """The components' standard deviations without the noise that their variances contain, (k,) float64.

        Probabilistic PCA's loadings are W = basis · signal_deviations, and its covariance W Wᵀ + σ² I
        (Tipping & Bishop 1999, equation 7).
        """
        return np.sqrt(np.maximum(self.standard_deviations**2 - self.contained_noise, 0.0))

    @property
    def contained_noise(self) -> float:
        """How much of the noise variance the components' variances contain: all of it, if they are PCA's.

        A foreign model may claim more noise than its least component varies.
        """
        return float(min(self.noise_variance, (self.standard_deviations**2).min(initial=np.inf)))

    @property
    def is_orthonormal(self) -> bool:
        """Whether the columns are orthonormal to 1e-3; false for a marginal."""
        return bool(np.abs(self.gram - np.eye(self.n_components)).max(initial=0.0) < 1e-3)

    def offset(self, coefficients: Float[np.ndarray, " c"]) -> Float[np.ndarray, "v 3"]:
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
        return self.displace(self.standard_deviations[:c] * coefficients)

    def displace(self, along: Float[np.ndarray, " c"]) -> Float[np.ndarray, "v 3"]:
        """Return basis · along, (v, 3) float64: like `offset`, but in the basis's own units."""
        moved = self.basis[:, : len(along)] @ along.astype(self.basis.dtype)
        return moved.astype(np.float64).reshape(-1, 3)

    def instance(self, coefficients: Float[np.ndarray, " c"]) -> Float[np.ndarray, "v 3"]:
        """Return mean + basis · (σ ⊙ coefficients), (v, 3) float64; see `offset`."""
        return self.mean + self.offset(coefficients)

    def sample(self, rng: np.random.Generator) -> Float[np.ndarray, "v 3"]:
        """Draw an instance with standard normal coefficients, (v, 3) float64, without the noise term."""
        return self.instance(rng.standard_normal(self.n_components))

    def project(
        self, values: Float[np.ndarray, "v 3"], noise_variance: float | None = 0.0
    ) -> Float[np.ndarray, " k"]:
        """Return the coefficients whose instance is nearest to `values`.

        Parameters
        ----------
        values : (v, 3), in the model's frame (`morphkit.posing.pose_and_project` finds the frame too).
        noise_variance : variance per coordinate of the noise in `values`. Zero gives least squares; more
            gives the most probable coefficients (Tipping & Bishop 1999, equation 28 in coefficients of unit
            variance), drawn towards zero. None stands for what the model itself calls noise: then the model
            is read as probabilistic PCA, whose components' variances contain the noise too, and the
            coefficients are those of the expected noiseless shape (the same paper, section 3.3).

        Returns
        -------
        (k,) float64 coefficients, in standard deviations.
        """
        seen = gaussian.moments(self.basis, values - self.mean)
        if noise_variance is not None:
            return gaussian.solve_coefficients(self.gram, seen, self.standard_deviations, noise_variance)
        latent = gaussian.solve_coefficients(self.gram, seen, self.signal_deviations, self.noise_variance)
        return latent * self.signal_deviations / np.maximum(self.standard_deviations, 1e-300)

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

    def marginal(self, vertex_indices: Int[np.ndarray, " n"]) -> LinearModel:
        """Return the statistics of some vertices only, with the *same* coefficients.

        ``marginal(i).instance(c) == instance(c)[i]``, hence the columns are no longer orthonormal;
        `orthonormalized` makes them so again, at the price of other coefficients.
        """
        rows = (3 * vertex_indices[:, None] + np.arange(3)).ravel()
        basis = np.asfortranarray(self.basis[rows])
        return replace(self, mean=self.mean[vertex_indices], basis=basis)

    def vertex_deviations(self) -> Float[np.ndarray, " v"]:
        """Return how far each vertex strays: its root mean square distance from the mean, (v,), in mm.

        Of instances, so without the noise term; for that, add 3 · noise_variance to the squares.
        """
        squares = np.zeros(self.mean.size)
        for block in gaussian.row_blocks(len(squares)):
            squares[block] = (self.basis[block].astype(np.float64) ** 2) @ self.standard_deviations**2
        return np.sqrt(squares.reshape(-1, 3).sum(axis=1))

    def covariance(self, vertex: int, other: int | None = None) -> Float[np.ndarray, "3 3"]:
        """Return the (3, 3) covariance of two vertices' positions (of one, if `other` is None), in mm²."""
        first, second = (
            self.basis[3 * i : 3 * i + 3].astype(np.float64) * self.standard_deviations
            for i in (vertex, vertex if other is None else other)
        )
        return first @ second.T

    def transformed(self, similarity: Similarity) -> LinearModel:
        """Return the statistics of the same shapes moved, turned and scaled, with the same coefficients."""
        basis = self.basis.reshape(len(self.mean), 3, -1)
        turned = np.einsum("ij,vjk->vik", similarity.rotation.astype(basis.dtype), basis)
        return LinearModel(
            similarity.apply(self.mean.astype(np.float64)).astype(self.mean.dtype),
            np.asfortranarray(turned.reshape(self.basis.shape)),
            similarity.scale * self.standard_deviations,
            similarity.scale**2 * self.noise_variance,
        )

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
