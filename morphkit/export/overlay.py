"""Draw a fitted face over its photo, in the photo's own pixels and in linear light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from morphkit.export.atlas import Sites
from morphkit.export.camera import PhotoCamera
from morphkit.geometry.raster import RasterBuffer, rasterize
from morphkit.geometry.views import block_means
from morphkit.io.color import linear_to_srgb_uint8, srgb_to_linear

_BAND = 1 << 20  # pixels
_FINE_SIDE = 1600  # windows up to this size are drawn at twice their resolution


@dataclass(frozen=True, eq=False)
class Layer:
    """A drawn face in a window of the photo.

    Attributes
    ----------
    left, top : the window's corner, pixels of the photo.
    color : (h, w, 3) linear RGB, already multiplied by `coverage`.
    coverage : (h, w) share of each pixel that the face covers.
    """

    left: int
    top: int
    color: Float[np.ndarray, "h w 3"]
    coverage: Float[np.ndarray, "h w"]


def rasterize_upright(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> RasterBuffer:
    """Rasterize through a photo's camera, row 0 at the top."""
    buffer = rasterize(camera.to_clip(vertices), faces, camera.height, camera.width)
    return RasterBuffer(buffer.face_index[::-1], buffer.barycentrics[::-1], buffer.depth[::-1])


def draw_face(
    camera: PhotoCamera,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    colors: Float[np.ndarray, "v 3"],
    opacity: Float[np.ndarray, " v"] | None = None,
) -> Layer:
    """Draw vertex colours through a photo's camera.

    Parameters
    ----------
    camera : the photo's.
    vertices, faces : the mesh, head frame.
    colors : (v, 3) linear RGB as the photo would show them (albedo times light).
    opacity : (v,) 0..1; what is transparent still hides what lies behind it. None is 1 everywhere.
    """
    opacity = np.ones(len(vertices)) if opacity is None else opacity
    (layer,) = draw_faces(camera, vertices, faces, [colors], opacity)
    return layer


def draw_faces(
    camera: PhotoCamera,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    colors: Sequence[Float[np.ndarray, "v 3"]],
    opacity: Float[np.ndarray, " v"],
) -> list[Layer]:
    """Draw a face in several colours, for little more than one costs; see `draw_face`."""
    left, top, width, height = _window(camera, vertices[opacity > 0] if opacity.any() else vertices)
    fine = 2 if max(width, height) <= _FINE_SIDE else 1
    window = camera.cropped(float(left), float(top), fine * width, fine * height, float(fine))
    seen = rasterize_upright(window, vertices, faces)
    drawn = np.nonzero(seen.face_index >= 0)
    attributes = np.column_stack([opacity, *(values * opacity[:, None] for values in colors)])
    image = np.zeros((*seen.face_index.shape, attributes.shape[1]), dtype=np.float32)
    found, weights = faces[seen.face_index[drawn]], seen.barycentrics[drawn]
    image[drawn] = Sites(found, weights, np.zeros(len(found), np.float32)).of(attributes)
    image = block_means(image, fine)
    return [Layer(left, top, image[..., 1 + 3 * k : 4 + 3 * k], image[..., 0]) for k in range(len(colors))]


def composite(
    photo: UInt8[np.ndarray, "h w 3"], layer: Layer, opacity: float = 1.0
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photo with a layer over it."""
    result = photo.copy()
    height, width = layer.coverage.shape
    window = result[layer.top : layer.top + height, layer.left : layer.left + width]
    for rows in row_bands(window):
        covered = layer.coverage[rows] > 0
        share = opacity * layer.coverage[rows][covered][:, None]
        behind = srgb_to_linear(window[rows][covered])
        window[rows][covered] = linear_to_srgb_uint8(
            behind * (1.0 - share) + opacity * layer.color[rows][covered]
        )
    return result


def row_bands(image: UInt8[np.ndarray, "h w 3"]) -> Iterator[slice]:
    """Yield an image's rows in bands of about a megapixel: its colours as floats would fill the memory."""
    height = max(1, _BAND // max(1, image.shape[1]))
    for top in range(0, len(image), height):
        yield slice(top, top + height)


def _window(camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the part of the photo that may see the vertices, never empty."""
    pixels = camera.project(vertices)
    left, top = np.clip(
        np.floor(pixels.min(axis=0)).astype(int) - 1, 0, [camera.width - 1, camera.height - 1]
    )
    right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + 1
    width = max(1, min(int(right), camera.width) - int(left))
    height = max(1, min(int(bottom), camera.height) - int(top))
    return int(left), int(top), width, height
