"""What rasterization passes back, and its derivatives by the pixel coordinates; a call does some rows.

P is a pixel centre in homogeneous NDC, (X, Y, 1); a corner enters as (x, y, w). With n_0 = q x r,
n_1 = r x p, n_2 = p x q and N = n_0 + n_1 + n_2, u = n_0 · P / N · P and v = n_1 · P / N · P.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from morphkit.geometry._raster_kernels import corner
from morphkit.geometry._vector_kernels import cross, dot


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _centre(row, column, height, width):
    return (2 * column + 1) / width - 1.0, (2 * row + 1) / height - 1.0, 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _weights(corners, centre):
    """Return n_0, n_1, N, N · P, u and v."""
    p, q, r = corners
    n0, n1, n2 = cross(q, r), cross(r, p), cross(p, q)
    total = n0[0] + n1[0] + n2[0], n0[1] + n1[1] + n2[1], n0[2] + n1[2] + n2[2]
    scale = dot(total, centre)
    return n0, n1, total, scale, dot(n0, centre) / scale, dot(n1, centre) / scale


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def differentiate_forward(vertices, faces, first_face, rast, first_row, last_row, out):
    """Write (du/dX, du/dY, dv/dX, dv/dY) of some rows, X and Y in pixels; zeros where empty."""
    height, width = rast.shape[:2]
    across, down = 2.0 / width, 2.0 / height
    for row in range(first_row, last_row):
        for column in range(width):
            f = int(rast[row, column, 3]) - 1 - first_face
            if f < 0:
                out[row, column, :] = 0.0
                continue
            corners = _corners(vertices, faces, f)
            n0, n1, total, scale, u, v = _weights(corners, _centre(row, column, height, width))
            out[row, column, 0] = (n0[0] - u * total[0]) * (across / scale)
            out[row, column, 1] = (n0[1] - u * total[1]) * (down / scale)
            out[row, column, 2] = (n1[0] - v * total[0]) * (across / scale)
            out[row, column, 3] = (n1[1] - v * total[1]) * (down / scale)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _corners(vertices, faces, f):
    return corner(vertices, faces[f, 0]), corner(vertices, faces[f, 1]), corner(vertices, faces[f, 2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def rasterize_backward(grad_rast, vertices, faces, first_face, rast, first_row, last_row, grad_vertices):
    """Add to grad_vertices (v, 4) what u and v of some rows pass back."""
    height, width = rast.shape[:2]
    for row in range(first_row, last_row):
        for column in range(width):
            f = int(rast[row, column, 3]) - 1 - first_face
            du, dv = np.float64(grad_rast[row, column, 0]), np.float64(grad_rast[row, column, 1])
            if f < 0 or (du == 0.0 and dv == 0.0):
                continue
            corners, centre = _corners(vertices, faces, f), _centre(row, column, height, width)
            _, _, _, scale, u, v = _weights(corners, centre)
            du, dv = du / scale, dv / scale
            ds = -(u * du + v * dv)
            g0, g1, g2 = _scaled(centre, du + ds), _scaled(centre, dv + ds), _scaled(centre, ds)
            _add_to_corners(g0, g1, g2, corners, faces, f, grad_vertices)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def differentiate_backward(grad_out, vertices, faces, first_face, rast, first_row, last_row, grad_vertices):
    """Add to grad_vertices (v, 4) what the derivatives of some rows pass back."""
    height, width = rast.shape[:2]
    across, down = 2.0 / width, 2.0 / height
    for row in range(first_row, last_row):
        for column in range(width):
            f = int(rast[row, column, 3]) - 1 - first_face
            if f < 0:
                continue
            corners, centre = _corners(vertices, faces, f), _centre(row, column, height, width)
            n0, n1, total, scale, u, v = _weights(corners, centre)
            ux, uy = grad_out[row, column, 0] * across / scale, grad_out[row, column, 1] * down / scale
            vx, vy = grad_out[row, column, 2] * across / scale, grad_out[row, column, 3] * down / scale
            value = (
                ux * (n0[0] - u * total[0])
                + uy * (n0[1] - u * total[1])
                + vx * (n1[0] - v * total[0])
                + vy * (n1[1] - v * total[1])
            )
            du, dv = -(ux * total[0] + uy * total[1]) / scale, -(vx * total[0] + vy * total[1]) / scale
            ds = -value / scale - (u * du + v * dv)
            shared = ds * centre[0] - (u * ux + v * vx), ds * centre[1] - (u * uy + v * vy), ds
            g0 = shared[0] + du * centre[0] + ux, shared[1] + du * centre[1] + uy, shared[2] + du
            g1 = shared[0] + dv * centre[0] + vx, shared[1] + dv * centre[1] + vy, shared[2] + dv
            _add_to_corners(g0, g1, shared, corners, faces, f, grad_vertices)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _scaled(a, factor):
    return factor * a[0], factor * a[1], factor * a[2]


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _add_to_corners(g0, g1, g2, corners, faces, f, grad_vertices):
    """Carry gradients of n_0 = q x r, n_1 = r x p and n_2 = p x q to the corners."""
    p, q, r = corners
    _add(grad_vertices, faces[f, 0], cross(g1, r), cross(q, g2))
    _add(grad_vertices, faces[f, 1], cross(g2, p), cross(r, g0))
    _add(grad_vertices, faces[f, 2], cross(g0, q), cross(p, g1))


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _add(grad_vertices, index, a, b):
    grad_vertices[index, 0] += a[0] + b[0]
    grad_vertices[index, 1] += a[1] + b[1]
    grad_vertices[index, 3] += a[2] + b[2]
