"""How each photo is changed before a network sees it, drawn by its own key: who draws doesn't matter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from morphkit.training.config import AugmentationSettings
from morphkit.training.randomness import keyed_generator

PATCHES = 3  # over a photo at most
_CROP = 224.0  # the size of crop that shifts are given for
_PATCH = (0.08, 0.35)  # sides of patches, of the picture's


@dataclass(frozen=True, eq=False)
class Augmentation:
    """What happens to each photo of a batch; `identity` leaves all as they are.

    Attributes
    ----------
    flip : mirror first.
    shift : of the picture's side, right and down.
    scale : about the middle, 1 keeps it.
    angle : about the middle, clockwise as seen, radians.
    gain : factors of linear red, green and blue.
    contrast, saturation : factors about grey, in sRGB.
    grey : take the colour away.
    blur : standard deviation, of the picture's side; 0 leaves it.
    noise : standard deviation, sRGB 0..1; 0 leaves it.
    noise_key : of all noise.
    landmark_noise : of the landmarks that the network is shown, standard deviation, of the picture's side.
    resolution : share that is kept; 1 leaves it.
    patches : left, top, right, bottom of the picture's side; nothing where left = right.
    patch_colors : sRGB.
    """

    flip: Bool[Tensor, " batch"]
    shift: Float[Tensor, "batch 2"]
    scale: Float[Tensor, " batch"]
    angle: Float[Tensor, " batch"]
    gain: Float[Tensor, "batch 3"]
    contrast: Float[Tensor, " batch"]
    saturation: Float[Tensor, " batch"]
    grey: Bool[Tensor, " batch"]
    blur: Float[Tensor, " batch"]
    noise: Float[Tensor, " batch"]
    noise_key: Int[Tensor, " batch"]
    landmark_noise: Float[Tensor, " batch"]
    resolution: Float[Tensor, " batch"]
    patches: Float[Tensor, "batch p 4"]
    patch_colors: Float[Tensor, "batch p 3"]

    @classmethod
    def identity(cls, count: int) -> Augmentation:
        """Return what leaves photos as they are."""
        return cls.draw(AugmentationSettings.none(), 0, 0, np.arange(count))

    @classmethod
    def draw(
        cls, settings: AugmentationSettings, seed: int, epoch: int, positions: Int[np.ndarray, " batch"]
    ) -> Augmentation:
        """Draw each photo's changes from its own generator.

        Parameters
        ----------
        positions : in the epoch's order.
        """
        rows = [_row(settings, keyed_generator("augmentation", seed, epoch, int(p))) for p in positions]
        return cls(**{name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]})

    def to(self, device: torch.device | str) -> Augmentation:
        """Return the values on a device."""
        return Augmentation(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def affine(self, source: int, target: int, flip: Bool[Tensor, " batch"]) -> Float[Tensor, "batch 2 3"]:
        """Return the maps from a square photo's pixels to those of the picture the network sees, float64.

        Parameters
        ----------
        source, target : sides, pixels.
        flip : which rows are mirrored: `flip`, or fewer where the truth can't be.
        """
        zoom = self.scale.double() * (target / source)
        cos, sin = self.angle.double().cos() * zoom, self.angle.double().sin() * zoom
        mirror = torch.where(flip, -1.0, 1.0).to(zoom)
        linear = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=1).reshape(-1, 2, 2)
        middle = linear.new_full((2,), source / 2)
        placed = target * (0.5 + self.shift.double()) - linear @ middle
        return torch.cat([linear, placed[:, :, None]], dim=2)


def _row(settings: AugmentationSettings, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw one photo's changes; always as many numbers, so that no setting changes another's draws."""
    even = generator.uniform(-1.0, 1.0, 9)
    chance = generator.random(6)
    strength = generator.random(3)
    patches = _patches(generator, covered=bool(chance[0] < settings.occlusion))
    stops = settings.exposure * even[4] + settings.white_balance * np.array([even[5], 0.0, even[6]])
    rare = chance[1:4] < settings.rare
    values: dict[str, Any] = {
        "flip": settings.flip and chance[4] < 0.5,
        "shift": settings.shift / _CROP * even[:2],
        "scale": 1.0 + settings.scale * even[2],
        "angle": np.deg2rad(settings.angle) * even[3],
        "gain": 2.0**stops,
        "contrast": 1.0 + settings.contrast * even[7],
        "saturation": 1.0 + settings.saturation * even[8],
        "grey": chance[5] < settings.grey,
        "blur": rare[0] * settings.blur / _CROP * strength[0],
        "noise": rare[1] * settings.noise * strength[1],
        "noise_key": generator.integers(2**62),
        "landmark_noise": settings.landmarks / _CROP,
        "resolution": 1.0 - rare[2] * (1.0 - settings.resolution) * strength[2],
        "patches": patches[:, :4],
        "patch_colors": patches[:, 4:],
    }
    kinds = {"flip": bool, "grey": bool, "noise_key": np.int64, "scale": np.float64, "angle": np.float64}
    return {name: np.asarray(value, kinds.get(name, np.float32)) for name, value in values.items()}


def _patches(generator: np.random.Generator, covered: bool) -> np.ndarray:
    """Return up to `PATCHES` rectangles and their colours, (p, 7) float32."""
    count = generator.integers(1, PATCHES + 1) if covered else 0
    sides = generator.uniform(*_PATCH, (PATCHES, 2))
    middles = generator.uniform(0.0, 1.0, (PATCHES, 2))
    colors = generator.random((PATCHES, 3))
    sides[count:] = 0.0
    return np.concatenate([middles - sides / 2, middles + sides / 2, colors], axis=1).astype(np.float32)
