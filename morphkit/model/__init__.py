"""The morphable model in torch."""

from morphkit.model.coefficients import CoefficientLayout, Coefficients
from morphkit.model.face_model import FaceModel, Instance
from morphkit.model.maps import LinearMap, ShapeMap

__all__ = ["CoefficientLayout", "Coefficients", "FaceModel", "Instance", "LinearMap", "ShapeMap"]
