"""Differentiable rendering: one contract, several backends."""

from morphkit.rendering.camera import PerspectiveCamera
from morphkit.rendering.rasterizer import Rasterizer, get_rasterizer
from morphkit.rendering.renderer import Rendering, render

__all__ = ["PerspectiveCamera", "Rasterizer", "Rendering", "get_rasterizer", "render"]
