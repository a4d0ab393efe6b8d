"""Differentiable rendering: one contract, several backends."""

from morphkit.rendering.camera import Camera, OrthographicCamera, PerspectiveCamera, weak_perspective
from morphkit.rendering.crops import ImageTransform, sample_image
from morphkit.rendering.lighting import ambient_light, directional_light, fit_light
from morphkit.rendering.rasterizer import Rasterizer, get_rasterizer
from morphkit.rendering.renderer import Renderer, Rendering, TexturedAlbedo, render
from morphkit.rendering.spherical_harmonics import rotate_light

__all__ = [
    "Camera",
    "ImageTransform",
    "OrthographicCamera",
    "PerspectiveCamera",
    "Rasterizer",
    "Renderer",
    "Rendering",
    "TexturedAlbedo",
    "ambient_light",
    "directional_light",
    "fit_light",
    "get_rasterizer",
    "render",
    "rotate_light",
    "sample_image",
    "weak_perspective",
]
