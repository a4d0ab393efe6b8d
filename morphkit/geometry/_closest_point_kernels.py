"""Compiled kernels of the closest-point query: build and walk a bounding volume hierarchy of triangles.

The tree is complete and lies in heap order: node i has the children 2i + 1 and 2i + 2, and the last level's
`leaf_count` (a power of two) leaves hold consecutive ranges of the reordered triangles.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def partition_by_coordinate(order, key, start, end, middle):
    """Reorder `order[start:end]` so that the keys left of `middle` are the smaller (quickselect)."""
    low, high = start, end - 1
    while low < high:
        pivot = key[order[(low + high) // 2]]
        i, j = low, high
        while i <= j:
            while key[order[i]] < pivot:
                i += 1
            while key[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
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
def build_order(centroids, leaf_count):
    """Return the triangle order and each leaf's range: median splits along the widest axis of the centroids.

    `centroids` is (3, f), one row per axis.
    """
    count = centroids.shape[1]
    order = np.arange(count).astype(np.int32)
    start = np.zeros(2 * leaf_count, np.int64)
    end = np.zeros(2 * leaf_count, np.int64)
    end[0] = count
    for node in range(leaf_count - 1):
        first, last = start[node], end[node]
        widest, axis = -1.0, 0
        for d in range(3):
            low, high = np.inf, -np.inf
            for k in range(first, last):
                value = centroids[d, order[k]]
                low, high = min(low, value), max(high, value)
            if high - low > widest:
                widest, axis = high - low, d
        middle = (first + last) // 2
        partition_by_coordinate(order, centroids[axis], first, last, middle)
        start[2 * node + 1], end[2 * node + 1] = first, middle
        start[2 * node + 2], end[2 * node + 2] = middle, last
    ranges = np.empty(leaf_count + 1, np.int32)
    ranges[:leaf_count] = start[leaf_count - 1 : 2 * leaf_count - 1]
    ranges[leaf_count] = count
    return order, ranges


@numba.njit(cache=True, nogil=True)
@no_type_check
def node_boxes(corners, ranges):
    """Return every node's box as (nodes, 6): minimum, then maximum. `corners` is (f, 9) in tree order."""
    leaf_count = len(ranges) - 1
    boxes = np.empty((2 * leaf_count - 1, 6))
    boxes[:, :3] = np.inf
    boxes[:, 3:] = -np.inf
    for leaf in range(leaf_count):
        box = boxes[leaf_count - 1 + leaf]
        for k in range(ranges[leaf], ranges[leaf + 1]):
            for c in range(9):
                box[c % 3] = min(box[c % 3], corners[k, c])
                box[3 + c % 3] = max(box[3 + c % 3], corners[k, c])
    for node in range(leaf_count - 2, -1, -1):
        for d in range(3):
            boxes[node, d] = min(boxes[2 * node + 1, d], boxes[2 * node + 2, d])
            boxes[node, 3 + d] = max(boxes[2 * node + 1, 3 + d], boxes[2 * node + 2, 3 + d])
    return boxes


@numba.njit(cache=True, nogil=True, inline="always")
@no_type_check
def _box_distance(box, x, y, z):
    dx = max(box[0] - x, 0.0, x - box[3])
    dy = max(box[1] - y, 0.0, y - box[4])
    dz = max(box[2] - z, 0.0, z - box[5])
    return dx * dx + dy * dy + dz * dz


@numba.njit(cache=True, nogil=True)
@no_type_check
def triangle_barycentrics(corner, x, y, z):
    """Return the second and third barycentric weight of the point of a triangle closest to (x, y, z).

    `corner` holds the nine coordinates. Regions as in Ericson, Real-Time Collision Detection, section 5.1.5.
    """
    abx, aby, abz = corner[3] - corner[0], corner[4] - corner[1], corner[5] - corner[2]
    acx, acy, acz = corner[6] - corner[0], corner[7] - corner[1], corner[8] - corner[2]
    px, py, pz = x - corner[0], y - corner[1], z - corner[2]
    bb = abx * abx + aby * aby + abz * abz
    bc = abx * acx + aby * acy + abz * acz
    cc = acx * acx + acy * acy + acz * acz
    d1 = abx * px + aby * py + abz * pz
    d2 = acx * px + acy * py + acz * pz
    if d1 <= 0.0 and d2 <= 0.0:
        return 0.0, 0.0
    d3, d4 = d1 - bb, d2 - bc
    if d3 >= 0.0 and d4 <= d3:
        return 1.0, 0.0
    d5, d6 = d1 - bc, d2 - cc
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 1.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return d1 / (d1 - d3), 0.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 >= d3 and d5 >= d6:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 1.0 - w, w
    total = va + vb + vc
    if total <= 0.0:  # no area and no edge took it: numerically a point
        return 0.0, 0.0
    return vb / total, vc / total


@numba.njit(cache=True, nogil=True)
@no_type_check
def closest(points, normals, min_cosine, hints, boxes, ranges, corners, corner_normals, triangle, weights):
    """Write for each point the tree position of its closest triangle (-1 if none is allowed) and two weights.

    Triangles whose unit normal makes a cosine below `min_cosine` with the point's normal are passed over.
    `hints` are triangles tried first (-1 for none): a near one prunes most of the walk.
    """
    leaf_count = len(ranges) - 1
    stack = np.empty(64, np.int64)
    stack_distance = np.empty(64)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        best = np.inf
        best_triangle = -1
        best_v, best_w = 0.0, 0.0
        top = 0
        stack[0], stack_distance[0] = 0, 0.0
        hint = hints[i]
        while top >= 0:
            if hint >= 0:
                first, last = hint, hint + 1
                hint = -1
            else:
                node, distance = stack[top], stack_distance[top]
                top -= 1
                if distance >= best:
                    continue
                while node < leaf_count - 1:
                    near, far = 2 * node + 1, 2 * node + 2
                    near_distance = _box_distance(boxes[near], x, y, z)
                    far_distance = _box_distance(boxes[far], x, y, z)
                    if far_distance < near_distance:
                        near, far = far, near
                        near_distance, far_distance = far_distance, near_distance
                    if far_distance < best:
                        top += 1
                        stack[top], stack_distance[top] = far, far_distance
                    node, distance = near, near_distance
                    if distance >= best:
                        break
                if distance >= best:
                    continue
                leaf = node - (leaf_count - 1)
                first, last = ranges[leaf], ranges[leaf + 1]
            for k in range(first, last):
                if min_cosine > -1.0:
                    cosine = (
                        normals[i, 0] * corner_normals[k, 0]
                        + normals[i, 1] * corner_normals[k, 1]
                        + normals[i, 2] * corner_normals[k, 2]
                    )
                    if cosine < min_cosine:
                        continue
                c = corners[k]
                v, w = triangle_barycentrics(c, x, y, z)
                dx = c[0] + v * (c[3] - c[0]) + w * (c[6] - c[0]) - x
                dy = c[1] + v * (c[4] - c[1]) + w * (c[7] - c[1]) - y
                dz = c[2] + v * (c[5] - c[2]) + w * (c[8] - c[2]) - z
                distance = dx * dx + dy * dy + dz * dz
                if distance < best:
                    best, best_triangle, best_v, best_w = distance, k, v, w
        triangle[i] = best_triangle
        weights[i, 0], weights[i, 1] = best_v, best_w
