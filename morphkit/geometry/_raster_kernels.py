"""The inner loops of the z-buffer: homogeneous rasterization without clipping (Olano & Greer 1997).

For a pixel centre P = (X, Y, 1) and triangle corners p_i = (x_i, y_i, w_i), the edge values
E_0 = det[P, p_1, p_2], E_1 = det[p_0, P, p_2], E_2 = det[p_0, p_1, P] are the perspective-correct
barycentrics up to a factor. P is covered when all three have the sign of D = det[p_0, p_1, p_2]; that is
right for triangles that cross w = 0 too, so no polygon is ever clipped: near and far planes are tested per
pixel. Depth is z / w = (E_0 z_0 + E_1 z_1 + E_2 z_2) / D, linear in X and Y.

The terms of a shared edge's cross product only change sign when the edge is walked the other way, so both
neighbours see the same number, and no pixel is lost or claimed twice.

A pixel keeps the least (depth, face index), in whatever order faces come. So the side of a surface that is
nearer on the whole is drawn first, and most of the other is found hidden before it is set up.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numba
import numpy as np

from morphkit.geometry._vector_kernels import cross

_LEAST = 2.2250738585072014e-308  # the smallest normal number: as a threshold, "more than zero"
_BLOCK_SHIFT = 3  # hidden faces are sought in blocks of 8 x 8 pixels
_DEPTH_MARGIN = 1e-6  # far above what rounding does to a depth
_WIDE = 3  # pixels; a wider box is narrowed row by row
_NO_LINES = (0.0,) * 14
_SLACK = 1e-6  # pixels, above rounding: coverage is decided by the edge values alone


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def project_vertices(vertices, height, width, pixels):
    """Write (column, row, z/w), pixel centres at integers, of (v, 4) clip vertices; NaN where w <= 0."""
    for i in range(vertices.shape[0]):
        w = np.float64(vertices[i, 3])
        if w > 0.0:
            pixels[i, 0] = (vertices[i, 0] / w + 1.0) * (0.5 * width) - 0.5
            pixels[i, 1] = (vertices[i, 1] / w + 1.0) * (0.5 * height) - 0.5
            pixels[i, 2] = vertices[i, 2] / w
        else:
            pixels[i, :] = np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _crossing_bounds(vertices, pixels, faces, face, axis, size):
    """Return the extent along one axis of the part of a triangle with w > 0: it reaches to infinity."""
    low, high = np.inf, -np.inf
    for a in range(3):
        i, j = faces[face, a], faces[face, (a + 1) % 3]
        wi, wj = vertices[i, 3], vertices[j, 3]
        if wi > 0.0:
            low, high = min(low, pixels[i, axis]), max(high, pixels[i, axis])
        if (wi > 0.0) != (wj > 0.0):
            # The edge runs off to infinity in the direction of its point at w = 0.
            direction = (vertices[i, axis] * wj - vertices[j, axis] * wi) * (1.0 if wj > wi else -1.0)
            if direction > 0.0:
                high = np.inf
            elif direction < 0.0:
                low = -np.inf
    return max(low, -1.0), min(high, size + 0.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def bound_faces(vertices, pixels, faces, height, width, begin, end, shift, boxes, counts, depths):
    """Find which pixels the faces begin..end can cover.

    Writes `boxes` (f, 4): first and last column, first and last row, the last row -1 where no pixel's centre
    is in the box. The first column is -1 - column of a face that turns clockwise. Adds to `counts` how many
    faces each band of 2^shift rows sees, and to `depths` (2, 2) the sum of depths and the number of faces of
    either side.
    """
    # Pixels are single: the tolerance widens boxes by more than their rounding, never coverage.
    tolerance = 1e-6 * max(height, width, 1024)
    last_column, last_row = width - 1.0, height - 1.0
    for f in range(begin, end):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        xa, xb, xc = pixels[a, 0], pixels[b, 0], pixels[c, 0]
        ya, yb, yc = pixels[a, 1], pixels[b, 1], pixels[c, 1]
        boxes[f, 3] = -1
        clockwise = False
        if abs(xa + xb + xc + ya + yb + yc) < np.inf:
            clockwise = (xb - xa) * (yc - ya) < (xc - xa) * (yb - ya)
            x0, x1, y0, y1 = min(xa, xb, xc), max(xa, xb, xc), min(ya, yb, yc), max(ya, yb, yc)
        elif vertices[a, 3] > 0.0 or vertices[b, 3] > 0.0 or vertices[c, 3] > 0.0:
            x0, x1 = _crossing_bounds(vertices, pixels, faces, f, 0, width)
            y0, y1 = _crossing_bounds(vertices, pixels, faces, f, 1, height)
        else:
            continue
        x0, y0 = max(x0 - tolerance, 0.0), max(y0 - tolerance, 0.0)
        x1, y1 = min(x1 + tolerance, last_column), min(y1 + tolerance, last_row)
        # Non-finite corners fail here, and the face stays unseen.
        if not (x0 <= x1 and y0 <= y1):
            continue
        left, right, top, bottom = int(np.ceil(x0)), int(x1), int(np.ceil(y0)), int(y1)
        if left > right or top > bottom:
            continue
        boxes[f, 0] = -1 - left if clockwise else left
        boxes[f, 1], boxes[f, 2], boxes[f, 3] = right, top, bottom
        for band in range(top >> shift, (bottom >> shift) + 1):
            counts[band] += 1
        if not np.isnan(pixels[a, 2]):
            depths[int(clockwise), 0] += pixels[a, 2]
            depths[int(clockwise), 1] += 1.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def fill_bands(shift, boxes, begin, end, cursor, items):
    """Write the faces of begin..end that have a box into `items`, by band, from `cursor` on.

    As with the boxes, clockwise ones are written as -1 - face.
    """
    for f in range(begin, end):
        if boxes[f, 3] < 0:
            continue
        for band in range(boxes[f, 2] >> shift, (boxes[f, 3] >> shift) + 1):
            items[cursor[band]] = -1 - f if boxes[f, 0] < 0 else f
            cursor[band] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def draw_bands(
    shift,
    vertices,
    pixels,
    faces,
    first_face,
    boxes,
    items,
    starts,
    ends,
    clockwise_first,
    first_band,
    step,
    xs,
    ys,
    rast,
):
    """Rasterize every `step`-th band of rows into rast (h, w, 4): (u, v, z/w, face index + 1), or zeros.

    `starts` and `ends` (bands,) say where in `items` the faces of a band lie; they are numbered from
    `first_face` on.
    """
    farthest = np.empty(((1 << shift) >> _BLOCK_SHIFT, (rast.shape[1] >> _BLOCK_SHIFT) + 1), rast.dtype)
    for band in range(first_band, len(starts), step):
        first_row, last_row = band << shift, min((band + 1) << shift, rast.shape[0]) - 1
        rast[first_row : last_row + 1] = 0.0
        for second_side in (False, True):
            if second_side:
                _find_farthest(rast, first_row, last_row, farthest)
            clockwise = clockwise_first != second_side
            for n in range(starts[band], ends[band]):
                if (items[n] < 0) != clockwise:
                    continue
                f = -1 - items[n] if clockwise else items[n]
                x0, x1 = -1 - boxes[f, 0] if clockwise else boxes[f, 0], boxes[f, 1]
                y0, y1 = max(boxes[f, 2], first_row), min(boxes[f, 3], last_row)
                rows = y0 - first_row, y1 - first_row
                if second_side and _is_hidden(pixels, faces, f, farthest, x0, x1, *rows):
                    continue
                _draw_face(vertices, faces, f, first_face, x0, x1, y0, y1, xs, ys, rast)


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _find_farthest(rast, first_row, last_row, farthest):
    """Write the greatest depth of each block of pixels of a band; beyond all where one is empty."""
    farthest[:] = -2.0
    for row in range(first_row, last_row + 1):
        block = (row - first_row) >> _BLOCK_SHIFT
        for column in range(rast.shape[1]):
            depth = rast[row, column, 2] if rast[row, column, 3] > 0.0 else 2.0
            if depth > farthest[block, column >> _BLOCK_SHIFT]:
                farthest[block, column >> _BLOCK_SHIFT] = depth


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _is_hidden(pixels, faces, f, farthest, x0, x1, y0, y1):
    """Return whether a face lies behind all that its blocks of pixels show already."""
    a, b, c = pixels[faces[f, 0], 2], pixels[faces[f, 1], 2], pixels[faces[f, 2], 2]
    if np.isnan(a + b + c):
        return False  # it reaches behind the camera: its corners in front say nothing of how near it comes
    depth = min(a, b, c) - _DEPTH_MARGIN
    for row in range(y0 >> _BLOCK_SHIFT, (y1 >> _BLOCK_SHIFT) + 1):
        for column in range(x0 >> _BLOCK_SHIFT, (x1 >> _BLOCK_SHIFT) + 1):
            if not depth > farthest[row, column]:
                return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def corner(vertices, index):
    """Return (x, y, w) in double precision."""
    return np.float64(vertices[index, 0]), np.float64(vertices[index, 1]), np.float64(vertices[index, 3])


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _threshold(a, b, c):
    """Return from which value on a pixel is this side's: exactly one side owns the edge itself."""
    # Without short cuts: a branch here is mispredicted every other time.
    owns = (a > 0.0) | ((a == 0.0) & ((b > 0.0) | ((b == 0.0) & (c > 0.0))))
    return 0.0 if owns else _LEAST


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
@no_type_check
def _crossing(a, b, c, width):
    """Return slope and offset of the column, pixel centres at integers, where a X + b Y + c is zero."""
    scale = -0.5 * width / a
    return scale * b, scale * c + 0.5 * width - 0.5


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
@no_type_check
def _bound(bounds, slope, offset, otherwise):
    return (slope if bounds else 0.0), (offset if bounds else otherwise + 0.0)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
