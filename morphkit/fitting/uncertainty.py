"""What a fit leaves open: its Laplace posterior, and how far each vertex may be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.fitting.landmark import POSE
from morphkit.geometry.normals import vertex_normals
from morphkit.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class FacePosterior:
    """A Gaussian about a fit: the inverse curvature of its energy (Laplace's approximation).

    Attributes
    ----------
    covariance : (p, p) over (pose 7, identity, expression, albedo, light 27), as far as they were fitted;
        coefficients in standard deviations of the model.
    identity, expression : numbers of coefficients.
    """

    covariance: Float[np.ndarray, "p p"]
    identity: int
    expression: int

    @property
    def shape_covariance(self) -> Float[np.ndarray, "k k"]:
        """Of identity and expression, whatever pose, albedo and light are."""
        shape = slice(POSE, POSE + self.identity + self.expression)
        return self.covariance[shape, shape]


def face_posterior(
    precision: Float[np.ndarray, "p p"], identity: int, expression: int, inflation: float
) -> FacePosterior:
    """Return the posterior of an energy whose curvature is known; its prior is never exceeded.

    Parameters
    ----------
    precision : (p, p) JᵀWJ at the fit, priors included, over (pose, identity, expression, …).
    identity, expression : numbers of coefficients.
    inflation : of the standard deviations.
    """
    scale = 1.0 / np.sqrt(np.diag(precision))
    covariance = np.linalg.inv(precision * scale * scale[:, None]) * scale * scale[:, None]
    return FacePosterior(inflation**2 * 0.5 * (covariance + covariance.T), identity, expression)


def shape_factor(
    model: MorphableModel,
    vertices: Float[np.ndarray, "v 3"],
    posterior: FacePosterior,
) -> Float[np.ndarray, "v 3 k"]:
    """Return displacements F with covariance F Fᵀ that the posterior allows the vertices, mm.

    What moves, turns or scales the face as a whole is taken out: a photo does not tell it from another
    camera, and whoever compares two faces aligns them first.

    Parameters
    ----------
    model : that was fitted.
    vertices : (v, 3) the fit, head frame.
    posterior : of the fit.
    """
    groups = [model.identity] if model.expression is None else [model.identity, model.expression]
    rows = [
        (group.basis.astype(np.float64) * group.standard_deviations).reshape(len(vertices), 3, -1)
        for group in groups
    ]
    root = np.linalg.cholesky(posterior.shape_covariance)
    moved = np.concatenate(rows, axis=2) @ root
    motions = _motions(vertices)
    face = model.face_mask
    whole = np.linalg.lstsq(
        motions[face].reshape(-1, 7), moved[face].reshape(-1, moved.shape[2]), rcond=None
    )[0]
    factor: np.ndarray = moved - motions @ whole
    return factor


def vertex_deviations(
    model: MorphableModel,
    vertices: Float[np.ndarray, "v 3"],
    posterior: FacePosterior,
    model_deviation: float,
) -> Float[np.ndarray, " v"]:
    """Return the standard deviation of each vertex along the surface's normal, mm.

    Parameters
    ----------
    model, vertices, posterior : as for `shape_factor`.
    model_deviation : of real faces from the nearest that the model can show, mm.
    """
    factor = shape_factor(model, vertices, posterior)
    along = np.einsum("vdk,vd->vk", factor, vertex_normals(vertices, model.faces))
    deviations: np.ndarray = np.sqrt((along**2).sum(axis=1) + model_deviation**2)
    return deviations


def _motions(vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3 7"]:
    """Return the displacements of a small translation, rotation and scaling, one per column."""
    centred = vertices - vertices.mean(axis=0)
    turns = np.stack([np.cross(axis, centred) for axis in np.eye(3)], axis=2)
    shifts = np.tile(np.eye(3), (len(vertices), 1, 1))
    return np.concatenate([shifts, turns, centred[:, :, None]], axis=2)
