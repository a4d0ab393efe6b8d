"""The loops of interpolation on a CPU, over a run of pixels that share one set of attributes."""

from __future__ import annotations

from typing import no_type_check

import numba


@numba.njit(cache=True, nogil=True)
@no_type_check
def interpolate_forward(attributes, rast, faces, out):
    """Write u a0 + v a1 + (1 - u - v) a2 for every covered pixel, zero elsewhere."""
    for p in range(len(rast)):
        f = int(rast[p, 3]) - 1
        if f < 0:
            out[p, :] = 0
            continue
        u, v = rast[p, 0], rast[p, 1]
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        rest = 1 - u - v
        for c in range(attributes.shape[1]):
            out[p, c] = u * attributes[i, c] + v * attributes[j, c] + rest * attributes[k, c]


@numba.njit(cache=True, nogil=True)
@no_type_check
def interpolate_backward(grad_out, attributes, rast, faces, grad_attributes, grad_rast):
    """Add to grad_attributes (v, c) and write grad_rast (pixels, 4): only u and v receive anything."""
    for p in range(len(rast)):
        grad_rast[p, :] = 0
        f = int(rast[p, 3]) - 1
        if f < 0:
            continue
        u, v = rast[p, 0], rast[p, 1]
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        rest = 1 - u - v
        for c in range(attributes.shape[1]):
            g = grad_out[p, c]
            if g != 0:
                grad_attributes[i, c] += u * g
                grad_attributes[j, c] += v * g
                grad_attributes[k, c] += rest * g
                grad_rast[p, 0] += g * (attributes[i, c] - attributes[k, c])
                grad_rast[p, 1] += g * (attributes[j, c] - attributes[k, c])


@numba.njit(cache=True, nogil=True)
@no_type_check
def differentiate_forward(attributes, channels, rast, faces, derivatives, out):
    """Write (da/dX, da/dY) of each channel for every covered pixel, zero elsewhere."""
    for p in range(len(rast)):
        f = int(rast[p, 3]) - 1
        if f < 0:
            out[p, :] = 0
            continue
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        for d in range(len(channels)):
            c = channels[d]
            along_u = attributes[i, c] - attributes[k, c]
            along_v = attributes[j, c] - attributes[k, c]
            out[p, 2 * d] = along_u * derivatives[p, 0] + along_v * derivatives[p, 2]
            out[p, 2 * d + 1] = along_u * derivatives[p, 1] + along_v * derivatives[p, 3]


@numba.njit(cache=True, nogil=True)
@no_type_check
def differentiate_backward(
    grad_out, attributes, channels, rast, faces, derivatives, grad_attributes, grad_derivatives
):
    """Add to grad_attributes (v, c) and write grad_derivatives (pixels, 4)."""
    for p in range(len(rast)):
        grad_derivatives[p, :] = 0
        f = int(rast[p, 3]) - 1
        if f < 0:
            continue
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        for d in range(len(channels)):
            gx, gy = grad_out[p, 2 * d], grad_out[p, 2 * d + 1]
            if gx == 0 and gy == 0:
                continue
            c = channels[d]
            along_u = attributes[i, c] - attributes[k, c]
            along_v = attributes[j, c] - attributes[k, c]
            grad_derivatives[p, 0] += gx * along_u
            grad_derivatives[p, 1] += gy * along_u
            grad_derivatives[p, 2] += gx * along_v
            grad_derivatives[p, 3] += gy * along_v
            grad_u = gx * derivatives[p, 0] + gy * derivatives[p, 1]
            grad_v = gx * derivatives[p, 2] + gy * derivatives[p, 3]
            grad_attributes[i, c] += grad_u
            grad_attributes[j, c] += grad_v
            grad_attributes[k, c] -= grad_u + grad_v
