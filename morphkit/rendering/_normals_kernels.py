"""Sums over the faces around each vertex."""

from __future__ import annotations

from typing import no_type_check

import numba

from morphkit.geometry._vector_kernels import cross


@numba.njit(cache=True, nogil=True)
@no_type_check
def _difference(points, i, j):
    return points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]


@numba.njit(cache=True, nogil=True)
@no_type_check
def sum_area_vectors(points, faces, total):
    """Add every face's (b - a) x (c - a) to its three corners in total (v, 3)."""
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        vector = cross(_difference(points, j, i), _difference(points, k, i))
        for d in range(3):
            total[i, d] += vector[d]
            total[j, d] += vector[d]
            total[k, d] += vector[d]


@numba.njit(cache=True, nogil=True)
@no_type_check
def sum_area_vectors_backward(grad_total, points, faces, grad_points):
    """Add to grad_points (v, 3); the gradient with respect to corner a is (b - c) x g, and so on around."""
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        g = (
            grad_total[i, 0] + grad_total[j, 0] + grad_total[k, 0],
            grad_total[i, 1] + grad_total[j, 1] + grad_total[k, 1],
            grad_total[i, 2] + grad_total[j, 2] + grad_total[k, 2],
        )
        at_i = cross(_difference(points, j, k), g)
        at_j = cross(_difference(points, k, i), g)
        at_k = cross(_difference(points, i, j), g)
        for d in range(3):
            grad_points[i, d] += at_i[d]
            grad_points[j, d] += at_j[d]
            grad_points[k, d] += at_k[d]
