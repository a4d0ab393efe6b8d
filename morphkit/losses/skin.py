"""How much each pixel of a photo counts: by the colour of skin, as the paper has it, or by the face's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

# sRGB 0..1 to studio-range YCbCr (ITU-R BT.601), 16..235 and 16..240.
_TO_YCBCR = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
_YCBCR_BLACK = (16.0, 128.0, 128.0)

# Mixtures fitted to Jones & Rehg's labelled pixels: (share, mean, upper triangle of the inverse covariance).
_SKIN = (
    (0.24063933, (113.71862, 103.39613, 164.08226),
     (0.0019472069, 0.0020450759, -0.00060243998, 0.017700525, 0.0051420014, 0.0081308950)),
    (0.16365987, (150.19858, 105.18467, 155.51428),
     (0.0027110141, 0.0011036990, 0.0023122299, 0.010707724, 0.010742856, 0.017481629)),
    (0.26034665, (183.92976, 107.62468, 152.71820),
     (0.0048026871, 0.00022935172, 0.0077668377, 0.011729696, 0.0081661865, 0.025374353)),
    (0.33535415, (114.90524, 113.59782, 151.38217),
     (0.0011989699, 0.0022453172, -0.0010748957, 0.047758564, 0.020332102, 0.024502251)),
)  # fmt: skip
_OTHER = (
    (0.12791070, (99.200851, 112.07533, 140.20602),
     (0.00085371657, 0.00071197288, 0.00023958916, 0.0025935620, 0.00076557708, 0.0015042332)),
    (0.31130761, (110.91392, 125.52969, 130.19237),
     (0.00024650150, 0.00045542428, 0.00015019422, 0.026412144, 0.018419769, 0.037497383)),
    (0.34245777, (129.75864, 129.96107, 126.96808),
     (0.00037054974, 0.00038146760, 0.00040408765, 0.0085505722, 0.0079136286, 0.010982352)),
    (0.21832393, (112.29587, 128.85121, 129.05431),
     (0.00013709733, 0.00051228428, 0.00012777430, 0.28237113, 0.10528370, 0.23468947)),
)  # fmt: skip

Mixture = tuple[tuple[float, tuple[float, ...], tuple[float, ...]], ...]
"""Gaussians in YCbCr: of each its share, its mean and the upper triangle of its inverse covariance."""

_MONK = "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420"
MONK_TONES = tuple(tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)) for code in _MONK.split())
"""The ten tones of the Monk Skin Tone Scale (Monk 2019; published by Google), sRGB 0..1, light to dark."""


@dataclass(frozen=True)
class SkinColorModel:
    """How likely a colour is skin: the naive-Bayes classifier of Deng et al. 2019, section 4.1.

    Two mixtures of four Gaussians in YCbCr, of skin and of all else, fitted to Jones & Rehg's pixels (2002)
    unless `fit` has fitted others.

    **The published one is biased.** Flat swatches of the ten tones of the Monk scale get 0.77 to 0.96 for the
    eight lightest and 0.48 and 0.21 for the two darkest (`by_tone`), so that the photo of a dark-skinned face
    is half ignored: under `attention` the tenth tone weighs a fifth of the first. `own_color_attention` has
    no such preference; this model is here to repeat the paper.

    Attributes
    ----------
    prior : the share of skin among all pixels.
    skin, other : the mixtures; the published ones by default.
    """

    prior: float = 0.8
    skin: Mixture = _SKIN
    other: Mixture = _OTHER

    @classmethod
    def fit(
        cls,
        skin: Float[np.ndarray, "n 3"],
        other: Float[np.ndarray, "m 3"],
        components: int = 4,
        prior: float = 0.8,
        seed: int = 0,
    ) -> SkinColorModel:
        """Return a model of your own labelled pixels, see `fit_mixture`; ask it for its `by_tone`.

        Parameters
        ----------
        skin, other : sRGB 0..1 of pixels that show skin, and of pixels that show anything else.
        components : Gaussians of each.
        prior : the share of skin among the pixels that it will judge.
        seed : of the start.

        Raises
        ------
        ValueError
            If there are too few pixels, or any is not a colour.
        MissingDependencyError
            If scikit-learn is not installed.
        """
        from morphkit.losses.skin_fit import fit_mixture

        black = np.array(_YCBCR_BLACK)
        mixtures = [
            fit_mixture(
                checked_pixels(pixels, name, components) @ np.array(_TO_YCBCR).T + black, components, seed
            )
            for name, pixels in (("skin", skin), ("other", other))
        ]
        return cls(prior, *mixtures)

    def by_tone(self) -> tuple[float, ...]:
        """Return the probability of skin of each of `MONK_TONES`, light to dark: alike, where it is fair."""
        found: list[float] = self(torch.tensor(MONK_TONES, dtype=torch.float64)).tolist()
        return tuple(found)

    def __call__(self, srgb: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
        """Return the probability of skin of sRGB colours 0..1."""
        ycbcr = srgb @ srgb.new_tensor(_TO_YCBCR).T + srgb.new_tensor(_YCBCR_BLACK)
        skin = _log_density(ycbcr, self.skin) + torch.logit(srgb.new_tensor(self.prior))
        return torch.sigmoid(skin - _log_density(ycbcr, self.other))


def attention(skin_probability: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return how much a pixel counts: 1 where skin is likelier than not, else its probability.

    Deng et al. 2019, below eq. 2. The authors' code, and those that follow it, take the probability itself.
    """
    return torch.where(skin_probability > 0.5, 1.0, skin_probability)


