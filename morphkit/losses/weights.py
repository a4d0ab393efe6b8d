"""How much each term of the energy counts, with the published choices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

Preset = Literal["deng2019", "deep3d_tf", "deep3d_pt", "morphkit"]


@dataclass(frozen=True)
class EnergyWeights:
    """The weight of each term; 0 leaves it out, and what only it needs.

    Attributes
    ----------
    photometric_weight : per unit of colour distance, sRGB 0..1 (`photometric_loss`).
    landmark_weight : per squared pixel of a picture that shows a millimetre of the face as a pixel, which is
        nearly what the papers' 224-pixel crops do (1.015 pixels): so, per mm² on the face (`landmark_loss`).
    perceptual_weight : per 1 − cosine of embeddings (`perceptual_loss`).
    identity_weight, expression_weight, albedo_weight : per squared standard deviation, summed over the
        coefficients (`coefficient_loss`).
    flattening_weight : per variance of the albedo over bare skin, sRGB 0..1 (`texture_flattening_loss`).
    monochrome_weight : per squared radiance (`monochrome_light_loss`).
    """

    photometric_weight: float
    landmark_weight: float
    perceptual_weight: float
    identity_weight: float
    expression_weight: float
    albedo_weight: float
    flattening_weight: float = 0.0
    monochrome_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number of at least 0, got {value}")

    @classmethod
    def preset(cls, name: Preset) -> EnergyWeights:
        """Return published weights, or our own.

        "deng2019": Deng et al. 2019, section 4 (white light there, which a monochrome weight of 10 nearly
        gives). "deep3d_tf" and "deep3d_pt": its authors' code and its successor in PyTorch, which weigh
        albedo ten times as much. "morphkit": ours.

        Raises
        ------
        ValueError
            If `name` is none of these.
        """
        if name not in _PRESETS:
            raise ValueError(f"name must be one of {', '.join(get_args(Preset))}, got {name!r}")
        return _PRESETS[name]


_COEFFICIENTS = 3e-4
_DENG2019 = EnergyWeights(
    photometric_weight=1.9,
    landmark_weight=1.6e-3,
    perceptual_weight=0.2,
    identity_weight=_COEFFICIENTS * 1.0,
    expression_weight=_COEFFICIENTS * 0.8,
    albedo_weight=_COEFFICIENTS * 1.7e-3,
    flattening_weight=5.0,
    monochrome_weight=10.0,
)
_DEEP3D = replace(_DENG2019, photometric_weight=1.92, albedo_weight=_COEFFICIENTS * 1.7e-2)
_MORPHKIT = EnergyWeights(
    photometric_weight=1.9,
    landmark_weight=1.6e-3,
    perceptual_weight=0.05,  # more brings embeddings, but not the measured shape, nearer to the truth
    identity_weight=3e-4,
    expression_weight=6e-4,
    albedo_weight=3e-4,
    monochrome_weight=1.0,
)
_PRESETS: dict[str, EnergyWeights] = {
    "deng2019": _DENG2019,
    "deep3d_tf": _DEEP3D,
    "deep3d_pt": _DEEP3D,
    "morphkit": _MORPHKIT,
}
