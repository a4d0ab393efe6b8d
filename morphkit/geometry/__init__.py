"""Geometry of triangle meshes and point sets: normals, topology, Laplacians, alignment, closest points.

Plain numpy in and out; the heavy loops are numba kernels in `_*_kernels.py`. Import from the modules.
"""
