"""What the photo shows: landmarks in pixels, and how far each may be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.fitting.settings import LandmarkSettings
from morphkit.fitting.spans import SeenSpans, seen_spans
from morphkit.landmarks.ibug import to_ibug68

JAW68 = frozenset(range(17))

# MediaPipe's face mesh: indices by what they mark. The oval's upper part follows the hair line, no outline.
_OUTLINE = (
    "127 234 93 132 58 172 136 150 149 176 148 152 377 400 378 379 365 397 288 361 323 454 356"  # ear to ear
)
_EYES = (
    "33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246 "
    "263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466"
)
_BROWS = "70 63 105 66 107 46 53 52 65 55 300 293 334 296 336 276 283 282 295 285"
_LIPS = (
    "61 146 91 181 84 17 314 405 321 375 291 185 40 39 37 0 267 269 270 409 "
    "78 95 88 178 87 14 317 402 318 324 308 191 80 81 82 13 312 311 310 415"
)
_NOSE = "168 6 197 195 5 4 1 19 94 2 98 97 326 327 294 278 344 440 275 45 220 115 48 64"


def _indices(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in text.split())


OUTLINE478 = _indices(_OUTLINE)
FEATURES478 = _indices(f"{_EYES} {_BROWS} {_LIPS} {_NOSE}")
IRISES478 = frozenset(range(468, 478))


@dataclass(frozen=True, eq=False)
class SeenLandmarks:
    """Landmarks found in, or given for, a photo.

    Attributes
    ----------
    set_name : the embedding that the names belong to, "ibug68" or "mediapipe478".
    names : n names in that embedding.
    pixels : (n, 2), x right, y down, the image's outer corner at (0, 0).
    deviations : (n,) standard deviations, millimetres on the face.
    on_outline : (n,) whether a point marks the visible outline of the jaw rather than a place on the skin.
    spans : distances that the same landmarks tell, or None.
    """

    set_name: str
    names: tuple[str, ...]
    pixels: Float[np.ndarray, "n 2"]
    deviations: Float[np.ndarray, " n"]
    on_outline: Bool[np.ndarray, " n"]
    spans: SeenSpans | None = None

    def among(self, names: Iterable[str]) -> SeenLandmarks:
        """Return those whose names are in `names`, with all spans."""
        known = frozenset(names)
        keep = np.array([name in known for name in self.names], dtype=bool)
        kept = tuple(name for name in self.names if name in known)
        return SeenLandmarks(
            self.set_name, kept, self.pixels[keep], self.deviations[keep], self.on_outline[keep], self.spans
        )


def seen_mediapipe478(points: Float[np.ndarray, "n 2"], settings: LandmarkSettings) -> SeenLandmarks:
    """Return a detector's 478 points; together they weigh like `settings.detector_points` of them."""
    number = np.arange(len(points))
    features, irises = np.isin(number, list(FEATURES478)), np.isin(number, list(IRISES478))
    outline = np.isin(number, list(OUTLINE478))
    deviations = np.select(
        [features, irises, outline],
        [settings.feature_deviation, settings.iris_deviation, settings.contour_deviation],
        settings.dense_deviation,
    )
    together = np.sqrt(max(1.0, len(points) / settings.detector_points))
    names = tuple(f"mp{i}" for i in number)
    pixels = points.astype(np.float64)
    spans = seen_spans(to_ibug68(pixels), settings)
    return SeenLandmarks("mediapipe478", names, pixels, deviations * together, outline, spans)


def seen_ibug68(
    points: Float[np.ndarray, "68 2"], deviation: float, settings: LandmarkSettings
) -> SeenLandmarks:
    """Return 68 points, detected or given; rows of NaN are unknown and left out."""
    number = np.flatnonzero(np.isfinite(points).all(axis=1))
    outline = np.isin(number, list(JAW68))
    deviations = np.where(outline, max(deviation, settings.contour_deviation), deviation)
    names = tuple(str(i) for i in number)
    pixels, spans = points[number].astype(np.float64), seen_spans(points, settings)
    return SeenLandmarks("ibug68", names, pixels, deviations, outline, spans)
