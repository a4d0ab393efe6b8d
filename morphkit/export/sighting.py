"""What a photo shows of points on a face: their colours, and how far these are to be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, minimum_filter

from morphkit.export.atlas import Sites, vertex_sites
from morphkit.export.camera import PhotoCamera
from morphkit.export.overlay import rasterize_upright
from morphkit.geometry.normals import vertex_normals
from morphkit.io.color import srgb_to_linear

_SIDE = 768  # pixels of the picture that visibility is judged in
_AROUND = 2  # pixels there, around a point, in which nothing may stand before it: fits err at outlines
_BEFORE = 1.0  # millimetres by which something stands before a point that it hides
_GRAZING, _SQUARE = 0.15, 0.5  # facing cosines between which trust in the photo rises from 0 to 1
_OUTLINE = (2.5, 7.0)  # millimetres from the head's outline, within which a photo may show what is behind it
_RINGS = 6  # steps in which trust rises there
_GAP = 3.0  # millimetres: narrower ones, as between lips that a fit did not quite shut, make no outline
_BEHIND = 25.0  # millimetres that a surface lies behind another to make an outline
_SQUARELY = (0.55, 0.65)  # facing cosines between which points get too square to lie at an outline
_FRAME = 4.0  # pixels of the photo's edge over which trust fades
_SATURATED = 252  # sRGB code from which a colour may have been brighter than the sensor could say
_GLARE = (215.0, 245.0)  # code of the brightest colour between which a white spot is taken for glare
_WHITE = (0.75, 0.9)  # least over greatest code between which a spot is taken for white
_LEVELS = 12  # of the pyramid, at most
_ATTENTION = (0.5, 0.75)  # smoothed attention between which trust rises: freckles stay, a hand goes
_SMOOTHING = 0.04  # of the face's side, the standard deviation of that smoothing
_ATTENTION_SIDE = 256  # pixels that attention is smoothed in


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one photo, or several, say of points.

    Attributes
    ----------
    colors : (n, 3) float32, linear RGB; anything where trust is zero.
    trust : (n,) float32, 0..1.
    saturated : (n,) float32, 0..1: the share of what was seen there that was too bright for the sensor.
    sharpness : (n,) float32, pixels of the photo per millimetre of skin, across the steepest direction.
    """

    colors: Float[np.ndarray, "n 3"]
    trust: Float[np.ndarray, " n"]
    saturated: Float[np.ndarray, " n"]
    sharpness: Float[np.ndarray, " n"]

    def first(self, count: int) -> Sighting:
        """Return what is said of the first points."""
        parts = (self.colors, self.trust, self.saturated, self.sharpness)
        return Sighting(*(part[:count] for part in parts))


