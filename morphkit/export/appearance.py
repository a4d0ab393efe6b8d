"""The colours of a fitted mesh: the photo's own where it saw the face, the model's elsewhere."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import map_coordinates

from morphkit.export.camera import PhotoCamera
from morphkit.export.overlay import rasterize_upright
from morphkit.geometry.normals import vertex_normals
from morphkit.io.color import srgb_to_linear

_HIDDEN = 4.0  # millimetres behind the nearest surface at which a vertex counts as hidden
_GRAZING, _SQUARE = 0.15, 0.5  # facing cosines between which trust in the photo rises from 0 to 1
_SIDE = 768  # pixels of the picture that visibility is judged in


def visibility(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v"]:
    """Return how well the photo saw each vertex, 0..1: in the frame, unhidden, and at no grazing angle."""
    in_camera = camera.to_camera(vertices)
    normals = vertex_normals(vertices, faces) @ camera.R.T
    facing = -(normals * in_camera).sum(axis=1) / np.linalg.norm(in_camera, axis=1)
    trust = np.clip((facing - _GRAZING) / (_SQUARE - _GRAZING), 0.0, 1.0)
    return trust * trust * (3.0 - 2.0 * trust) * _unhidden(camera, vertices, faces)


def photo_colors(
    photo: UInt8[np.ndarray, "h w 3"], camera: PhotoCamera, points: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Return the photo's linear colour where head-frame points project, whether they are seen or not."""
    x, y = camera.project(points).T - 0.5
    left, top = max(int(x.min()) - 1, 0), max(int(y.min()) - 1, 0)
    window = srgb_to_linear(
        photo[top : max(int(y.max()) + 3, top + 1), left : max(int(x.max()) + 3, left + 1)]
    )
    if window.size == 0:  # wholly outside the photo
        return np.zeros((len(points), 3), dtype=np.float32)
    at = [y - top, x - left]
    return np.stack([map_coordinates(window[..., k], at, order=1, mode="nearest") for k in range(3)], axis=1)


def blended_colors(
    seen: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
    model: Float[np.ndarray, "v 3"],
    mirror: Int[np.ndarray, "v"] | None,
) -> Float[np.ndarray, "v 3"]:
    """Return the photo's colours where trusted, else those of the mirrored vertex, else the model's.

    Parameters
    ----------
    seen : the photo's colour at each vertex, linear RGB.
    trust : 0..1.
    model : the model's colour under the photo's light.
    mirror : the vertex at the mirrored place, or None for a model that does not say.
    """
    fallback = model
    if mirror is not None:
        # The other side's photo colour, moved into this side's light.
        gain = np.clip(model / np.maximum(model[mirror], 1e-3), 0.25, 4.0)
        share = trust[mirror, None]
        fallback = share * seen[mirror] * gain + (1.0 - share) * model
    return np.clip(trust[:, None] * seen + (1.0 - trust[:, None]) * fallback, 0.0, 1.0)


def _unhidden(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v"]:
    """Return 1 where a vertex projects into the photo and nothing lies before it."""
    pixels = camera.project(vertices)
    low, high = pixels.min(axis=0) - 2.0, pixels.max(axis=0) + 2.0
    left, top = (float(value) for value in low)
    window = camera.cropped(left, top, _SIDE, _SIDE, _SIDE / float((high - low).max()))
    depth = _depth_map(window, vertices, faces)
    column, row = (window.project(vertices).astype(int).clip(0, _SIDE - 1)).T
    free = camera.to_camera(vertices)[:, 2] <= depth[row, column] + _HIDDEN
    size = np.array([camera.width, camera.height])
    inside = ((pixels >= 0.0) & (pixels <= size)).all(axis=1)
    return (free & inside).astype(np.float64)


def _depth_map(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "h w"]:
    """Return the nearest surface's depth in millimetres along the camera's z; +inf where there is none."""
    seen = rasterize_upright(camera, vertices, faces)
    drawn = seen.face_index >= 0
    corners = camera.to_camera(vertices)[faces[seen.face_index[drawn]], 2]
    depth = np.full(drawn.shape, np.inf)
    depth[drawn] = (seen.barycentrics[drawn] * corners).sum(axis=1)
    return depth
