"""Pictures of a fit for eyes: crops of the photo, its overlay, and the mesh turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from morphkit.export.camera import PhotoCamera
from morphkit.export.overlay import composite, draw_faces
from morphkit.geometry.views import Shading, render_view, turn
from morphkit.mesh import Mesh

BACKGROUND = (0.93, 0.92, 0.90)  # sRGB
_PAPER = (237, 235, 230)
_MARGIN = 1.25
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
    opacity: Float[np.ndarray, " v"],
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
    layers = draw_faces(camera, mesh.vertices, mesh.faces, [lit, clay], opacity)
    overlay, bare = (composite(photo, layer) for layer in layers)
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


def turned_view(
    mesh: Mesh,
    yaw: float,
    *,
    shown: Bool[np.ndarray, " _"] | None = None,
    shading: Shading = "colored",
    size: int = 512,
) -> UInt8[np.ndarray, "h w 3"]:
    """Render a mesh in the head frame, turned by `yaw` radians to its left.

    `shown` marks the vertices that the view is framed around, such as the face of a whole head; there is room
    for ears and jaw beyond them. It may end before the mesh's vertices do (where caps begin).
    """
    framed = mesh.vertices if shown is None else mesh.vertices[: len(shown)][shown]
    centre = 0.5 * (framed.min(axis=0) + framed.max(axis=0))
    radius = _MARGIN * float(np.linalg.norm(framed - centre, axis=1).max())
    view = render_view(
        mesh,
        turn(yaw),
        size=size,
        shading=shading,
        centre=centre,
        radius=radius,
        supersampling=2,
        background=BACKGROUND,
    )
    return view.image


def face_window(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], margin: float = 0.35
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a square around vertices; it may reach beyond the photo."""
    pixels = camera.project(vertices)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    centre, half = 0.5 * (low + high), (0.5 + 0.5 * margin) * float((high - low).max())
    left, top = np.floor(centre - half).astype(int)
    side = max(2, int(np.ceil(2.0 * half)))
    return int(left), int(top), int(left) + side, int(top) + side


def crop(
    image: UInt8[np.ndarray, "h w 3"], window: tuple[int, int, int, int], size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Return a square window of a picture at `size` pixels; grey beyond the picture's edge."""
    left, top, right, bottom = window
    cut = Image.fromarray(image).crop((left, top, right, bottom))
    inside = Image.new("L", (image.shape[1], image.shape[0]), 255).crop((left, top, right, bottom))
    paper = Image.new("RGB", cut.size, _PAPER)
    paper.paste(cut, mask=inside)
    return np.asarray(paper.resize((size, size), Image.Resampling.LANCZOS))


def side_by_side(pictures: Sequence[UInt8[np.ndarray, "s s 3"]], columns: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return equally large pictures in rows of `columns`."""
    blank = np.full_like(pictures[0], 255)
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    return np.vstack(rows)
