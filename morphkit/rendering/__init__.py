"""Differentiable rendering: one contract, several backends."""

from morphkit.rendering.camera import Camera, OrthographicCamera, PerspectiveCamera, weak_perspective
from morphkit.rendering.crops import ImageTransform, sample_image
from morphkit.rendering.rasterizer import Rasterizer, get_rasterizer
from morphkit.rendering.renderer import Rendering, render

__all__ = [
    "Camera",
    "ImageTransform",
    "OrthographicCamera",
    "PerspectiveCamera",
    "Rasterizer",
    "Rendering",
    "get_rasterizer",
    "render",
    "sample_image",
    "weak_perspective",
]
