"""A face cut out of a picture, upright and of one size, as face-recognition networks are fed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ChipTemplate:
    """Where a network wants the points of a face.

    Attributes
    ----------
    size : side of the chip, pixels.
    groups : for each point, the numbers of the iBUG-68 points whose mean it is.
    places : (x, y) of each point in the chip, pixels.
    """

    size: int
    groups: tuple[tuple[int, ...], ...]
    places: tuple[tuple[float, float], ...]

    def affine(self, points68: Float[Tensor, "batch 68 2"]) -> Float[Tensor, "batch 2 3"]:
        """Return the map from a picture's pixels to the chip's: turned, scaled and moved, not sheared.

        The similarity that carries the template's points nearest to the face's (least squares), inverted;
        differentiable. ``ImageTransform(affine, (width, height), (size, size))`` of `morphkit.rendering`, and
        its `sample_image`, cut the chips.

        Parameters
        ----------
        points68 : pixels, the picture's outer corner at (0, 0); the template's points must be known.

        Raises
        ------
        ValueError
            When a point that the template uses is not finite.
        """
        points = torch.stack([points68[:, list(group)].mean(dim=1) for group in self.groups], dim=1)
        if not points.isfinite().all():
            used = sorted(number for group in self.groups for number in group)
            raise ValueError(f"points68 must hold finite pixels for the points {used}")
        places = points.new_tensor(self.places).expand(len(points), -1, -1)
        similarity = _similarity(places, points)
        linear = torch.linalg.inv(similarity[:, :, :2])
        return torch.cat([linear, -linear @ similarity[:, :, 2:]], dim=2)


def _padded(x: float, y: float, size: int = 150, padding: float = 0.25) -> tuple[float, float]:
    return size * (padding + x) / (2 * padding + 1), size * (padding + y) / (2 * padding + 1)


# dlib's get_face_chip with its five points and a padding of a quarter: the eyes' corners and the nose's base.
DLIB_CHIP = ChipTemplate(
    size=150,
    groups=((45,), (42,), (36,), (39,), (33,)),
    places=(
        _padded(0.8595674595992, 0.2134981538014),
        _padded(0.6460604764104, 0.2289674387677),
        _padded(0.1205750620789, 0.2137274526848),
        _padded(0.3340850613712, 0.2290642403242),
        _padded(0.4901123135679, 0.6277975316475),
    ),
)

# InsightFace's: the middle of each eye, the tip of the nose, the corners of the mouth.
ARCFACE_CHIP = ChipTemplate(
    size=112,
    groups=(tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    places=(
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ),
)


def _similarity(
    source: Float[Tensor, "batch n 2"], target: Float[Tensor, "batch n 2"]
) -> Float[Tensor, "batch 2 3"]:
    """Return the rotation, scale and shift that carry points nearest to others (least squares)."""
    from_mean, to_mean = source.mean(dim=1), target.mean(dim=1)
    x, y = (source - from_mean[:, None]).unbind(dim=2)
    u, v = (target - to_mean[:, None]).unbind(dim=2)
    square = (x * x + y * y).sum(dim=1)
    cos, sin = (x * u + y * v).sum(dim=1) / square, (x * v - y * u).sum(dim=1) / square
    linear = torch.stack([cos, -sin, sin, cos], dim=1).reshape(-1, 2, 2)
    shift = to_mean - (linear @ from_mean[:, :, None])[:, :, 0]
    return torch.cat([linear, shift[:, :, None]], dim=2)
