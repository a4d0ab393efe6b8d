"""The loops of texture sampling on a CPU, over a run of pixels and one mip level at a time.

A pixel at level 2.3 shows 0.7 of level 2 and 0.3 of level 3; without mip-mapping every pixel is at level 0.
"""

from __future__ import annotations

from math import floor, log, log2, sqrt
from typing import no_type_check

import numba
import numpy as np

WRAP, CLAMP, ZERO = 0, 1, 2


@numba.njit(cache=True, nogil=True)
@no_type_check
def _fold(texel, size, boundary):
    """Return an index inside the texture, and 1 if it counts or 0 if it doesn't."""
    if 0 <= texel < size:
        return texel, 1.0
    if boundary == WRAP:
        return (texel + size if texel < 0 else texel - size), 1.0
    inside = 0.0 if boundary == ZERO else 1.0
    return (0 if texel < 0 else size - 1), inside


@numba.njit(cache=True, nogil=True)
@no_type_check
def _taps(coordinate, size, nearest, boundary):
    """Return the two texels along one axis that a coordinate falls between, their weights and their slopes.

    A slope is what a weight gains per unit of the coordinate. What is no number weighs nothing.
    """
    if boundary == WRAP:
        coordinate -= np.floor(coordinate)
    if not -1.0 <= coordinate <= 2.0:
        if np.isnan(coordinate):
            return 0, 0, 0.0, 0.0, 0.0, 0.0
        coordinate = -1.0 if coordinate < 0 else 2.0  # no farther: nothing changes, no integer overflows
    if nearest:
        texel, inside = _fold(floor(coordinate * size), size, boundary)
        return texel, texel, inside, 0.0, 0.0, 0.0
    place = coordinate * size - 0.5
    first = floor(place)
    share = place - first
    if 0 <= first < size - 1:  # nearly always: the short way is the faster one
        return first, first + 1, 1 - share, share, -float(size), float(size)
    left, left_inside = _fold(first, size, boundary)
    right, right_inside = _fold(first + 1, size, boundary)
    return (
        left,
        right,
        (1 - share) * left_inside,
        share * right_inside,
        -size * left_inside,
        size * right_inside,
    )


@numba.njit(cache=True, nogil=True)
@no_type_check
def _any(values):
    found = False
    for value in values:
        found |= value != 0
    return found


@numba.njit(cache=True, nogil=True)
@no_type_check
def sample_forward(texture, uv, level, index, nearest, boundary, out):
    """Add to out (pixels, c) what the pixels show of mip level `index`, the texture (th, tw, c)."""
    for p in range(len(uv)):
        above = level[p] - index
        if not -1 < above < 1:
            continue
        share = 1 - abs(above)
        i0, i1, a0, a1, _, _ = _taps(uv[p, 0], texture.shape[1], nearest, boundary)
        j0, j1, b0, b1, _, _ = _taps(uv[p, 1], texture.shape[0], nearest, boundary)
        b0 *= share
        b1 *= share
        for c in range(texture.shape[2]):
            top = a0 * texture[j0, i0, c] + a1 * texture[j0, i1, c]
            bottom = a0 * texture[j1, i0, c] + a1 * texture[j1, i1, c]
            out[p, c] += b0 * top + b1 * bottom


@numba.njit(cache=True, nogil=True)
@no_type_check
def sample_backward_place(grad_out, texture, uv, level, index, last, boundary, grad_uv, grad_level):
    """Add to grad_uv (pixels, 2) and grad_level (pixels,) what comes through mip level `index`.

    At a whole level the next one's share is about to grow; beyond the `last` there is none.
    """
    for p in range(len(uv)):
        above = level[p] - index
        if not -1 <= above < 1 or not _any(grad_out[p]):
            continue
        share = 1 - abs(above)
        growth = -1.0 if above >= 0 else 1.0
        if index == last and above >= 0:
            growth = 0.0
        i0, i1, a0, a1, da0, da1 = _taps(uv[p, 0], texture.shape[1], False, boundary)
        j0, j1, b0, b1, db0, db1 = _taps(uv[p, 1], texture.shape[0], False, boundary)
        by_u = by_v = by_level = 0.0
        for c in range(texture.shape[2]):
            g = grad_out[p, c]
            t00, t01 = texture[j0, i0, c], texture[j0, i1, c]
            t10, t11 = texture[j1, i0, c], texture[j1, i1, c]
            top, bottom = a0 * t00 + a1 * t01, a0 * t10 + a1 * t11
            by_u += g * (b0 * (da0 * t00 + da1 * t01) + b1 * (da0 * t10 + da1 * t11))
            by_v += g * (db0 * top + db1 * bottom)
            by_level += g * (b0 * top + b1 * bottom)
        grad_uv[p, 0] += share * by_u
        grad_uv[p, 1] += share * by_v
        grad_level[p] += growth * by_level


