"""The inner loops of the z-buffer: homogeneous rasterization without clipping (Olano & Greer 1997).

For a pixel centre P = (X, Y, 1) and triangle corners p_i = (x_i, y_i, w_i), the edge values
E_0 = det[P, p_1, p_2], E_1 = det[p_0, P, p_2], E_2 = det[p_0, p_1, P] are the perspective-correct
barycentrics up to a factor. P is covered when all three have the sign of det[p_0, p_1, p_2]; that is right
for triangles that cross w = 0 too, so no polygon is ever clipped: near and far planes are tested per pixel.

E of a shared edge is computed from products and one difference that only change sign when the edge is
walked the other way, so both neighbours see the same number and no pixel is lost or claimed twice.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

EDGE_TOLERANCE = 1e-6  # pixels; widens bounding boxes against rounding, never coverage


@numba.njit(cache=True, nogil=True)
@no_type_check
def project_vertices(vertices, height, width, pixels):
    """Write (column, row), pixel centres at integers, of (v, 4) clip vertices; NaN where w <= 0."""
    for i in range(vertices.shape[0]):
        w = vertices[i, 3]
        if w > 0.0:
            pixels[i, 0] = (vertices[i, 0] / w + 1.0) * (0.5 * width) - 0.5
            pixels[i, 1] = (vertices[i, 1] / w + 1.0) * (0.5 * height) - 0.5
        else:
            pixels[i, 0] = np.nan
            pixels[i, 1] = np.nan


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
@no_type_check
def bound_faces(vertices, pixels, faces, height, width, begin, end, bounds):
    """Write (first column, last column, first row, last row) of faces begin..end; last row -1 if none."""
    for f in range(begin, end):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        wa, wb, wc = vertices[a, 3], vertices[b, 3], vertices[c, 3]
        bounds[f, 2], bounds[f, 3] = 0, -1
        if wa > 0.0 and wb > 0.0 and wc > 0.0:
            x0 = min(pixels[a, 0], pixels[b, 0], pixels[c, 0])
            x1 = max(pixels[a, 0], pixels[b, 0], pixels[c, 0])
            y0 = min(pixels[a, 1], pixels[b, 1], pixels[c, 1])
            y1 = max(pixels[a, 1], pixels[b, 1], pixels[c, 1])
        elif wa > 0.0 or wb > 0.0 or wc > 0.0:
            x0, x1 = _crossing_bounds(vertices, pixels, faces, f, 0, width)
            y0, y1 = _crossing_bounds(vertices, pixels, faces, f, 1, height)
        else:
            continue
        # NaN and infinite coordinates fail here and the face stays unseen.
        if not (x1 >= 0.0 and y1 >= 0.0 and x0 < width and y0 < height):
            continue
        bounds[f, 0] = int(np.ceil(max(x0, 0.0) - EDGE_TOLERANCE))
        bounds[f, 1] = int(np.floor(min(x1, width - 1.0) + EDGE_TOLERANCE))
        first = int(np.ceil(max(y0, 0.0) - EDGE_TOLERANCE))
        last = int(np.floor(min(y1, height - 1.0) + EDGE_TOLERANCE))
        if bounds[f, 0] <= bounds[f, 1] and first <= last:
            bounds[f, 2], bounds[f, 3] = first, last


@numba.njit(cache=True, nogil=True)
@no_type_check
def edge_line(p, q):
    """Return A, B, C of A X + B Y + C = det[p, q, (X, Y, 1)]; swapping p and q flips signs, bit for bit."""
    return p[1] * q[3] - p[3] * q[1], p[3] * q[0] - p[0] * q[3], p[0] * q[1] - p[1] * q[0]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _owns_its_line(a, b, c):
    """Return whether a pixel centre exactly on the edge is this side's: exactly one side says yes."""
    return a > 0.0 or (a == 0.0 and (b > 0.0 or (b == 0.0 and c > 0.0)))


