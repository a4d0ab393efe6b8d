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
    """Return the posterior of an energy whose curvature is known.

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
    motions, parts = _motions(vertices), _parts(model, posterior)
    moved = np.sum([basis @ root for basis, root in parts], axis=0, dtype=np.float64)
    whole = _shares(motions, model) @ moved
    factor: np.ndarray = moved.reshape(len(vertices), 3, -1) - motions @ whole
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
    motions, parts = _motions(vertices), _parts(model, posterior)
    normals = vertex_normals(vertices, model.faces)
    shares, towards = _shares(motions, model).astype(np.float32), normals.astype(np.float32)
    whole = np.sum([shares @ basis @ root for basis, root in parts], axis=0, dtype=np.float64)
    along = whole.T @ -np.einsum("vdm,vd->mv", motions, normals)
    for basis, root in parts:
        along += root.T @ _along(basis, towards)
    deviations: np.ndarray = np.sqrt((along**2).sum(axis=0) + model_deviation**2)
    return deviations


def _parts(model: MorphableModel, posterior: FacePosterior) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each group's basis and what it is multiplied by: its rows of a root of the covariance, in mm.

    The bases stay as they lie: a scaled copy of one, as float64, is a tenth of a gigabyte.
    """
    root = np.linalg.cholesky(posterior.shape_covariance)
    identity, expression = np.split(root, [posterior.identity])
    groups = [(model.identity, identity)]
    if model.expression is not None:
        groups.append((model.expression, expression))
    return [
        (group.basis, (group.standard_deviations[:, None] * rows).astype(np.float32))
        for group, rows in groups
    ]


def _along(basis: Float[np.ndarray, "d c"], normals: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "c v"]:
    """Return how far each component moves each vertex along its normal."""
    moves = basis.T.reshape(basis.shape[1], len(normals), 3)
    x, y, z = normals.T
    along: np.ndarray = moves[:, :, 0] * x
    along += moves[:, :, 1] * y
    along += moves[:, :, 2] * z
    return along


def _shares(motions: Float[np.ndarray, "v 3 7"], model: MorphableModel) -> Float[np.ndarray, "7 d"]:
    """Return what finds each motion of the whole in displacements, by least squares over the face."""
    face = (motions * model.face_mask[:, None, None]).reshape(-1, 7)
    shares: np.ndarray = np.linalg.solve(face.T @ face, face.T)
    return shares


def _motions(vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3 7"]:
    """Return the displacements of a small translation, rotation and scaling, one per column."""
    centred = vertices - vertices.mean(axis=0)
    turns = np.stack([np.cross(axis, centred) for axis in np.eye(3)], axis=2)
    shifts = np.tile(np.eye(3), (len(vertices), 1, 1))
    return np.concatenate([shifts, turns, centred[:, :, None]], axis=2)
