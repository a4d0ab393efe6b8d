"""Compiled kernels that build a tree of triangles for closest-point queries.

Sixteen siblings lie side by side in one block, one array row per coordinate, so that the compiler tests them
all with a few vector instructions. Blocks are packed: every block but the last of its level is full. The leaf
level comes first; block b of a level is child b % 16 of block b // 16 of the next.

boxes : (blocks, 6, 16) float32, minimum then maximum, about `origin`, rounded outwards; a lane without a
    child is empty (minimum inf, maximum -inf).
triangles : (leaf blocks, 9, 16) float64: first corner, then the sides to the second and third. Lanes past the
    end repeat the last triangle.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

LANES = 16
_ROUNDING = np.float32(1.2e-7)  # above the relative error of one rounding to float32


@numba.njit(cache=True, nogil=True)
@no_type_check
def place_triangles(vertices, faces, origin, scale, items):
    """Write each triangle's centroid on an integer grid, and its number, as (f, 4) int32."""
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        for d in range(3):
            total = (vertices[a, d] - origin[d]) + (vertices[b, d] - origin[d]) + (vertices[c, d] - origin[d])
            items[f, d] = np.int32(total * scale)
        items[f, 3] = f


@numba.njit(cache=True, nogil=True)
@no_type_check
def _select(items, axis, low, high, middle):
    """Reorder `items[low:high]` so that those before `middle` are the smaller along `axis` (quickselect)."""
    high -= 1
    while low < high:
        pivot = items[(low + high) // 2, axis]
        i, j = low, high
        while i <= j:
            while items[i, axis] < pivot:
                i += 1
            while items[j, axis] > pivot:
                j -= 1
            if i <= j:
                for c in range(4):
                    kept = items[i, c]
                    items[i, c] = items[j, c]
                    items[j, c] = kept
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@numba.njit(cache=True, nogil=True)
@no_type_check
def _widest_axis(items, first, last):
    """Return the axis along which `items[first:last]` spread the most."""
    axis, widest = 0, -1
    for d in range(3):
        low = high = items[first, d]
        for k in range(first + 1, last):
            low = min(low, items[k, d])
            high = max(high, items[k, d])
        if high - low > widest:
            axis, widest = d, high - low
    return axis


@numba.njit(cache=True, nogil=True)
@no_type_check
def sort_triangles(items):
    """Bring the placed triangles into tree order: halves along the widest axis, cut where blocks end."""
    ranges = np.empty((64, 2), np.int64)
    ranges[0, 0], ranges[0, 1] = 0, len(items)
    top = 0
    while top >= 0:
        first, last = ranges[top]
        top -= 1
        count = last - first
        if count <= LANES:
            continue
        child = LANES
        while child * LANES < count:
            child *= LANES
        middle = first + (count + child - 1) // child // 2 * child
        _select(items, _widest_axis(items, first, last), first, last, middle)
        ranges[top + 1, 0], ranges[top + 1, 1] = first, middle
        ranges[top + 2, 0], ranges[top + 2, 1] = middle, last
        top += 2


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def fill_leaves(vertices, faces, order, origin, triangles, normals, boxes):
    """Write the triangles in tree order, their (lanes, 3) unit normals and the leaf blocks' boxes."""
    for lane in range(len(normals)):
        block, c = lane // LANES, lane % LANES
        face = order[min(lane, len(order) - 1)]
        p, q, r = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        for d in range(3):
            triangles[block, d, c] = p[d]
            triangles[block, 3 + d, c] = q[d] - p[d]
            triangles[block, 6 + d, c] = r[d] - p[d]
            low = np.float32(min(p[d], q[d], r[d]) - origin[d])
            high = np.float32(max(p[d], q[d], r[d]) - origin[d])
            if lane < len(order):
                boxes[block, d, c] = low - abs(low) * _ROUNDING
                boxes[block, 3 + d, c] = high + abs(high) * _ROUNDING
        t = triangles[block, :, c]
        x, y, z = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0.0:
            length = 1.0
        normals[lane, 0], normals[lane, 1], normals[lane, 2] = x / length, y / length, z / length


@numba.njit(cache=True, nogil=True)
@no_type_check
def fill_inner(boxes, starts, children):
    """Write the inner blocks' boxes, and the number of each one's first child block.

    `starts` holds each level's first block, leaves first, and the number of blocks.
    """
    for level in range(1, len(starts) - 1):
        below, here = starts[level - 1], starts[level]
        for child in range(here - below):
            block, c = here + child // LANES, child % LANES
            if c == 0:
                children[block] = below + child
            for d in range(3):
                low, high = boxes[below + child, d, 0], boxes[below + child, 3 + d, 0]
                for k in range(1, LANES):
                    low = min(low, boxes[below + child, d, k])
                    high = max(high, boxes[below + child, 3 + d, k])
                boxes[block, d, c] = low
                boxes[block, 3 + d, c] = high