@numba.njit(cache=True, nogil=True)
@no_type_check
def _draw_face(p, q, r, f, x0, x1, y0, y1, first_row, xs, ys, depth, face_index):
    """Draw one triangle into a band's depth and ids; the nearer wins, on a tie the lower face index."""
    a0, b0, c0 = edge_line(q, r)
    a1, b1, c1 = edge_line(r, p)
    a2, b2, c2 = edge_line(p, q)
    determinant = a0 * p[0] + b0 * p[1] + c0 * p[3]
    if not (determinant != 0.0 and abs(determinant) < np.inf):
        return
    if determinant < 0.0:
        a0, b0, c0, a1, b1, c1, a2, b2, c2 = -a0, -b0, -c0, -a1, -b1, -c1, -a2, -b2, -c2
    own0, own1, own2 = _owns_its_line(a0, b0, c0), _owns_its_line(a1, b1, c1), _owns_its_line(a2, b2, c2)
    for row in range(y0, y1 + 1):
        y = ys[row]
        d0, d1, d2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
        for column in range(x0, x1 + 1):
            x = xs[column]
            e0, e1, e2 = a0 * x + d0, a1 * x + d1, a2 * x + d2
            if e0 < 0.0 or e1 < 0.0 or e2 < 0.0:
                continue
            if (e0 == 0.0 and not own0) or (e1 == 0.0 and not own1) or (e2 == 0.0 and not own2):
                continue
            w = e0 * p[3] + e1 * q[3] + e2 * r[3]
            z = e0 * p[2] + e1 * q[2] + e2 * r[2]
            if w > 0.0 and -w <= z <= w and z / w < depth[row - first_row, column]:
                depth[row - first_row, column] = z / w
                face_index[row, column] = f


@numba.njit(cache=True, nogil=True)
@no_type_check
def draw_rows(vertices, faces, bounds, first_row, last_row, face_index, rast):
    """Rasterize rows first_row..last_row (exclusive) into face_index (h, w) and rast (h, w, 4)."""
    height, width = face_index.shape
    xs, ys = (2 * np.arange(width) + 1) / width - 1.0, (2 * np.arange(height) + 1) / height - 1.0
    depth = np.full((last_row - first_row, width), np.inf)
    face_index[first_row:last_row] = -1
    for f in range(faces.shape[0]):
        y0, y1 = max(bounds[f, 2], first_row), min(bounds[f, 3], last_row - 1)
        if y0 <= y1:
            p, q, r = _clip(vertices, faces[f, 0]), _clip(vertices, faces[f, 1]), _clip(vertices, faces[f, 2])
            x0, x1 = bounds[f, 0], bounds[f, 1]
            _draw_face(p, q, r, f, x0, x1, y0, y1, first_row, xs, ys, depth, face_index)
    _resolve(vertices, faces, depth, first_row, last_row, face_index, rast)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _clip(vertices, index):
    return vertices[index, 0], vertices[index, 1], vertices[index, 2], vertices[index, 3]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _resolve(vertices, faces, depth, first_row, last_row, face_index, rast):
    """Write (u, v, z/w, face index + 1) of every pixel of a band from its ids; zeros where empty."""
    height, width = face_index.shape
    for row in range(first_row, last_row):
        y = (2 * row + 1) / height - 1.0
        for column in range(width):
            f = face_index[row, column]
            if f < 0:
                rast[row, column, :] = 0.0
                continue
            x = (2 * column + 1) / width - 1.0
            p, q, r = _clip(vertices, faces[f, 0]), _clip(vertices, faces[f, 1]), _clip(vertices, faces[f, 2])
            a0, b0, c0 = edge_line(q, r)
            a1, b1, c1 = edge_line(r, p)
            a2, b2, c2 = edge_line(p, q)
            e0, e1, e2 = a0 * x + b0 * y + c0, a1 * x + b1 * y + c1, a2 * x + b2 * y + c2
            total = e0 + e1 + e2
            rast[row, column, 0] = e0 / total
            rast[row, column, 1] = e1 / total
            rast[row, column, 2] = depth[row - first_row, column]
            rast[row, column, 3] = f + 1
