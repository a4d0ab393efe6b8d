"""Skin, lips, hair and eyes in linear RGB: a small model of pigments, sampled.

Skin runs along the ten Monk tones in optical density (melanin); haemoglobin adds its own absorption. Regions
carry more or less of both. Hair is a stain of its own colour over brows, beard and scalp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from masks import Regions

from morphkit.io.color import srgb_to_linear

# The Monk Skin Tone scale (Monk, 2019), sRGB.
MONK_TONES = (
    "f6ede4",
    "f3e7db",
    "f7ead0",
    "eadaba",
    "d7bd96",
    "a07e56",
    "825c43",
    "604134",
    "3a312a",
    "292420",
)
# Optical density per unit of haemoglobin: green and blue light are absorbed, red hardly.
HAEMOGLOBIN = np.array([0.10, 0.80, 0.62])
# Hair in linear RGB: black, dark brown, brown, chestnut, blond, grey.
HAIR = np.array([
    [0.012, 0.010, 0.009], [0.030, 0.020, 0.014], [0.070, 0.040, 0.022],
    [0.120, 0.055, 0.025], [0.300, 0.200, 0.100], [0.330, 0.310, 0.290],
])  # fmt: skip
# Iris in linear RGB: dark brown, brown, hazel, green, blue, grey.
IRIS = np.array([
    [0.030, 0.016, 0.010], [0.080, 0.040, 0.018], [0.130, 0.085, 0.035],
    [0.110, 0.120, 0.070], [0.090, 0.140, 0.200], [0.160, 0.180, 0.190],
])  # fmt: skip
SCLERA = np.array([0.62, 0.58, 0.54])
MOUTH = np.array([0.060, 0.016, 0.014])
NOSTRIL = np.array([0.050, 0.018, 0.013])
# Skin tones are drawn Gaussian in luminance (mean, standard deviation), as the linear model that is fitted to
# them will have it, and for a share of the people evenly over the scale, so that its ends stay within reach.
EVEN_SHARE = 0.36
LUMINANCE = (0.47, 0.18)
LIGHTEST, DARKEST = 0.0, 9.0  # the Monk scale as a coordinate
MOTTLES = 26


@dataclass(frozen=True, eq=False)
class Complexions:
    """Random people's colours: one row each.

    `tone` is the place on the Monk scale, 0..9; `blood` the haemoglobin of the whole face; the other fields
    are strengths of regions, hair and iris colours, and the mottling's amplitudes.
    """

    tone: np.ndarray
    blood: np.ndarray
    lip: np.ndarray
    lip_dark: np.ndarray
    cheek: np.ndarray
    nose: np.ndarray
    under_eye: np.ndarray
    ear: np.ndarray
    brow: np.ndarray
    beard: np.ndarray
    scalp: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    sclera: np.ndarray
    mottle: np.ndarray


def monk_linear() -> np.ndarray:
    """Return the ten tones in linear RGB, (10, 3)."""
    codes = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in MONK_TONES])
    return np.asarray(srgb_to_linear(codes / 255.0), np.float64)


def draw_complexions(rng: np.random.Generator, count: int) -> Complexions:
    """Draw people: tones as said above, hair and irises lighter where the skin is lighter."""
    middling = _tone_of(np.clip(rng.normal(*LUMINANCE, count), 0.02, 0.88))
    tone = np.where(rng.random(count) < EVEN_SHARE, rng.uniform(LIGHTEST, DARKEST, count), middling)
    male = rng.random(count) < 0.5
    fair = np.clip(1.0 - tone / 5.0, 0.0, 1.0)
    return Complexions(
        tone=tone,
        blood=np.clip(rng.normal(0.12, 0.08, count), -0.10, 0.4),
        lip=np.clip(rng.normal(0.55, 0.16, count), 0.1, 1.1),
        lip_dark=np.clip(rng.normal(0.35, 0.25, count), -0.2, 1.2),
        cheek=np.clip(rng.normal(0.20, 0.09, count), 0.0, 0.5),
        nose=np.clip(rng.normal(0.15, 0.07, count), 0.0, 0.4),
        under_eye=np.clip(rng.normal(0.40, 0.18, count), 0.0, 1.0),
        ear=np.clip(rng.normal(0.18, 0.10, count), 0.0, 0.5),
        brow=np.clip(rng.normal(np.where(male, 0.72, 0.60), 0.15, count), 0.15, 0.95),
        beard=np.where(male, rng.beta(1.1, 2.4, count), 0.0) * 0.65,
        scalp=np.clip(rng.normal(np.where(male, 0.40, 0.55), 0.22, count), 0.0, 0.92),
        hair=_mix(rng, HAIR, fair, count),
        iris=_mix(rng, IRIS, fair, count),
        sclera=np.clip(rng.normal(1.0, 0.10, count), 0.7, 1.25),
        mottle=rng.normal(0.0, 1.0, (count, MOTTLES)),
    )


def paint(people: Complexions, regions: Regions, mottles: np.ndarray) -> np.ndarray:
    """Return the people's albedo, (n, v, 3) float32 in 0..1; `mottles` from `mottle_fields`."""
    n = len(people.tone)
    melanin = np.repeat(people.tone[:, None], len(regions.lips), axis=1)
    melanin += 0.06 * people.mottle @ mottles
    melanin += people.under_eye[:, None] * regions.under_eyes * 0.8
    melanin += people.lip_dark[:, None] * regions.lips + 0.9 * regions.corners
    blood = np.repeat(people.blood[:, None], len(regions.lips), axis=1)
    blood += 0.015 * np.roll(people.mottle, 7, axis=1) @ mottles
    for amount, region in (
        (people.cheek, regions.cheeks), (people.nose, regions.nose), (people.ear, regions.ears),
        (people.lip, regions.lips), (np.full_like(people.tone, 0.45), regions.canthus),
        (0.12 * people.under_eye, regions.under_eyes),
    ):  # fmt: skip
        blood += amount[:, None] * region
    colour = skin_colour(melanin, blood)
    hair = people.hair[:, None, :]
    for amount, region in (
        (people.scalp, regions.scalp),
        (people.beard, regions.beard),
        (people.brow, regions.brows),
    ):
        colour = _over(colour, hair, amount[:, None] * region)
    colour = _over(colour, np.array([0.02, 0.014, 0.011]), np.repeat(0.75 * regions.lash[None], n, 0))
    colour = _over(colour, NOSTRIL, np.repeat(0.85 * regions.nostrils[None], n, 0))
    colour = _over(colour, MOUTH, np.repeat(regions.mouth[None], n, 0))
    return np.clip(_eyes(colour, people, regions), 0.0, 1.0).astype(np.float32)


