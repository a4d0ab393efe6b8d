"""Faces in a photo, coarsely: boxes and six key points, from MediaPipe's full-range detector."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.landmarks.network import load_network
from morphkit.landmarks.pyramid import Pyramid, Square

_SIZE = 192  # the network's input, pixels
_CELLS = 48  # one anchor in each cell of a 48 x 48 grid
_MIRRORED = [0, 1, 3, 2, 4, 5, 7, 6]  # centre, size and key points of a mirrored face, left for right
_TILE_OVERLAP = 0.2
_SMALLEST_IN_TILE = 0.06  # the detector's smallest face, as a fraction of its input
_TRUNCATED = 0.03  # a box this near to (or over) a tile's inner border shows part of a face


@dataclass(frozen=True, eq=False)
class Detection:
    """A face box with key points.

    Attributes
    ----------
    box : (x0, y0, x1, y1) photo pixels.
    keypoints : (6, 2) photo pixels: the subject's right eye, left eye, nose tip, mouth, right and left ear.
    score : 0..1.
    """

    box: Float[np.ndarray, "4"]
    keypoints: Float[np.ndarray, "6 2"]
    score: float

    @property
    def center(self) -> Float[np.ndarray, "2"]:
        """The middle of the box, photo pixels."""
        middle: Float[np.ndarray, "2"] = (self.box[:2] + self.box[2:]) / 2
        return middle

    @property
    def size(self) -> float:
        """The longer side of the box, pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


def detect_boxes(
    pyramid: Pyramid,
    *,
    smallest: float = 0.01,
    threshold: float = 0.5,
    angle: float = 0.0,
    mirrored: bool = False,
) -> tuple[Detection, ...]:
    """Find faces that stand upright in a photo turned by `angle`, best score first, duplicates merged.

    The whole photo is searched first, then ever smaller overlapping tiles, down to faces of `smallest` times
    the photo's longer side. Tiles are never magnified. With `mirrored`, the detector is shown each tile's
    mirror image; what it finds is told in the photo, as ever.
    """
    found = [
        detection
        for tile in _tiles(pyramid, smallest, angle)
        for detection in detect_in(pyramid, tile, threshold, mirrored=mirrored)
    ]
    return tuple(_merge(found))


def _tiles(pyramid: Pyramid, smallest: float, angle: float) -> Iterator[Square]:
    """Yield the squares to search: the whole photo, and tilings by halved sides."""
    longest = max(pyramid.width, pyramid.height)
    middle = (pyramid.width / 2, pyramid.height / 2)
    cosine, sine = abs(np.cos(angle)), abs(np.sin(angle))
    whole = max(
        pyramid.width * cosine + pyramid.height * sine, pyramid.width * sine + pyramid.height * cosine
    )
    yield Square(middle, whole, angle)
    side = longest / 2
    while side >= _SIZE and 2 * side * _SMALLEST_IN_TILE > smallest * longest:
        for x, y in itertools.product(_starts(pyramid.width, side), _starts(pyramid.height, side)):
            yield Square((x + side / 2, y + side / 2), side, angle)
        side /= 2


def _starts(length: int, side: float) -> Float[np.ndarray, " n"]:
    """Return where tiles of `side` start so that they cover `length` and overlap."""
    if length <= side:
        return np.array([(length - side) / 2])
    count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
    return np.linspace(0, length - side, count)


def detect_in(
    pyramid: Pyramid, square: Square, threshold: float, *, mirrored: bool = False
) -> list[Detection]:
    """Run the detector once, on a square of the photo or its mirror image; duplicates stay."""
    network = load_network("face_detection_full_range_sparse.tflite")
    picture = pyramid.crop(square, _SIZE, replicate=False)
    regressors, logits = network((picture[:, ::-1] if mirrored else picture) * 2 - 1)
    scores = 1 / (1 + np.exp(-logits[0, :, 0].clip(-80, 80)))
    kept = np.flatnonzero(scores >= threshold)
    anchors = (np.stack([kept % _CELLS, kept // _CELLS], axis=1) + 0.5) / _CELLS
    boxes = regressors[0, kept].reshape(-1, 8, 2) / _SIZE  # centre, size, six key points
    boxes[:, [0, 2, 3, 4, 5, 6, 7]] += anchors[:, None]
    if mirrored:
        boxes = boxes[:, _MIRRORED]
        boxes[:, [0, 2, 3, 4, 5, 6, 7], 0] = 1 - boxes[:, [0, 2, 3, 4, 5, 6, 7], 0]
    return [
        _in_photo(square, box, float(score))
        for box, score in zip(boxes.astype(np.float64), scores[kept], strict=True)
        if _whole(pyramid, square, box)
    ]


def _whole(pyramid: Pyramid, square: Square, box: Float[np.ndarray, "8 2"]) -> bool:
    """Tell whether a box lies inside its tile; at the photo's own border it may be cut."""
    if square.side >= max(pyramid.width, pyramid.height):
        return True
    low, high = box[0] - box[1] / 2, box[0] + box[1] / 2
    return bool((low > _TRUNCATED).all() and (high < 1 - _TRUNCATED).all())


def _in_photo(square: Square, box: Float[np.ndarray, "8 2"], score: float) -> Detection:
    points = square.to_photo(box[[0, 2, 3, 4, 5, 6, 7]])
    half = box[1] * square.side / 2
    return Detection(np.concatenate([points[0] - half, points[0] + half]), points[1:], score)


def _merge(detections: list[Detection], overlap: float = 0.3) -> Iterator[Detection]:
    """Non-maximum suppression, with the suppressed averaged in by score."""
    left = sorted(detections, key=lambda detection: -detection.score)
    while left:
        ious = np.array([_iou(left[0].box, other.box) for other in left])
        group = [detection for detection, iou in zip(left, ious, strict=True) if iou >= overlap]
        left = [detection for detection, iou in zip(left, ious, strict=True) if iou < overlap]
        weights = np.array([detection.score for detection in group])
        yield Detection(
            np.average([detection.box for detection in group], axis=0, weights=weights),
            np.average([detection.keypoints for detection in group], axis=0, weights=weights),
            group[0].score,
        )


def _iou(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(sides.clip(0)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)
