from .appearance import monochrome_light_loss, texture_flattening_loss
from .landmark import ibug68_weights, landmark_loss
from .perceptual import perceptual_loss
from .photometric import photometric_loss
from .regularization import coefficient_loss
from .skin import SkinColorModel, attention, own_color_attention
from .weights import EnergyWeights

__all__ = [
    "EnergyWeights",
    "SkinColorModel",
    "attention",
    "coefficient_loss",
    "ibug68_weights",
    "landmark_loss",
    "monochrome_light_loss",
    "own_color_attention",
    "perceptual_loss",
    "photometric_loss",
    "texture_flattening_loss",
]
