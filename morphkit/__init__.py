"""From raw 3D face scans to a morphable model, and from the model to a face in any photo.

The names below are loaded at first use: importing the package loads no torch, numba, scipy or trimesh.
"""
