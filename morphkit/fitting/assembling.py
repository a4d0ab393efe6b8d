"""A face, its photo's camera and light, put into the terms of a user; however they were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.camera import PhotoCamera
from morphkit.fitting.doubts import doubts, landmark_error
from morphkit.fitting.result import FitResult
from morphkit.fitting.seen import SeenLandmarks
from morphkit.fitting.shading import reflection_basis
from morphkit.geometry.normals import vertex_normals
from morphkit.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A photo's face as coefficients.

    Attributes
    ----------
    photo : (h, w, 3) sRGB, upright.
    source : its file, or None.
    model : that the coefficients are of.
    seen : the landmarks, as a result names them.
    points68 : (68, 2) to measure by, pixels; NaN where unknown.
    camera : of the photo.
    identity, expression : standard deviations.
    albedo : standard deviations; None where it is unknown.
    light : (9, 3) radiance in camera axes; None where it is unknown.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    source: Path | None
    model: MorphableModel
    seen: SeenLandmarks
    points68: Float[np.ndarray, "68 2"]
    camera: PhotoCamera
    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    albedo: Float[np.ndarray, " a"] | None
    light: Float[np.ndarray, "9 3"] | None


def assembled(face: PhotoFace, notes: tuple[str, ...], timings: Mapping[str, float]) -> FitResult:
    """Return the result that shows a face; what was done to find it is its maker's to add.

    Parameters
    ----------
    face : as coefficients.
    notes : what the reader should know; what speaks against the face follows.
    timings : seconds by stage.
    """
    model = face.model
    neutral = model.instance(face.identity).astype(np.float64)
    expression = None if model.expression is None else face.expression
    vertices = model.instance(face.identity, expression).astype(np.float64)
    albedo, lit = _surface_colors(face, vertices)
    error = landmark_error(model, vertices, face.camera, face.points68)
    return FitResult(
        photo=face.photo,
        source=face.source,
        model=model,
        identity=face.identity,
        expression=face.expression,
        albedo=np.zeros(0) if face.albedo is None else face.albedo,
        camera=face.camera,
        sh_coefficients=face.light,
        vertices=vertices,
        neutral=neutral,
        albedo_colors=albedo,
        lit_colors=lit,
        seen=face.seen,
        landmark_error=error,
        landmark_energies=(),
        photometric_energies=(),
        timings=dict(timings),
        notes=notes + doubts(error, face.identity),
        converged=True,
    )


def _surface_colors(
    face: PhotoFace, vertices: Float[np.ndarray, "v 3"]
) -> tuple[Float[np.ndarray, "v 3"] | None, Float[np.ndarray, "v 3"] | None]:
    """Return linear albedo, and the same under the photo's light, as far as they are known."""
    model = face.model
    if model.albedo is None:
        return None, None
    if face.albedo is None:
        return model.albedo_instance().astype(np.float64), None
    albedo = model.albedo_instance(face.albedo).astype(np.float64).clip(0.0, 1.0)
    if face.light is None:
        return albedo, None
    normals = vertex_normals(vertices, model.faces) @ face.camera.R.T
    return albedo, np.maximum(albedo * (reflection_basis(normals) @ face.light), 0.0)
