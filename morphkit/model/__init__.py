"""The morphable model in torch."""

from morphkit.model.coefficients import CoefficientLayout, Coefficients
from morphkit.model.face_model import FaceModel

__all__ = ["CoefficientLayout", "Coefficients", "FaceModel"]
