"""A fit's photo as evidence for the colours of its surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphkit.export.expectation import agreement, attended_region, expected_colors, pictured_region
from morphkit.export.sighting import PhotoView
from morphkit.export.texture import Evidence, FacePainter
from morphkit.fitting.result import FitResult
from morphkit.mesh import Mesh


def photo_mesh(result: FitResult) -> Mesh:
    """Return the fitted mesh in the photo's colours, with their light.

    A vertex that the photo saw squarely has the photo's colour; elsewhere the model's colours follow those,
    with the detail of what was seen on the other side.
    """
    colors = face_painter(result).vertex_colors.astype(np.float32)
    return Mesh(result.vertices, result.model.faces, colors=colors, source=result.source)


def face_painter(result: FitResult) -> FacePainter:
    """Return what colours a fitted face from its photo."""
    return FacePainter(
        result.vertices, result.model.faces, [evidence(result)], result.model.mirror, result.albedo_colors
    )


def evidence(result: FitResult) -> Evidence:
    """Return a fit's photo as evidence for a texture; those of several photos of one person go together."""
    model = result.model
    view = PhotoView(
        result.photo,
        result.camera,
        result.vertices,
        model.faces,
        attention=getattr(result, "attention", None),
        attended=attended_region(model),
    )
    pictured = pictured_region(model)
    seen = replace(view.at_vertices, trust=(view.at_vertices.trust * pictured).astype(np.float32))
    base = expected_colors(seen, result.albedo_colors, result.lit_colors)
    shading = None
    if result.albedo_colors is not None and result.lit_colors is not None:
        shading = result.lit_colors / np.maximum(result.albedo_colors, 1e-3)
    return Evidence(view, base, pictured * agreement(model, seen, base), shading)
