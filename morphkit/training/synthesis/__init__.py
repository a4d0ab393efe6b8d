"""Rendered photos of a model's faces with their truth: a data set that needs no photos.

The names are loaded at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