@no_type_check
def _columns(lines, y):
    """Return the first and last column of a row that a triangle can cover."""
    left = max(max(lines[0] * y + lines[1], lines[2] * y + lines[3]), max(lines[4] * y + lines[5], lines[12]))
    right = min(
        min(lines[6] * y + lines[7], lines[8] * y + lines[9]), min(lines[10] * y + lines[11], lines[13])
    )
    return int(np.ceil(min(left, lines[13] + 1.0))), int(np.floor(max(right, lines[12] - 1.0)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _draw_face(vertices, faces, f, first_face, x0, x1, y0, y1, xs, ys, rast):
    """Draw one triangle where it is nearer than what is there, or as near with a lower face index."""
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    p, q, r = corner(vertices, i), corner(vertices, j), corner(vertices, k)
    a0, b0, c0 = cross(q, r)
    a1, b1, c1 = cross(r, p)
    a2, b2, c2 = cross(p, q)
    determinant = a0 * p[0] + b0 * p[1] + c0 * p[2]
    if not (determinant != 0.0 and abs(determinant) < np.inf):
        return
    sign = math.copysign(1.0, determinant)
    a0, b0, c0, a1, b1, c1, a2, b2, c2 = (
        sign * a0,
        sign * b0,
        sign * c0,
        sign * a1,
        sign * b1,
        sign * c1,
        sign * a2,
        sign * b2,
        sign * c2,
    )
    t0, t1, t2 = _threshold(a0, b0, c0), _threshold(a1, b1, c1), _threshold(a2, b2, c2)
    inverse = 1.0 / abs(determinant)
    zp, zq, zr = vertices[i, 2] * inverse, vertices[j, 2] * inverse, vertices[k, 2] * inverse
    az, bz, cz = a0 * zp + a1 * zq + a2 * zr, b0 * zp + b1 * zq + b2 * zr, c0 * zp + c1 * zq + c2 * zr
    own_number = rast.dtype.type(first_face + f + 1)
    narrow = x1 - x0 >= _WIDE
    lines = _NO_LINES
    if narrow:
        lines = _column_bounds(a0, b0, c0, a1, b1, c1, a2, b2, c2, x0, x1, rast.shape[1])
    for row in range(y0, y1 + 1):
        y = ys[row]
        first, last = x0, x1
        if narrow:
            first, last = _columns(lines, y)
        d0, d1, d2, dz = b0 * y + c0, b1 * y + c1, b2 * y + c2, bz * y + cz
        for column in range(first, last + 1):
            x = xs[column]
            e0, e1, e2 = a0 * x + d0, a1 * x + d1, a2 * x + d2
            if e0 >= t0 and e1 >= t1 and e2 >= t2:
                z = rast.dtype.type(az * x + dz)
                number, depth = rast[row, column, 3], rast[row, column, 2]
                nearer = number == 0.0 or z < depth or (z == depth and own_number < number)
                if nearer and -1.0 <= z <= 1.0:
                    scale = 1.0 / (e0 + e1 + e2)
                    rast[row, column, 0] = e0 * scale
                    rast[row, column, 1] = e1 * scale
                    rast[row, column, 2] = z
                    rast[row, column, 3] = own_number


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _column_bounds(a0, b0, c0, a1, b1, c1, a2, b2, c2, x0, x1, width):
    """Return slope and offset of the lines that bound a triangle's columns, three from each side."""
    slope0, offset0 = _crossing(a0, b0, c0, width)
    slope1, offset1 = _crossing(a1, b1, c1, width)
    slope2, offset2 = _crossing(a2, b2, c2, width)
    return (
        *_bound(a0 > 0.0, slope0, offset0 - _SLACK, x0),
        *_bound(a1 > 0.0, slope1, offset1 - _SLACK, x0),
        *_bound(a2 > 0.0, slope2, offset2 - _SLACK, x0),
        *_bound(a0 < 0.0, slope0, offset0 + _SLACK, x1),
        *_bound(a1 < 0.0, slope1, offset1 + _SLACK, x1),
        *_bound(a2 < 0.0, slope2, offset2 + _SLACK, x1),
        np.float64(x0),
        np.float64(x1),
    )