class PhotoView:
    """A photo of a face whose place is known.

    Parameters
    ----------
    photo : (h, w, 3) sRGB.
    camera : the photo's.
    vertices, faces : the face in it, head frame.
    attention : (h, w) 0..1, what of the photo shows the face itself; None is all of it.
    attended : (v,) 0..1, the vertices that `attention` speaks of; None is all of them.
    outlining : (o, 3) the triangles of those that make outlines, and lie at them; None is all of them.
    """

    def __init__(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        camera: PhotoCamera,
        vertices: Float[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        *,
        attention: Float[np.ndarray, "h w"] | None = None,
        attended: Float[np.ndarray, " v"] | None = None,
        outlining: Int[np.ndarray, "o 3"] | None = None,
    ) -> None:
        if photo.shape[:2] != (camera.height, camera.width):
            raise ValueError(
                f"photo: expected {camera.height} x {camera.width} pixels, as its camera has, "
                f"got {photo.shape[0]} x {photo.shape[1]}"
            )
        self.camera, self.vertices, self.faces = camera, vertices, faces
        self.photo, self._attention, self._attended = photo, attention, attended
        self._outlining = faces if outlining is None else outlining
        self._levels: dict[int, np.ndarray] = {}

    @cached_property
    def at_vertices(self) -> Sighting:
        """What the photo shows of the vertices."""
        return self.sight(vertex_sites(self.vertices, self.faces))

    def sight(self, sites: Sites) -> Sighting:
        """Return what the photo shows of points."""
        in_camera = sites.of(self.camera.to_camera(self.vertices))
        normals = sites.of(self._normals)
        lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(in_camera, axis=1)
        facing = -np.einsum("nd,nd->n", normals, in_camera) / np.maximum(lengths, 1e-6)
        pixels = _projected(in_camera, self.camera)
        trust = smooth_step(facing, _GRAZING, _SQUARE) * _in_frame(pixels, self.camera)
        seen = np.flatnonzero(trust > 0.0)
        trust[seen] *= self._unhidden(in_camera[seen], facing[seen], self._outlined[sites.corners[seen, 0]])
        if self._attention is not None:
            trust *= self._attentive(sites, pixels)
        scale = abs(float(self.camera.K[0, 0])) / in_camera[:, 2]
        colors = np.zeros((len(trust), 4), np.float32)
        seen = np.flatnonzero(trust > 0.0)
        # A texel seen at an angle is filtered for the mean of its two extents.
        span = sites.spacing[seen] * scale[seen] * np.sqrt(facing[seen])
        colors[seen] = self._sampled(pixels[seen], span)
        sharpness = (scale * np.maximum(facing, 0.0)).astype(np.float32)
        return Sighting(colors[:, :3], trust, colors[:, 3], sharpness)

    @cached_property
    def _normals(self) -> Float[np.ndarray, "v 3"]:
        """Vertex normals in camera axes."""
        return vertex_normals(self.vertices, self.faces) @ self.camera.R.T

    @cached_property
    def _window(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of the photo that shows the face, even, within it."""
        pixels = self.camera.project(self.vertices)
        size = np.array([self.camera.width, self.camera.height])
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 2, 0, size - 1)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 2, low + 1, size)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _level(self, number: int) -> Float[np.ndarray, "h w 4"]:
        """Return the window reduced `number` times by half: linear RGB, and the saturated share."""
        if number not in self._levels:
            left, top, right, bottom = self._window
            codes = self.photo[top:bottom, left:right]
            if number == 0:
                self._levels[0] = _decoded(codes)
            elif number == 1:  # the whole window in floats may be large, and is seldom needed
                self._levels[1] = _quarter_means([_decoded(part) for part in _quarters(codes)])
            else:
                self._levels[number] = _quarter_means(_quarters(self._level(number - 1)))
        return self._levels[number]

    def _sampled(self, pixels: Float[np.ndarray, "n 2"], span: Float[np.ndarray, " n"]) -> np.ndarray:
        """Return the photo's means over about `span` pixels: between two levels of its pyramid."""
        left, top, right, bottom = self._window
        most = min(_LEVELS, max(right - left, bottom - top).bit_length() - 1)
        level = np.log2(np.clip(span, 1.0, 2.0**most))
        colors = np.zeros((len(pixels), 4), np.float32)
        within = pixels - np.array([left, top], np.float32)
        for number in range(int(level.min(initial=0)), int(np.ceil(level.max(initial=0))) + 1):
            share = 1.0 - np.abs(level - number)
            near = np.flatnonzero(share > 0.0)
            if len(near):
                found = _bilinear(self._level(number), within[near] / 2.0**number)
                colors[near] += share[near, None] * found
        return colors

    def _unhidden(
        self,
        in_camera: Float[np.ndarray, "n 3"],
        facing: Float[np.ndarray, " n"],
        outlined: Bool[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Return 0..1: whether nothing stands before points, nor close beside their line of sight.

        Points that may be `outlined` are hidden near the head's outline, too.
        """
        window, nearest, farthest = self._depths
        column, row = (_projected(in_camera, window).astype(np.int32).clip(0, _SIDE - 1)).T
        excess = in_camera[:, 2] - nearest[row, column]
        reach = (_AROUND + 1.0) * in_camera[:, 2] / abs(float(window.K[0, 0]))  # millimetres
        slope = np.sqrt(np.maximum(1.0 - facing**2, 0.0)) / np.maximum(facing, _GRAZING)
        free = np.clip(2.0 - excess / (_BEFORE + reach * slope), 0.0, 1.0)
        near = np.mean(
            [around[row // 2, column // 2] - in_camera[:, 2] > _BEHIND for around in farthest], axis=0
        )
        return free * (1.0 - outlined * near * (1.0 - smooth_step(facing, *_SQUARELY)))

    @cached_property
    def _outlined(self) -> Bool[np.ndarray, " v"]:
        """The vertices of triangles that lie at outlines."""
        mask = np.zeros(len(self.vertices), bool)
        mask[self._outlining] = True
        return mask

    @cached_property
    def _depths(self) -> tuple[PhotoCamera, Float[np.ndarray, "h w"], list[Float[np.ndarray, "i j"]]]:
        """A camera of the face alone; the least depth around each pixel, the greatest in ever wider rings.

        The latter at every second pixel, for memory: views of many photos are kept at once.
        """
        pixels = self.camera.project(self.vertices)
        low, high = pixels.min(axis=0) - 2.0, pixels.max(axis=0) + 2.0
        zoom = _SIDE / float((high - low).max())
        window = self.camera.cropped(float(low[0]), float(low[1]), _SIDE, _SIDE, zoom)
        depth = _depth(window, self.vertices, self.faces)
        behind = depth
        if len(self._outlining) < len(self.faces):
            behind = _depth(window, self.vertices, self._outlining)
        usual = float(np.median(depth[np.isfinite(depth)]))
        scale = abs(float(window.K[0, 0])) / usual
        gap = 2 * round(0.5 * _GAP * scale) + 1
        wide = minimum_filter(behind, gap, mode="constant", cval=np.inf)
        reaches = [max(1, round(reach * scale)) for reach in np.linspace(*_OUTLINE, _RINGS)]
        farthest = [maximum_filter(wide, 2 * reach + gap)[::2, ::2].copy() for reach in reaches]
        return window, minimum_filter(depth, 2 * _AROUND + 1), farthest

    def _attentive(self, sites: Sites, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return trust by attention, smoothed; what it does not speak of is trusted."""
        left, top, right, bottom = self._window
        step = max(1, max(right - left, bottom - top) // _ATTENTION_SIDE)
        coarse = np.asarray(self._attention)[top:bottom:step, left:right:step].astype(np.float32)
        smooth = gaussian_filter(coarse, _SMOOTHING * max(coarse.shape), mode="nearest")
        at = (pixels - np.array([left, top], np.float32)) / step
        trust = smooth_step(_bilinear(smooth[..., None], at)[:, 0], *_ATTENTION)
        if self._attended is None:
            return trust
        attended = sites.of(self._attended[:, None])[:, 0]
        return 1.0 - attended * (1.0 - trust)


def _depth(
    camera: PhotoCamera, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "h w"]:
    """Return what a camera sees in millimetres from it; infinity where that is nothing."""
    seen = rasterize_upright(camera, vertices, faces)
    drawn = np.nonzero(seen.face_index >= 0)
    corners = camera.to_camera(vertices)[faces[seen.face_index[drawn]], 2]
    depth = np.full(seen.face_index.shape, np.inf, np.float32)
    depth[drawn] = np.einsum("nk,nk->n", seen.barycentrics[drawn], corners)
    return depth


def _projected(in_camera: Float[np.ndarray, "n 3"], camera: PhotoCamera) -> Float[np.ndarray, "n 2"]:
    (a, b, left), (c, d, top) = camera.K[:2].astype(np.float32)
    x, y = in_camera[:, 0] / in_camera[:, 2], in_camera[:, 1] / in_camera[:, 2]
    return np.stack([a * x + b * y + left, c * x + d * y + top], axis=1)


def _in_frame(pixels: Float[np.ndarray, "n 2"], camera: PhotoCamera) -> Float[np.ndarray, " n"]:
    size = np.array([camera.width, camera.height], np.float32)
    inside = np.minimum(pixels, size - pixels).min(axis=1)
    return np.clip(inside / _FRAME, 0.0, 1.0)


def smooth_step(values: Float[np.ndarray, "*shape"], low: float, high: float) -> Float[np.ndarray, "*shape"]:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _decoded(codes: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 4"]:
    """Return linear RGB, and 0..1 where it is saturated or a highlight's white."""
    brightest, least = codes.max(axis=2), codes.min(axis=2).astype(np.float32)
    glare = smooth_step(brightest.astype(np.float32), *_GLARE)
    glare *= smooth_step(least / np.maximum(brightest, 1), *_WHITE)
    saturated = np.where(brightest >= _SATURATED, np.float32(1.0), glare)
    return np.concatenate([srgb_to_linear(codes), saturated[..., None]], axis=2)


def _quarters(picture: np.ndarray) -> list[np.ndarray]:
    """Return the four pixels of each 2 × 2 block; an odd row or column counts twice."""
    rows = [picture[0::2], picture[1::2]]
    if len(picture) % 2:
        rows[1] = np.concatenate([rows[1], picture[-1:]])
    parts = []
    for row in rows:
        right = row[:, 1::2]
        parts += [row[:, 0::2], np.concatenate([right, row[:, -1:]], axis=1) if row.shape[1] % 2 else right]
    return parts


def _quarter_means(parts: list[np.ndarray]) -> np.ndarray:
    mean = parts[0] + parts[1]
    mean += parts[2]
    mean += parts[3]
    mean *= 0.25
    return mean


def _bilinear(picture: Float[np.ndarray, "h w c"], at: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n c"]:
    """Return a picture's values at pixels, corner origin; its border is repeated."""
    where = [at[:, 1] - 0.5, at[:, 0] - 0.5]
    values = [
        map_coordinates(picture[..., k], where, order=1, mode="nearest") for k in range(picture.shape[2])
    ]
    return np.stack(values, axis=1)
