"""The loops that cut a crop out of a photo, in linear light."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def block_means(photo, decode, left, top, block, out):
    """Write the mean light of blocks of `block`² pixels from (left, top) on, the border repeated."""
    height, width = photo.shape[:2]
    share = np.float32(1.0) / np.float32(block * block)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            red = green = blue = np.float32(0.0)
            for dy in range(block):
                y = min(top + row * block + dy, height - 1)
                for dx in range(block):
                    x = min(left + column * block + dx, width - 1)
                    red += decode[photo[y, x, 0]]
                    green += decode[photo[y, x, 1]]
                    blue += decode[photo[y, x, 2]]
            out[row, column, 0] = red * share
            out[row, column, 1] = green * share
            out[row, column, 2] = blue * share


@numba.njit(cache=True, nogil=True)
@no_type_check
def sample_means(light, inverse, fineness, out):
    """Write, for each pixel, the mean of `fineness`² bilinear samples; `inverse` leads to `light`."""
    height, width = light.shape[:2]
    step = 1.0 / fineness
    share = np.float32(step * step)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            red = green = blue = np.float32(0.0)
            for i in range(fineness):
                v = row + (i + 0.5) * step
                for j in range(fineness):
                    u = column + (j + 0.5) * step
                    x = inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2] - 0.5
                    y = inverse[1, 0] * u + inverse[1, 1] * v + inverse[1, 2] - 0.5
                    x = min(max(x, 0.0), width - 1.0)
                    y = min(max(y, 0.0), height - 1.0)
                    x0, y0 = int(x), int(y)
                    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
                    p, q = np.float32(x - x0), np.float32(y - y0)
                    a = (np.float32(1.0) - p) * (np.float32(1.0) - q)
                    b = p * (np.float32(1.0) - q)
                    c = (np.float32(1.0) - p) * q
                    d = p * q
                    red += (
                        a * light[y0, x0, 0]
                        + b * light[y0, x1, 0]
                        + c * light[y1, x0, 0]
                        + d * light[y1, x1, 0]
                    )
                    green += (
                        a * light[y0, x0, 1]
                        + b * light[y0, x1, 1]
                        + c * light[y1, x0, 1]
                        + d * light[y1, x1, 1]
                    )
                    blue += (
                        a * light[y0, x0, 2]
                        + b * light[y0, x1, 2]
                        + c * light[y1, x0, 2]
                        + d * light[y1, x1, 2]
                    )
            out[row, column, 0] = red * share
            out[row, column, 1] = green * share
            out[row, column, 2] = blue * share
