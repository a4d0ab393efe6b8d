"""Normals, topology, closest points, procrustes, rasterization: numpy and numba, no torch."""
