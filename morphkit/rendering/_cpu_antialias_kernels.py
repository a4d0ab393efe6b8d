"""The search for silhouettes between pixels, on a CPU.

P is a pixel centre in homogeneous NDC, (X, Y, 1); a corner enters as (x, y, w).
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from morphkit.geometry._raster_kernels import corner
from morphkit.geometry._vector_kernels import cross, dot


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def find_crossings(vertices, faces, neighbours, rast, first_row, last_row, steps, crossings):
    """List the silhouette edges between neighbouring pixels of some rows; return their number.

    Each pixel is paired with the next in its row and with the one in the next row. A crossing is written as
    (pixel of the nearer surface, other pixel, edge's first vertex, second vertex); pixels count row by row.
    """
    height, width = rast.shape[:2]
    count = 0
    for row in range(first_row, last_row):
        for column in range(width):
            here = row * width + column
            for axis in range(2):
                row2, column2 = row + axis, column + 1 - axis
                if row2 >= height or column2 >= width or rast[row, column, 3] == rast[row2, column2, 3]:
                    continue
                f, g = int(rast[row, column, 3]) - 1, int(rast[row2, column2, 3]) - 1
                near, far, there = here, row2 * width + column2, row2 * width + column2
                if f < 0 or (g >= 0 and rast[row2, column2, 2] < rast[row, column, 2]):
                    near, far, f, g = there, here, g, f
                p, q = _walk_to_silhouette(vertices, faces, neighbours, f, g, near, far, height, width, steps)
                if p >= 0:
                    crossings[count, 0], crossings[count, 1] = near, far
                    crossings[count, 2], crossings[count, 3] = p, q
                    count += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _walk_to_silhouette(vertices, faces, neighbours, face, goal, near, far, height, width, steps):
    """Walk on the surface from one pixel centre towards another; return the silhouette edge met or (-1, -1).

    An edge is a silhouette if it is open or if both its triangles lie on the same side of it in the picture.
    Each silhouette counts in one direction of pairs only, the one that it crosses more steeply.
    """
    a = ((2 * (near % width) + 1) / width - 1.0, (2 * (near // width) + 1) / height - 1.0, 1.0)
    b = ((2 * (far % width) + 1) / width - 1.0, (2 * (far // width) + 1) / height - 1.0, 1.0)
    entry = -1
    for _ in range(steps):
        exit_edge, sign = _exit_edge(vertices, faces, face, entry, a, b)
        if exit_edge < 0:
            break
        i, j = faces[face, (exit_edge + 1) % 3], faces[face, (exit_edge + 2) % 3]
        p, q = corner(vertices, i), corner(vertices, j)
        across = neighbours[face, exit_edge]
        if across >= 0:
            face, entry = across // 3, across % 3
            opposite = corner(vertices, faces[face, entry])
            if p[2] <= 0.0 or q[2] <= 0.0 or opposite[2] <= 0.0 or face == goal:
                break
            if not sign * dot(cross(p, q), opposite) > 0.0:
                continue
        dx, dy = abs(p[0] / p[2] - q[0] / q[2]) * width, abs(p[1] / p[2] - q[1] / q[2]) * height
        if (dy >= dx) == (near // width == far // width):
            return i, j
        break
    return -1, -1


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _exit_edge(vertices, faces, face, entry, a, b):
    """Return by which edge the segment from a to b leaves a triangle (-1: not at all), and its facing."""
    p = (
        corner(vertices, faces[face, 0]),
        corner(vertices, faces[face, 1]),
        corner(vertices, faces[face, 2]),
    )
    sign = np.sign(dot(cross(p[0], p[1]), p[2]))
    first, exit_edge = 1.0, -1
    for k in range(3):
        line = cross(p[(k + 1) % 3], p[(k + 2) % 3])
        at_a, at_b = sign * dot(line, a), sign * dot(line, b)
        if k != entry and at_b < at_a and at_a / (at_a - at_b) <= first:
            first, exit_edge = at_a / (at_a - at_b), k
    return exit_edge, sign


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def blend_forward(color, amount, target, source, out):
    """Add to out (pixels, c), a copy of color, what each target takes on of its source."""
    for i in range(len(amount)):
        share, to, of = color.dtype.type(amount[i]), target[i], source[i]
        for c in range(color.shape[1]):
            out[to, c] += share * (color[of, c] - color[to, c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def blend_backward(grad_out, color, amount, target, source, grad_color, grad_amount):
    """Add to grad_color, a copy of grad_out, what blending passes between pixels; write grad_amount (n,)."""
    for i in range(len(amount)):
        share, to, of = color.dtype.type(amount[i]), target[i], source[i]
        total = 0.0
        for c in range(color.shape[1]):
            g = grad_out[to, c]
            grad_color[of, c] += share * g
            grad_color[to, c] -= share * g
            total += np.float64(g) * (color[of, c] - color[to, c])
        grad_amount[i] = total
