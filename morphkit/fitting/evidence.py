"""A fit's photo as evidence for the colours of its surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from morphkit.export.expectation import agreement, expected_colors, face_skin, pictured_region
from morphkit.export.sighting import PhotoView
from morphkit.export.texture import Evidence, FacePainter
from morphkit.fitting.result import FitResult
from morphkit.mesh import Mesh


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
    faces = result.model.faces
    for other in others:
        if not np.array_equal(other.model.faces, faces):
            raise ValueError("others: expected fits of the same model, got one with other triangles")
    photos = [evidence(fit) for fit in (result, *others)]
    return FacePainter(result.vertices, faces, photos, result.model.mirror, result.albedo_colors)


def evidence(result: FitResult) -> Evidence:
    """Return a fit's photo as evidence for a texture; those of several photos of one person go together."""
    model = result.model
    view = PhotoView(
        result.photo,
        result.camera,
        result.vertices,
        model.faces,
        attention=result.attention,
        attended=face_skin(model).astype(np.float64),
    )
    pictured = pictured_region(model)
    seen = replace(view.at_vertices, trust=(view.at_vertices.trust * pictured).astype(np.float32))
    base = expected_colors(seen, result.albedo_colors, result.lit_colors)
    shading = None
    if result.albedo_colors is not None and result.lit_colors is not None:
        shading = result.lit_colors / np.maximum(result.albedo_colors, 1e-3)
    return Evidence(view, base, pictured * agreement(model, seen, base), shading)
