from .appearance import monochrome_light_loss, texture_flattening_loss
from .landmark import ibug68_weights, landmark_loss
from .perceptual import perceptual_loss
from .photometric import photometric_loss
from .regularization import coefficient_loss
from .skin import SkinColorModel, attention, own_color_attention
from .supervised import gram_loss, gram_matrix, light_loss, projection_loss, similarity_tangents
from .weights import EnergyWeights

__all__ = [
    "EnergyWeights",
    "SkinColorModel",
    "attention",
    "coefficient_loss",
    "gram_loss",
    "gram_matrix",
    "ibug68_weights",
    "landmark_loss",
    "light_loss",
    "monochrome_light_loss",
    "own_color_attention",
    "perceptual_loss",
    "photometric_loss",
    "projection_loss",
    "similarity_tangents",
    "texture_flattening_loss",
]
