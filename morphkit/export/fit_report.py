"""The pictures and the page that show a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.camera import PhotoCamera
from morphkit.export.fit_pictures import crop, face_window, side_by_side, turned_view
from morphkit.export.html import image_uri, render_report
from morphkit.export.overlay import composite, draw_face
from morphkit.mesh import Mesh

_TURN = np.deg2rad(35.0)
_CLAY = np.array([0.62, 0.60, 0.57])
_LAMP = np.array([-0.30, -0.50, -0.81])  # towards it, camera axes: above, left and in front


@dataclass(frozen=True, eq=False)
class FitPictures:
    """A fit for eyes.

    Attributes
    ----------
    overlay : (h, w, 3) the lit model over the whole photo, at the photo's size.
    photo, close, clay, left, right : (s, s, 3) the face in the photo; the model over it; its bare shape over
        it; the mesh, turned to the subject's left and right.
    """

    overlay: UInt8[np.ndarray, "h w 3"]
    photo: UInt8[np.ndarray, "s s 3"]
    close: UInt8[np.ndarray, "s s 3"]
    clay: UInt8[np.ndarray, "s s 3"]
    left: UInt8[np.ndarray, "s s 3"]
    right: UInt8[np.ndarray, "s s 3"]

    @property
    def strip(self) -> UInt8[np.ndarray, "s w 3"]:
        """The five close pictures side by side."""
        return side_by_side([self.photo, self.close, self.clay, self.right, self.left], columns=5)


def fit_pictures(
    photo: UInt8[np.ndarray, "h w 3"],
    camera: PhotoCamera,
    mesh: Mesh,
    normals: Float[np.ndarray, "v 3"],
    lit_colors: Float[np.ndarray, "v 3"] | None,
    opacity: Float[np.ndarray, "v"],
    *,
    size: int = 512,
) -> FitPictures:
    """Draw a fit.

    Parameters
    ----------
    photo : sRGB, upright.
    camera : the photo's.
    mesh : head frame, with the colours that the turned views show.
    normals : (v, 3) unit vertex normals, head frame.
    lit_colors : (v, 3) the model's linear colours under the photo's light; None draws clay in their place.
    opacity : (v,) 0..1, what of the mesh is laid over the photo; above a half, the views are framed by it.
    size : of the close pictures, pixels.
    """
    face_mask = opacity > 0.5
    clay = clay_colors(normals @ camera.R.T)
    lit = clay if lit_colors is None else lit_colors
    overlay = composite(photo, draw_face(camera, mesh.vertices, mesh.faces, lit, opacity))
    bare = composite(photo, draw_face(camera, mesh.vertices, mesh.faces, clay, opacity))
    window = face_window(camera, mesh.vertices[face_mask])
    return FitPictures(
        overlay,
        crop(photo, window, size),
        crop(overlay, window, size),
        crop(bare, window, size),
        turned_view(mesh, _TURN, shown=face_mask, size=size),
        turned_view(mesh, -_TURN, shown=face_mask, size=size),
    )


def clay_colors(normals_camera: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """Return linear colours of grey matter under a lamp beside the camera."""
    light = 0.25 + 0.75 * np.maximum(normals_camera @ (_LAMP / np.linalg.norm(_LAMP)), 0.0)
    return light[:, None] * _CLAY


def write_fit_report(
    path: Path | str,
    pictures: FitPictures,
    *,
    name: str,
    tiles: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    path : the page.
    pictures : of the fit.
    name : of the photo.
    tiles : (label, value) pairs shown large.
    facts : (label, value) rows of the table.
    notes : what the reader should know, one sentence each.
    """
    captions = [
        (pictures.photo, "The photo"),
        (pictures.close, "The fitted face over it"),
        (pictures.clay, "Its shape"),
        (pictures.right, "The mesh turned to the subject's right"),
        (pictures.left, "… and to the left"),
    ]
    render_report(
        "fit.html.jinja",
        path,
        name=name,
        tiles=tiles,
        facts=facts,
        notes=notes,
        overlay=image_uri(pictures.overlay),
        pictures=[(image_uri(picture), caption) for picture, caption in captions],
    )
