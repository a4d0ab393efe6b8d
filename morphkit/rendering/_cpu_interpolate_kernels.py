"""The loops of interpolation on a CPU: one image, or some of its rows, per call."""

from __future__ import annotations

from typing import no_type_check

import numba


@numba.njit(cache=True, nogil=True)
@no_type_check
def interpolate_forward(attributes, rast, faces, first_row, last_row, out):
    """Write u a0 + v a1 + (1 - u - v) a2 for every covered pixel of some rows, zero elsewhere."""
    for row in range(first_row, last_row):
        for column in range(rast.shape[1]):
            f = int(rast[row, column, 3]) - 1
            if f < 0:
                out[row, column, :] = 0.0
                continue
            u, v = rast[row, column, 0], rast[row, column, 1]
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            rest = 1 - u - v
            for c in range(attributes.shape[1]):
                out[row, column, c] = u * attributes[i, c] + v * attributes[j, c] + rest * attributes[k, c]


@numba.njit(cache=True, nogil=True)
@no_type_check
def interpolate_backward(grad_out, attributes, rast, faces, grad_attributes, grad_rast):
    """Add to grad_attributes (v, c) and write grad_rast (h, w, 4): only u and v receive anything."""
    for row in range(rast.shape[0]):
        for column in range(rast.shape[1]):
            grad_rast[row, column, :] = 0.0
            f = int(rast[row, column, 3]) - 1
            if f < 0:
                continue
            u, v = rast[row, column, 0], rast[row, column, 1]
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            rest = 1 - u - v
            for c in range(attributes.shape[1]):
                g = grad_out[row, column, c]
                grad_attributes[i, c] += u * g
                grad_attributes[j, c] += v * g
                grad_attributes[k, c] += rest * g
                grad_rast[row, column, 0] += g * (attributes[i, c] - attributes[k, c])
                grad_rast[row, column, 1] += g * (attributes[j, c] - attributes[k, c])
