"""The loops of matte shading on a CPU: a run of points under one light per call.

`light` (9, 3) multiplies the polynomials 1, y, z, x, xy, yz, 3z²-1, xz, x²-y² of the normals.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _polynomials(normals, i):
    x, y, z = np.float64(normals[i, 0]), np.float64(normals[i, 1]), np.float64(normals[i, 2])
    return np.float64(1.0), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _dot(y, light, c):
    first = y[0] * light[0, c] + y[1] * light[1, c] + y[2] * light[2, c] + y[3] * light[3, c]
    second = y[4] * light[4, c] + y[5] * light[5, c] + y[6] * light[6, c] + y[7] * light[7, c]
    return first + second + y[8] * light[8, c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def shade_forward(albedo, normals, light, out):
    """Write albedo times brightness of each point (n, 3)."""
    for i in range(len(albedo)):
        if albedo[i, 0] == 0.0 and albedo[i, 1] == 0.0 and albedo[i, 2] == 0.0:
            out[i, 0] = out[i, 1] = out[i, 2] = 0.0
            continue
        y = _polynomials(normals, i)
        for c in range(3):
            out[i, c] = albedo[i, c] * _dot(y, light, c)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def shade_backward(grad_out, albedo, normals, light, grad_albedo, grad_normals, grad_light):
    """Write grad_albedo and grad_normals (n, 3), add to grad_light (9, 3), which is in double."""
    slopes = np.empty(9)
    for i in range(len(albedo)):
        g0, g1, g2 = grad_out[i, 0], grad_out[i, 1], grad_out[i, 2]
        if g0 == 0.0 and g1 == 0.0 and g2 == 0.0:
            for c in range(3):
                grad_albedo[i, c] = grad_normals[i, c] = 0.0
            continue
        polynomials = _polynomials(normals, i)
        s0, s1, s2 = g0 * albedo[i, 0], g1 * albedo[i, 1], g2 * albedo[i, 2]
        grad_albedo[i, 0] = g0 * _dot(polynomials, light, 0)
        grad_albedo[i, 1] = g1 * _dot(polynomials, light, 1)
        grad_albedo[i, 2] = g2 * _dot(polynomials, light, 2)
        for k in range(9):
            slopes[k] = light[k, 0] * s0 + light[k, 1] * s1 + light[k, 2] * s2
        for k in range(9):
            grad_light[k, 0] += polynomials[k] * s0
            grad_light[k, 1] += polynomials[k] * s1
            grad_light[k, 2] += polynomials[k] * s2
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        grad_normals[i, 0] = slopes[3] + slopes[4] * y + slopes[7] * z + 2 * slopes[8] * x
        grad_normals[i, 1] = slopes[1] + slopes[4] * x + slopes[5] * z - 2 * slopes[8] * y
        grad_normals[i, 2] = slopes[2] + slopes[5] * y + 6 * slopes[6] * z + slopes[7] * x


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def unit_forward(vectors, out):
    """Write vectors (n, 3) of length one; zero stays zero."""
    for i in range(len(vectors)):
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        square = x * x + y * y + z * z
        scale = 1 / np.sqrt(square) if square > 0.0 else square
        out[i, 0], out[i, 1], out[i, 2] = scale * x, scale * y, scale * z


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def unit_backward(grad_out, vectors, grad_vectors):
    """Write the gradient by the vectors: what is across them, over their length; zero where they are zero."""
    for i in range(len(vectors)):
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        gx, gy, gz = grad_out[i, 0], grad_out[i, 1], grad_out[i, 2]
        square = x * x + y * y + z * z
        if square == 0.0 or (gx == 0.0 and gy == 0.0 and gz == 0.0):
            grad_vectors[i, 0] = grad_vectors[i, 1] = grad_vectors[i, 2] = 0.0
            continue
        scale, along = 1 / np.sqrt(square), (x * gx + y * gy + z * gz) / square
        grad_vectors[i, 0] = scale * (gx - along * x)
        grad_vectors[i, 1] = scale * (gy - along * y)
        grad_vectors[i, 2] = scale * (gz - along * z)
