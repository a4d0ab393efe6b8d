"""From raw 3D face scans to a morphable model, and from the model to a face in any photo.

The names below are loaded at first use: importing the package loads no torch, numba, scipy or trimesh.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
