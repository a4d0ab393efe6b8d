"""How rendered photos vary."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

LandmarkSource = Literal["noisy", "true", "detected"]
Tones = Literal["even", "model"]

_SHARES = (
    "hair", "glasses", "occluders", "hard_light", "gloss", "blur", "noise", "compression", "contrast",
    "body", "skin_detail",
)  # fmt: skip


@dataclass(frozen=True)
class SynthesisSettings:
    """How rendered photos vary. Shares are of the photos, or strengths, 0..1; 0 leaves something out.

    Attributes
    ----------
    size : of the crops, pixels.
    expressions : how strong expressions get; half of the faces are nearly at rest in any case.
    truncation : identity and albedo coefficients stay within so many standard deviations.
    tones : "even" draws skin tones evenly over what the model reaches, "model" as often as it has them.
    max_yaw, max_pitch, max_roll : of the head against the line of sight, degrees.
    focal_lengths : least and greatest, in millimetres of 35 mm film.
    distances : least and greatest from the camera to the face, millimetres.
    photo_sizes : least and greatest shorter side of the photo, pixels.
    hair, glasses, occluders : shares of heads with hair, with glasses, with something before the face.
    body : share of heads on a neck with clothes.
    hard_light : share of photos with a hard light from a side.
    gloss, skin_detail : the greatest strength of highlights, and of pores and blotches.
    blur, noise, compression, contrast : strength of what a camera adds; without blur, small photos are sharp.
    landmarks : "noisy" as a detector's, "true", or "detected": where the landmark network sees them.
    landmark_noise : strength of the noise; 1 is about 2 mm a coordinate, 6 on the jaw.
    """

    size: int = 224
    expressions: float = 1.0
    truncation: float = 2.75
    tones: Tones = "even"
    max_yaw: float = 60.0
    max_pitch: float = 25.0
    max_roll: float = 20.0
    focal_lengths: tuple[float, float] = (24.0, 135.0)
    distances: tuple[float, float] = (350.0, 2500.0)
    photo_sizes: tuple[int, int] = (360, 1080)
    hair: float = 0.75
    glasses: float = 0.15
    occluders: float = 0.2
    body: float = 0.9
    hard_light: float = 0.2
    gloss: float = 1.0
    skin_detail: float = 1.0
    blur: float = 1.0
    noise: float = 1.0
    compression: float = 1.0
    contrast: float = 1.0
    landmarks: LandmarkSource = "noisy"
    landmark_noise: float = 1.0

    def __post_init__(self) -> None:
        for name in ("landmarks", "tones"):
            kinds = get_args(LandmarkSource if name == "landmarks" else Tones)
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} must be one of {', '.join(kinds)}, got {getattr(self, name)!r}")
        for name in (*_SHARES, "expressions"):
            _within(name, getattr(self, name), 0.0, 1.0)
        _within("size", self.size, 32, 1024)
        _within("truncation", self.truncation, 0.5, 10.0)
        _within("max_yaw", self.max_yaw, 0.0, 90.0)
        _within("max_pitch", self.max_pitch, 0.0, 60.0)
        _within("max_roll", self.max_roll, 0.0, 90.0)
        _within("landmark_noise", self.landmark_noise, 0.0, 10.0)
        _ordered("focal_lengths", self.focal_lengths, 10.0, 400.0)
        _ordered("distances", self.distances, 250.0, 10_000.0)
        _ordered("photo_sizes", self.photo_sizes, 200, 6000)

    @classmethod
    def plain(cls, size: int = 224) -> SynthesisSettings:
        """Return settings with nothing in the way: what is drawn is what the truth says."""
        none: dict[str, Any] = dict.fromkeys(_SHARES, 0.0)
        return cls(size=size, landmarks="true", **none)

    def values(self) -> dict[str, object]:
        """Return the settings by name, as JSON takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _within(name: str, value: float | int, least: float | int, greatest: float | int) -> None:
    if not (math.isfinite(value) and least <= value <= greatest):
        raise ValueError(f"{name} must be between {least:g} and {greatest:g}, got {value}")


def _ordered(
    name: str, pair: tuple[float, float] | tuple[int, int], least: float | int, greatest: float | int
) -> None:
    for value in pair:
        _within(name, value, least, greatest)
    if pair[0] > pair[1]:
        raise ValueError(f"{name} must begin with the smaller number, got {pair}")
