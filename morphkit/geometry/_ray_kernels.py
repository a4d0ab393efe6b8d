"""Compiled kernels of short rays against triangles, on a grid of cells about as wide as the rays are long."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def fill_grid(low, high, shape):
    """Sort triangles into the cells that their boxes touch.

    `low` and `high` are (f, 3) first and last cells of each triangle. Returns each cell's first position in
    the list of triangles (cells + 1), and the list.
    """
    starts = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for filling in range(2):
        if filling:
            triangles = np.empty(starts[-1], np.int32)
        for k in range(len(low)):
            for x in range(low[k, 0], high[k, 0] + 1):
                for y in range(low[k, 1], high[k, 1] + 1):
                    for z in range(low[k, 2], high[k, 2] + 1):
                        cell = (x * shape[1] + y) * shape[2] + z
                        if filling:
                            starts[cell] -= 1
                            triangles[starts[cell]] = k
                        else:
                            starts[cell] += 1
        if not filling:
            starts[:] = np.cumsum(starts)
    return starts, triangles


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _crossing(p, n, corner):
    """Return where the line p + t n cuts a triangle's plane: t, two weights, and the cosine of the normals.

    Möller & Trumbore, Fast minimum storage ray-triangle intersection, 1997. The cosine is 0 for no triangle.
    """
    ax, ay, az = corner[3] - corner[0], corner[4] - corner[1], corner[5] - corner[2]
    bx, by, bz = corner[6] - corner[0], corner[7] - corner[1], corner[8] - corner[2]
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    area = np.sqrt(cx * cx + cy * cy + cz * cz)
    along = n[0] * cx + n[1] * cy + n[2] * cz
    if abs(along) <= 1e-12 * area or area == 0.0:
        return 0.0, -1.0, -1.0, 0.0
    sx, sy, sz = corner[0] - p[0], corner[1] - p[1], corner[2] - p[2]
    t = (sx * cx + sy * cy + sz * cz) / along
    qx, qy, qz = sy * n[2] - sz * n[1], sz * n[0] - sx * n[2], sx * n[1] - sy * n[0]
    u = (qx * bx + qy * by + qz * bz) / along
    v = -(qx * ax + qy * ay + qz * az) / along
    return t, u, v, along / area


@numba.njit(cache=True, nogil=True)
@no_type_check
def cast(points, normals, reach, min_cosine, corners, origin, cell, shape, starts, triangles, hit, weights):
    """Write for each point the triangle its normal meets, or -1, and two barycentric weights.

    The nearest triangle within `reach` on either side that faces the same way is taken, unless one that faces
    the other way lies outside, or between.
    """
    slack = 1e-9
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for i in range(len(points)):
        p, n = points[i], normals[i]
        for d in range(3):
            span = abs(n[d]) * reach
            low[d] = max(0, np.int64(np.floor((p[d] - span - origin[d]) / cell)))
            high[d] = min(shape[d] - 1, np.int64(np.floor((p[d] + span - origin[d]) / cell)))
        best, inside, blocked = np.inf, -np.inf, False
        hit[i] = -1
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                for z in range(low[2], high[2] + 1):
                    c = (x * shape[1] + y) * shape[2] + z
                    for k in triangles[starts[c] : starts[c + 1]]:
                        t, u, v, cosine = _crossing(p, n, corners[k])
                        if u < -slack or v < -slack or u + v > 1.0 + slack or abs(t) > reach:
                            continue
                        if cosine < 0.0:
                            blocked = blocked or t >= 0.0
                            inside = max(inside, t)
                        elif cosine >= min_cosine and abs(t) < abs(best):
                            best, hit[i] = t, k
                            weights[i, 0], weights[i, 1] = u, v
        if blocked or best < inside:
            hit[i] = -1
