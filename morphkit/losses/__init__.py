"""Pure functions of tensors that fitting and training minimise."""

from morphkit.losses.appearance import monochrome_light_loss, texture_flattening_loss
from morphkit.losses.landmark import ibug68_weights, landmark_loss
from morphkit.losses.perceptual import perceptual_loss
from morphkit.losses.photometric import photometric_loss
from morphkit.losses.regularization import coefficient_loss
from morphkit.losses.skin import SkinColorModel, attention, own_color_attention
from morphkit.losses.weights import EnergyWeights

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