def own_color_attention(
    srgb: Float[Tensor, "batch h w 3"], face: Bool[Tensor, "batch h w"], tolerance: float = 5.0
) -> Float[Tensor, "batch h w"]:
    """Return how much a pixel counts by how far its colour is from the face's own, whatever that is.

    Colours are taken as logarithms, in which shading moves all three alike and a tone is a mere offset. The
    centre is the median of the face's pixels, the spread their median absolute deviation; a pixel d
    deviations away weighs 1 / (1 + (d / tolerance)²)². Brightness may vary three times as much as hue: light
    does that, where hair, glasses and clothes change both. What has the face's colour, such as dark hair
    before dark skin, passes. On noisy, shaded swatches of the Monk scale with three tenths covered, skin
    keeps 0.83 to 0.97 of its weight at every tone.

    Parameters
    ----------
    srgb : the photos, 0..1.
    face : where a face shows its colours; a photo without one counts in full.
    tolerance : in standard deviations of the face's own colours.
    """
    weights = torch.ones_like(srgb[..., 0])
    for photo, seen, weight in zip(srgb.detach(), face, weights, strict=True):
        if seen.any():
            weight.copy_(_likeness(_features(photo), _features(photo[seen]), tolerance))
    return weights


_PIXELS_EACH = 10  # for each Gaussian at least: it has nine numbers of its own

_DARK = 0.02  # sRGB; below it a logarithm would show noise
_LEAST_SPREAD = 0.06  # of hue, natural logarithm: cheeks and chin differ by as much on any face
_BRIGHTNESS_FREEDOM = 3.0
_TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation, of a normal distribution


def _features(srgb: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Return two logarithms of hue and one of brightness, the last in small units."""
    red, green, blue = (srgb + _DARK).log().unbind(dim=-1)
    brightness = (red + green + blue) / (3 * _BRIGHTNESS_FREEDOM)
    return torch.stack([red - green, blue - green, brightness], dim=-1)


def _likeness(
    colors: Float[Tensor, "h w 3"], own: Float[Tensor, "n 3"], tolerance: float
) -> Float[Tensor, "h w"]:
    centre = own.median(dim=0).values
    spread = _TO_DEVIATION * (own - centre).abs().median(dim=0).values
    square = (((colors - centre) / spread.clamp_min(_LEAST_SPREAD)) ** 2).sum(dim=-1)
    return (1 + square / tolerance**2) ** -2


def checked_pixels(pixels: Float[np.ndarray, "n 3"], name: str, components: int) -> Float[np.ndarray, "n 3"]:
    """Return pixels in double precision.

    Raises
    ------
    ValueError
        Unless they are colours 0..1, and many enough for a mixture.
    """
    values = np.asarray(pixels, dtype=np.float64)
    least = _PIXELS_EACH * components
    if values.ndim != 2 or values.shape[1] != 3 or len(values) < least:
        raise ValueError(f"{name} must be (n, 3) with n of at least {least}, got {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} must be sRGB colours 0..1, got {values.min()} to {values.max()}")
    return values


def _log_density(colors: Float[Tensor, "*shape 3"], mixture: Mixture) -> Float[Tensor, "*shape"]:
    """Return the logarithm of a mixture's density, but for the constant that all mixtures share."""
    terms = []
    for share, mean, triangle in mixture:
        precision = _symmetric(colors.new_tensor(triangle))
        away = colors - colors.new_tensor(mean)
        square = torch.einsum("...i,ij,...j->...", away, precision, away)
        terms.append(0.5 * (torch.logdet(precision) - square) + colors.new_tensor(share).log())
    return torch.logsumexp(torch.stack(terms), dim=0)


def _symmetric(triangle: Float[Tensor, "6"]) -> Float[Tensor, "3 3"]:
    return triangle[torch.tensor([[0, 1, 2], [1, 3, 4], [2, 4, 5]], device=triangle.device)]
