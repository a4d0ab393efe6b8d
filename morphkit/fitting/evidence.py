"""A fit's photo as evidence for the colours of its surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from morphkit.export.expectation import agreement, expected_colors, face_skin, pictured_region
from morphkit.export.openings import Openings
from morphkit.export.sighting import PhotoView
from morphkit.export.texture import Evidence, FacePainter
from morphkit.fitting.result import FitResult
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel


def photo_mesh(result: FitResult, others: Sequence[FitResult] = ()) -> Mesh:
    """Return the fitted mesh in the photo's colours, with their light; `others` as in `face_painter`.

    A vertex that the photo saw squarely has the photo's colour; elsewhere the model's colours follow those,
    with the detail of what was seen on the other side.
    """
    colors = face_painter(result, others).vertex_colors.astype(np.float32)
    return Mesh(result.vertices, result.model.faces, colors=colors, source=result.source)


def face_painter(result: FitResult, others: Sequence[FitResult] = ()) -> FacePainter:
    """Return what colours a fitted face from its photo, and from other photos of the same person.

    Parameters
    ----------
    result : the fit whose light the colours have.
    others : fits of the same model to other photos; their poses, expressions and lights are their own.

    Raises
    ------
    ValueError
        When the fits are of models with different triangles.
    """
    model = result.model
    for other in others:
        if not np.array_equal(other.model.faces, model.faces):
            raise ValueError("others: expected fits of the same model, got one with other triangles")
    openings = model_openings(model)
    photos = [evidence(fit, openings) for fit in (result, *others)]
    albedo = None if result.albedo_colors is None else openings.colored(result.albedo_colors)
    mirror = openings.mirrored(model.mirror)
    vertices = openings.extended(result.vertices)
    return FacePainter(vertices, openings.faces, photos, mirror, albedo, openings=openings)


def model_openings(model: MorphableModel) -> Openings:
    """Return a model's openings, such as eyes without eyeballs or its mouth, closed for pictures."""
    return Openings.of(model.identity.mean.astype(np.float64), model.faces, model.masks.get("lips"))


def evidence(result: FitResult, openings: Openings) -> Evidence:
    """Return a fit's photo as evidence for a texture; those of several photos of one person go together.

    Parameters
    ----------
    result : the fit.
    openings : of its model; what the photo shows in them is evidence, too.
    """
    model = result.model
    view = PhotoView(
        result.photo,
        result.camera,
        openings.extended(result.vertices),
        openings.faces,
        attention=result.attention,
        attended=openings.extended(face_skin(model).astype(np.float64), 0.0),
        outlining=openings.outlining,
    )
    pictured = openings.extended(pictured_region(model))
    seen = replace(view.at_vertices, trust=(view.at_vertices.trust * pictured).astype(np.float32))
    own = seen.first(model.n_vertices)
    base = expected_colors(own, result.albedo_colors, result.lit_colors)
    shading = None
    if result.albedo_colors is not None and result.lit_colors is not None:
        shading = openings.extended(result.lit_colors / np.maximum(result.albedo_colors, 1e-3))
    confidence = pictured * openings.extended(agreement(model, own, base))
    return Evidence(view, openings.colored(base), confidence, shading)
