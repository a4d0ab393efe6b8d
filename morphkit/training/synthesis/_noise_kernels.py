"""Value noise at any coordinates: smooth between the random values of a lattice."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def fractal_noise(x, y, seed, octaves, gain, out):
    """Write the sum of `octaves` of value noise at points to out (n,): each twice as fine, `gain` as strong.

    Values are uniform at the lattice points (whole numbers), of mean 0 and standard deviation 1 there.
    """
    for i in range(len(x)):
        total, size, scale = 0.0, 1.0, 1.0
        for octave in range(octaves):
            total += size * _value(x[i] * scale, y[i] * scale, seed + np.uint32(octave * 7919))
            size *= gain
            scale *= 2.0
        out[i] = total


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _value(x, y, seed):
    column, row = np.floor(x), np.floor(y)
    across, down = x - column, y - row
    across = across * across * (3.0 - 2.0 * across)
    down = down * down * (3.0 - 2.0 * down)
    i, j = np.int64(column), np.int64(row)
    top = _lattice(i, j, seed) * (1.0 - across) + _lattice(i + 1, j, seed) * across
    bottom = _lattice(i, j + 1, seed) * (1.0 - across) + _lattice(i + 1, j + 1, seed) * across
    return top * (1.0 - down) + bottom * down


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _lattice(i, j, seed):
    """Return the value of a lattice point, -sqrt(3)..sqrt(3), by mixing its bits."""
    h = np.uint32(i) * np.uint32(0x9E3779B1) ^ np.uint32(j) * np.uint32(0x85EBCA77) ^ np.uint32(seed)
    h = np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = np.uint32(h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h = np.uint32(h ^ (h >> np.uint32(15)))
    return (np.float64(h) / 4294967296.0 - 0.5) * 3.4641016151377544