@numba.njit(cache=True, nogil=True)
@no_type_check
def sample_backward_texels(grad_out, uv, level, index, nearest, boundary, first_row, last_row, grad_texture):
    """Add to some rows of grad_texture (th, tw, c) what all pixels that show them ask for.

    Whoever owns a row adds to it in the order of the pixels, so the sum doesn't depend on who owns it.
    """
    th, tw, channels = grad_texture.shape
    for p in range(len(uv)):
        above = level[p] - index
        if not -1 < above < 1 or not _any(grad_out[p]):
            continue
        j0, j1, b0, b1, _, _ = _taps(uv[p, 1], th, nearest, boundary)
        b0 = b0 * (1 - abs(above)) if first_row <= j0 < last_row else 0.0
        b1 = b1 * (1 - abs(above)) if first_row <= j1 < last_row else 0.0
        if b0 == 0 and b1 == 0:
            continue
        i0, i1, a0, a1, _, _ = _taps(uv[p, 0], tw, nearest, boundary)
        for c in range(channels):
            g = grad_out[p, c]
            if b0 != 0:
                grad_texture[j0, i0, c] += g * b0 * a0
                grad_texture[j0, i1, c] += g * b0 * a1
            if b1 != 0:
                grad_texture[j1, i0, c] += g * b1 * a0
                grad_texture[j1, i1, c] += g * b1 * a1


@numba.njit(cache=True, nogil=True)
@no_type_check
def footprint_forward(derivatives, width, height, out):
    """Write log2 of the larger singular value of [[du/dX, du/dY] width, [dv/dX, dv/dY] height]."""
    for p in range(len(derivatives)):
        a, b = derivatives[p, 0] * width, derivatives[p, 1] * width
        c, d = derivatives[p, 2] * height, derivatives[p, 3] * height
        axis = (sqrt((a + d) ** 2 + (b - c) ** 2) + sqrt((a - d) ** 2 + (b + c) ** 2)) / 2
        out[p] = log2(axis) if axis != 0 else -np.inf


@numba.njit(cache=True, nogil=True)
@no_type_check
def footprint_backward(grad_out, derivatives, width, height, grad_derivatives):
    """Write the gradient of `footprint_forward`: zero where the footprint is a point."""
    for p in range(len(derivatives)):
        grad_derivatives[p, :] = 0
        if grad_out[p] == 0:
            continue
        a, b = derivatives[p, 0] * width, derivatives[p, 1] * width
        c, d = derivatives[p, 2] * height, derivatives[p, 3] * height
        turning = sqrt((a + d) ** 2 + (b - c) ** 2)
        mirroring = sqrt((a - d) ** 2 + (b + c) ** 2)
        if turning + mirroring == 0:
            continue
        g = grad_out[p] / (log(2.0) * (turning + mirroring))  # d log2(x / 2) = dx / (x ln 2)
        g_turning = g / turning if turning > 0 else 0.0
        g_mirroring = g / mirroring if mirroring > 0 else 0.0
        grad_derivatives[p, 0] = width * (g_turning * (a + d) + g_mirroring * (a - d))
        grad_derivatives[p, 1] = width * (g_turning * (b - c) + g_mirroring * (b + c))
        grad_derivatives[p, 2] = height * (g_mirroring * (b + c) - g_turning * (b - c))
        grad_derivatives[p, 3] = height * (g_turning * (a + d) - g_mirroring * (a - d))
