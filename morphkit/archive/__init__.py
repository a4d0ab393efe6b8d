"""Morphable models to files and back."""

from morphkit.archive.albedo import with_albedo
from morphkit.archive.files import holds_model, load_default_model, load_model, resolve_model, save_model

__all__ = [
    "holds_model",
    "load_default_model",
    "load_model",
    "resolve_model",
    "save_model",
    "with_albedo",
]