def skin_colour(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Return skin of a Monk coordinate (any shape) and a haemoglobin excess: shape + (3,), linear RGB."""
    density = -np.log(monk_linear())
    place = np.clip(melanin, LIGHTEST - 0.5, DARKEST + 0.5)
    low = np.clip(np.floor(place).astype(int), 0, 8)
    share = (place - low)[..., None]
    total = (1 - share) * density[low] + share * density[low + 1]
    return np.exp(-(total + blood[..., None] * HAEMOGLOBIN))


def mottle_fields(rng: np.random.Generator, mean: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return smooth blotches over the head, (MOTTLES, v): bumps 12 to 30 mm wide, half of them symmetric."""
    front = np.flatnonzero(mean[:, 2] > np.median(mean[:, 2]))
    centres = mean[rng.choice(front, MOTTLES, replace=False)]
    widths = rng.uniform(12.0, 30.0, MOTTLES)
    fields = np.exp(-0.5 * (np.linalg.norm(mean[None] - centres[:, None], axis=2) / widths[:, None]) ** 2)
    fields[::2] = fields[::2] + fields[::2][:, mirror]
    return fields


def _tone_of(luminance: np.ndarray) -> np.ndarray:
    """Return the place on the Monk scale of skin this bright."""
    scale = monk_linear() @ (0.2126, 0.7152, 0.0722)
    return np.interp(-luminance, -np.maximum.accumulate(scale[::-1])[::-1], np.arange(10.0))


def _eyes(colour: np.ndarray, people: Complexions, regions: Regions) -> np.ndarray:
    """Paint sclera, iris and pupil."""
    n = len(people.tone)
    sclera = SCLERA * people.sclera[:, None, None]
    ball = np.repeat(regions.eyeballs[None], n, 0)
    colour = _over(colour, sclera, ball)
    iris = people.iris[:, None, :] * (1.0 - 0.55 * regions.limbus[None, :, None])
    colour = _over(colour, iris, np.repeat(regions.iris[None], n, 0))
    return _over(colour, np.full(3, 0.006), np.repeat(regions.pupil[None], n, 0))


def _over(under: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Lay a colour over another."""
    return under + opacity[..., None] * (colour - under)


def _mix(rng: np.random.Generator, palette: np.ndarray, fair: np.ndarray, count: int) -> np.ndarray:
    """Return mixtures of neighbouring palette entries: the dark ones, and the light ones among the fair."""
    last = len(palette) - 1
    place = np.clip(rng.beta(1.2, 3.0, count) * (0.8 + fair * last), 0.0, last - 1e-6)
    low = place.astype(int)
    share = (place - low)[:, None]
    return (1 - share) * palette[low] + share * palette[low + 1]
