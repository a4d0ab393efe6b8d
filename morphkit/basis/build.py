"""Registered meshes to a morphable model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.alignment import Alignment, align_shapes
from morphkit.basis.linear import fit_albedo, linear_model
from morphkit.basis.missing import MissingPCA
from morphkit.basis.pca import PCA, fit_pca
from morphkit.mesh import Template
from morphkit.morphable import LinearModel, MorphableModel


@dataclass(frozen=True)
class BasisSettings:
    """How a basis is built.

    Attributes
    ----------
    identity_components : how many, or the share of the variance (a float in 0..1); None keeps all.
    albedo_components : how many at most; one less than the scans when None.
    scale : remove the shapes' size (off: the size of a head is part of its shape).
    alignment_mask : the template's mask whose vertices say where a face lies; all vertices when the template
        has no such mask.
    """

    identity_components: int | float | None = 80
    albedo_components: int | None = 40
    scale: bool = False
    alignment_mask: str = "face"


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A model and how it came about.

    Attributes
    ----------
    model : with the template's faces, uv, landmarks and masks.
    alignment : the shapes in the model's frame.
    shape_fit, albedo_fit : the principal components; None without colours.
    notes : sentences on what differs from what was asked for.
    """

    model: MorphableModel
    alignment: Alignment
    shape_fit: PCA
    albedo_fit: MissingPCA | None
    notes: tuple[str, ...]


def build_model(
    shapes: Float[np.ndarray, "n v 3"],
    template: Template,
    *,
    colors: Float[np.ndarray, "n v 3"] | None = None,
    valid: Bool[np.ndarray, "n v"] | None = None,
    mirror: Int[np.ndarray, "v"] | None = None,
    settings: BasisSettings | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> MorphableModel:
    """Build a morphable model from neutral faces in one topology; `fit_basis` also tells how it went."""
    built = fit_basis(
        shapes,
        template,
        colors=colors,
        valid=valid,
        mirror=mirror,
        settings=settings,
        provenance=provenance,
    )
    return built.model


def fit_basis(
    shapes: Float[np.ndarray, "n v 3"],
    template: Template,
    *,
    colors: Float[np.ndarray, "n v 3"] | None = None,
    valid: Bool[np.ndarray, "n v"] | None = None,
    mirror: Int[np.ndarray, "v"] | None = None,
    settings: BasisSettings | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> BuiltModel:
    """Build a morphable model from neutral faces in one topology.

    Shapes are aligned (Procrustes) into the template's frame and decomposed; colours likewise, with what
    scans did not show left to the statistics. Vertices that are not `valid` do not steer the alignment; in
    the shape statistics they count as registration extrapolated them.

    Parameters
    ----------
    shapes : (n, v, 3) millimetres, n >= 2, each in any pose.
    template : their topology; its landmarks, masks and uv pass into the model.
    colors : (n, v, 3) linear RGB, NaN where unknown.
    valid : (n, v) vertices that registration found on the scan.
    mirror : (v,) left-right vertex map, passed on.
    settings : how many components, and the alignment.
    provenance : passed on, with the settings, the number of scans and the notes added.

    Raises
    ------
    ValueError
        If there are fewer than two shapes, or they do not have the template's vertices.
    """
    settings = settings or BasisSettings()
    if shapes.shape[1] != len(template.mesh.vertices):
        raise ValueError(
            f"shapes have {shapes.shape[1]} vertices, the template {len(template.mesh.vertices)}"
        )
    mask = template.masks.get(settings.alignment_mask)
    alignment = align_shapes(
        shapes,
        template.mesh.vertices,
        scale=settings.scale,
        weights=None if mask is None or not mask.any() else mask.astype(np.float64),
        valid=valid,
    )
    shape_fit = fit_pca(alignment.shapes.reshape(len(shapes), -1), settings.identity_components)
    albedo, albedo_fit, notes = _albedo(colors, template, settings)
    notes = (*_alignment_notes(alignment), *(f"Shape: {note}" for note in shape_fit.notes), *notes)
    record = {
        **(provenance or {}),
        "basis_settings": asdict(settings),
        "scan_count": len(shapes),
        "notes": list(notes),
    }
    model = MorphableModel(
        faces=template.mesh.faces,
        identity=linear_model(shape_fit),
        albedo=albedo,
        uv=template.mesh.uv,
        landmarks=template.landmarks,
        masks=template.masks,
        mirror=mirror,
        provenance=record,
    )
    return BuiltModel(model, alignment, shape_fit, albedo_fit, notes)


def _albedo(
    colors: np.ndarray | None, template: Template, settings: BasisSettings
) -> tuple[LinearModel | None, MissingPCA | None, tuple[str, ...]]:
    """Return the albedo group where at least two scans have colours."""
    if colors is None:
        return None, None, ()
    colored = int((~np.isnan(colors).all(axis=(1, 2))).sum())
    if colored < 2:
        return None, None, (f"No albedo: {colored} of {len(colors)} scans have colours; it needs two.",)
    model, fit = fit_albedo(colors, template.mesh.faces, settings.albedo_components)
    notes = [f"Albedo: {note}" for note in fit.pca.notes]
    if colored < len(colors):
        notes.append(f"Albedo: {len(colors) - colored} of {len(colors)} scans have no colours.")
    unseen = int((~fit.observed.reshape(-1, 3).all(axis=1)).sum())
    if unseen:
        notes.append(f"Albedo: {unseen} vertices were seen on too few scans and continue their neighbours.")
    if not fit.converged:
        notes.append(f"Albedo: not quite converged after {fit.iterations} rounds.")
    return model, fit, tuple(notes)


def _alignment_notes(alignment: Alignment) -> tuple[str, ...]:
    if alignment.converged:
        return ()
    return (f"The alignment had not quite settled after {alignment.iterations} rounds.",)
