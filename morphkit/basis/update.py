"""New scans into a morphable model that exists already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from morphkit.basis.incremental import pca_of, update_pca
from morphkit.basis.linear import linear_model
from morphkit.basis.mirroring import mirror_image, symmetric
from morphkit.basis.poses import fit_poses
from morphkit.errors import BadInputError
from morphkit.morphable import MorphableModel


def update_model(
    model: MorphableModel,
    shapes: Float[np.ndarray, "n v 3"],
    *,
    valid: Bool[np.ndarray, "n v"] | None = None,
    components: int | float | None = None,
    n_samples: int | None = None,
) -> MorphableModel:
    """Return the model with its identity group brought up to date with new neutral shapes.

    The shapes are aligned onto the model's mean as its builder aligned the others, and count as much as each
    of those. If the model was trained with mirror images, theirs count too. Albedo and expressions stay.

    Parameters
    ----------
    model : the model so far.
    shapes : (n, v, 3) in its topology, millimetres, in any poses.
    valid : (n, v) vertices that registration found on the scans.
    components : how many, or the share of the variance; as many as before when None.
    n_samples : how many shapes the model was built from; read from its provenance when None.

    Raises
    ------
    ValueError
        If the shapes have another number of vertices.
    BadInputError
        If the model does not tell how many shapes it was built from.
    """
    known = n_samples if n_samples is not None else model.provenance.get("scan_count")
    if not isinstance(known, int) or known < 2:
        raise BadInputError("The model does not tell how many scans it was built from; say how many.")
    if shapes.shape[1] != model.n_vertices:
        raise ValueError(f"shapes have {shapes.shape[1]} vertices, the model {model.n_vertices}")
    settings = model.provenance.get("basis_settings", {})
    mean = model.identity.mean.astype(np.float64)
    mask = model.masks.get(settings.get("alignment_mask", "face"))
    face = np.ones(len(mean)) if mask is None or not mask.any() else mask.astype(np.float64)
    trust = np.broadcast_to(face, shapes.shape[:2]) * (1.0 if valid is None else valid)
    double = shapes.astype(np.float64)
    aligned = fit_poses(double, mean, trust, bool(settings.get("scale"))).apply(double)
    mirror = model.mirror if settings.get("mirrored") else None
    aligned = aligned.astype(model.identity.basis.dtype)
    weights = None
    if mirror is not None:  # a shape and its mirror image count half each
        aligned = np.concatenate([aligned, mirror_image(aligned, mirror, True)])
        weights = np.full(len(aligned), 0.5)
    pca = update_pca(pca_of(model.identity, known), aligned, components, weights=weights)
    if mirror is not None:
        pca = replace(pca, mean=symmetric(pca.mean.reshape(-1, 3), mirror).reshape(-1))
    record = {**model.provenance, "scan_count": known + len(shapes), "scans_added": len(shapes)}
    return replace(model, identity=linear_model(pca), provenance=record)
