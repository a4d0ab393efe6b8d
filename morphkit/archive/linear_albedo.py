"""A model whose colours are sRGB, as most published ones are, in linear light, as rendering needs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphkit.gaussian import row_blocks
from morphkit.io.color import srgb_to_linear
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel

_NODES = 15  # of the quadrature; exact for polynomials of degree 29
_LEAST = 1e-5  # of the standard deviation of a colour value, to divide by


def with_linear_albedo(model: MorphableModel) -> MorphableModel:
    """Return the model with its sRGB albedo carried over to linear light, as nearly as a linear model can be.

    The same coefficients give nearly the same colours: decoding bends the line on which a component moves a
    colour, so every value gets the straight one that lies nearest to it over the model's own population. For
    a normal value x of mean m and deviation s, and the decoding f, that is E[f(x)] + E[f(x) t] t with
    t = (x - m) / s (ordinary least squares; the expectations by Gauss-Hermite quadrature).

    Parameters
    ----------
    model : with an albedo group in sRGB, 0..1.

    Raises
    ------
    ValueError
        If it has no albedo, or says that this is linear already.
    """
    if model.albedo is None:
        raise ValueError("the model has no albedo to make linear")
    if model.albedo_is_linear:
        raise ValueError("the model's albedo is linear already")
    said = str(model.provenance.get("albedo_color_space", "linear"))
    facts = {"albedo_color_space": "linear", "albedo_linearised_from": said}
    return replace(model, albedo=_linearised(model.albedo), provenance={**dict(model.provenance), **facts})


def _linearised(group: LinearModel) -> LinearModel:
    mean = group.mean.astype(np.float64).reshape(-1)
    basis = np.empty_like(group.basis, order="F")
    squares = 0.0
    for rows in row_blocks(len(mean)):
        columns = group.basis[rows].astype(np.float64) * group.standard_deviations
        deviations = np.maximum(np.sqrt((columns**2).sum(axis=1)), _LEAST)
        mean[rows], slopes = _nearest_line(mean[rows], deviations)
        squares += float(slopes @ slopes)
        basis[rows] = columns * slopes[:, None]
    lengths = np.sqrt(np.einsum("ij,ij->j", basis, basis, dtype=np.float64))
    basis /= np.where(lengths > 0, lengths, 1.0).astype(basis.dtype)
    noise = group.noise_variance * squares / max(len(mean), 1)
    return LinearModel(mean.reshape(-1, 3).astype(np.float32), basis, lengths, noise)


def _nearest_line(means: np.ndarray, deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the decoded values, and how much they change with the encoded ones."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    decoded = srgb_to_linear(np.clip(means[:, None] + deviations[:, None] * nodes, 0.0, 1.0))
    return decoded @ weights, (decoded @ (weights * nodes)) / deviations
