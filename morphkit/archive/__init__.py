"""Morphable models to files and back."""

from morphkit.archive.albedo import with_albedo
from morphkit.archive.files import holds_model, load_default_model, load_model, resolve_model, save_model
from morphkit.archive.linear_albedo import with_linear_albedo

__all__ = [
    "holds_model",
    "load_default_model",
    "load_model",
    "resolve_model",
    "save_model",
    "with_albedo",
    "with_linear_albedo",
]
