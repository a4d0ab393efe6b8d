"""Registered meshes to a morphable model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.alignment import Alignment
from morphkit.basis.expressions import NEUTRAL, Roles, assign_roles, expression_offsets
from morphkit.basis.gram import Mapper
from morphkit.basis.linear import fit_shapes, linear_model
from morphkit.basis.mirroring import symmetric
from morphkit.basis.neutral import Neutral
from morphkit.basis.pca import PCA
from morphkit.basis.selection import select
from morphkit.basis.settings import BasisSettings
from morphkit.errors import BadInputError
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel

_ASYMMETRY = (
    0.05  # of the template's size: what a face that is meant to be symmetric may be off its mirror image
)


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A model and how it came about.

    Attributes
    ----------
    model : with the template's faces, uv, landmarks and masks.
    alignment : the neutral shapes in the model's frame.
    shape_fit : the principal components of the neutral shapes.
    notes : sentences on what differs from what was asked for.
    expression_fit : the principal components of offsets from neutral faces; None without such scans.
    roles : which scans were neutral, and what the others were good for.
    """

    model: MorphableModel
    alignment: Alignment
    shape_fit: PCA
    notes: tuple[str, ...]
    expression_fit: PCA | None
    roles: Roles


def build_model(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset, template: Template, **options: Any
) -> MorphableModel:
    """Build a morphable model from faces in one topology; `fit_basis` has the options and tells more."""
    return fit_basis(shapes, template, **options).model


def fit_basis(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    template: Template,
    *,
    colors: Float[np.ndarray, "n v 3"] | h5py.Dataset | None = None,
    valid: Bool[np.ndarray, "n v"] | h5py.Dataset | None = None,
    weights: Float[np.ndarray, " n"] | None = None,
    subjects: Sequence[str] | None = None,
    expressions: Sequence[str] | None = None,
    mirror: Int[np.ndarray, " v"] | None = None,
    settings: BasisSettings | None = None,
    provenance: Mapping[str, Any] | None = None,
    output: h5py.Group | None = None,
    mapper: Mapper = map,
) -> BuiltModel:
    """Build a morphable model from faces in one topology.

    Neutral shapes are aligned (Procrustes) into the template's frame and decomposed; their colours likewise,
    with what scans did not show left to the statistics. Other expressions become offsets from their person's
    own neutral face, decomposed about zero. Vertices that are not `valid` do not steer the alignment.

    Parameters
    ----------
    shapes : (n, v, 3) millimetres, each in any pose: an array, or a data set of an open HDF5 file, which is
        never held in memory whole.
    template : their topology; its landmarks, masks and uv pass into the model.
    colors : (n, v, 3) linear RGB, NaN where unknown.
    valid : (n, v) vertices that registration found on the scan.
    weights : (n,) how much each scan counts, in the mean too; uniform when None.
    subjects : n names: whose face each is; every scan is another person when None.
    expressions : n names, "neutral" for faces at rest; all are when None.
    mirror : (v,) left-right vertex map, passed on; needed for mirrored training.
    settings : how many components, and how.
    provenance : passed on, with the settings, the number of neutral scans and the notes added.
    output : an open group for aligned shapes and the like; needed if `shapes` is a data set.
    mapper : as for `fit_pca`.

    Raises
    ------
    ValueError
        If shapes do not have the template's vertices, labels are not n, or mirrored training has no mirror.
    BadInputError
        If there are fewer than two neutral shapes, or mirrored training has an asymmetric template.
    """
    settings = settings or BasisSettings()
    roles = _checked(shapes, template, subjects, expressions, mirror, settings)
    neutral = Neutral(
        select(shapes, roles.neutral, output, "neutral_shapes"),
        select(valid, roles.neutral, output, "neutral_valid"),
        None if weights is None else weights[roles.neutral].astype(np.float64),
        mirror if settings.mirrored else None,
        output,
    )
    face = _alignment_weights(template, settings, neutral.mirror)
    alignment = neutral.align(template.mesh.vertices, face, settings)
    shape_fit, shape_notes = neutral.fit(alignment, settings, mapper)
    albedo, albedo_notes = neutral.albedo(
        select(colors, roles.neutral, output, "neutral_colors"), template, settings
    )
    expression_fit = None
    if len(roles.expressive):
        offsets = expression_offsets(
            shapes, roles, alignment.shapes, alignment.similarities, weights=face, valid=valid, output=output
        )
        expression_fit = fit_shapes(
            offsets,
            settings.expression_components,
            weights=None if weights is None else weights[roles.expressive].astype(np.float64),
            mirror=neutral.mirror,
            centered=False,
            method=settings.method,
            output=None if output is None else output.require_group("expressions"),
            mapper=mapper,
        )
    notes = (
        *_alignment_notes(alignment),
        *shape_notes,
        *_expression_notes(roles, expression_fit),
        *albedo_notes,
    )
    model = MorphableModel(
        faces=template.mesh.faces,
        identity=linear_model(shape_fit),
        expression=None if expression_fit is None else linear_model(expression_fit),
        albedo=albedo,
        uv=template.mesh.uv,
        landmarks=template.landmarks,
        masks=template.masks,
        mirror=mirror,
        provenance={
            **(provenance or {}),
            "basis_settings": asdict(settings),
            "scan_count": len(roles.neutral),
            "expression_scan_count": len(roles.expressive),
            "notes": list(notes),
        },
    )
    return BuiltModel(model, alignment, shape_fit, notes, expression_fit, roles)


def _checked(
    shapes: Any,
    template: Template,
    subjects: Sequence[str] | None,
    expressions: Sequence[str] | None,
    mirror: np.ndarray | None,
    settings: BasisSettings,
) -> Roles:
    """Return what each scan is good for, if all is in order."""
    vertices = template.mesh.vertices
    if shapes.shape[1] != len(vertices):
        raise ValueError(f"shapes have {shapes.shape[1]} vertices, the template {len(vertices)}")
    if settings.mirrored:
        if mirror is None:
            raise ValueError("mirror: mirrored training needs the template's left-right vertex map")
        off = np.linalg.norm(vertices - symmetric(vertices, mirror), axis=1)
        size = np.linalg.norm(vertices - vertices.mean(axis=0), axis=1)
        if off.mean() > _ASYMMETRY * size.mean():
            raise BadInputError(
                "Mirrored training needs a template that is symmetric about the plane x = 0; turn it so."
            )
    roles = assign_roles(subjects, expressions, len(shapes))
    if len(roles.neutral) < 2:
        raise BadInputError(
            f"{len(roles.neutral)} of {len(shapes)} scans are {NEUTRAL}; a model of faces needs two or more."
        )
    return roles


def _alignment_weights(
    template: Template, settings: BasisSettings, mirror: np.ndarray | None
) -> np.ndarray | None:
    """Return how much each vertex says about where a face lies; None if all say the same."""
    mask = template.masks.get(settings.alignment_mask)
    if mask is None or not mask.any():
        return None
    return (mask if mirror is None else mask | mask[mirror]).astype(np.float64)


def _alignment_notes(alignment: Alignment) -> tuple[str, ...]:
    if alignment.converged:
        return ()
    return (f"The alignment had not quite settled after {alignment.iterations} rounds.",)


def _expression_notes(roles: Roles, fit: PCA | None) -> tuple[str, ...]:
    notes = [] if fit is None else [f"Expression: {note}" for note in fit.notes]
    if len(roles.orphans):
        people = ", ".join(roles.orphan_subjects)
        notes.append(
            f"Expression: {len(roles.orphans)} scans are left out, for want of a neutral scan of {people}."
        )
    return tuple(notes)
