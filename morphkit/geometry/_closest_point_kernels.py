"""Compiled kernels of the closest-point query; `_triangle_tree_kernels` says how the tree lies in memory.

Boxes are float32 and conservative, triangles float64: boxes decide only what need not be looked at. Inner
loops over the sixteen lanes of a block have no branches, so that they become vector instructions.
"""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np

from morphkit.geometry._triangle_tree_kernels import LANES

_FAR = 1e37  # squared distance; above any between coordinates below 1e15, and finite in float32
_SLACK = 1.000002  # covers the rounding of squared box distances in float32
_ROUNDING = np.float32(1.2e-7)
_SEQUENCE = np.uint32(0x077CB531)  # de Bruijn's: the upper five bits of its 32 shifts all differ
_SHIFT = np.array([[0x077CB531 << n & 0xFFFFFFFF, n] for n in range(32)])
_SHIFT = _SHIFT[np.argsort(_SHIFT[:, 0]), 1]  # by those five bits
_FLAT = 1e-12  # of |ab|²|ac|²: triangles whose squared area is below are treated as their longest side


@numba.njit(cache=True, nogil=True)
@no_type_check
def _every_third(bits):
    """Return a ten-bit number with its bits three places apart."""
    bits = (bits | (bits << np.uint64(16))) & np.uint64(0x030000FF)
    bits = (bits | (bits << np.uint64(8))) & np.uint64(0x0300F00F)
    bits = (bits | (bits << np.uint64(4))) & np.uint64(0x030C30C3)
    return (bits | (bits << np.uint64(2))) & np.uint64(0x09249249)


@numba.njit(cache=True, nogil=True)
@no_type_check
def morton_keys(points, origin, scale, keys):
    """Write each point's Morton code on a 1024³ grid and, in the lower half, its index.

    Points outside the grid count to its border.
    """
    for i in range(len(points)):
        key = np.uint64(0)
        for d in range(3):
            cell = np.uint64(min(max((points[i, d] - origin[d]) * scale, 0.0), 1023.0))
            key |= _every_third(cell) << np.uint64(d)
        keys[i] = key << np.uint64(32) | np.uint64(i)


@numba.njit(nogil=True, error_model="numpy", inline="always")
@no_type_check
def _weights(abx, aby, abz, acx, acy, acz, px, py, pz):
    """Return the second and third barycentric weight of the point of triangle (0, ab, ac) closest to p.

    Regions as in Ericson, Real-Time Collision Detection, section 5.1.5, the first to be asked coming last.
    """
    bb = abx * abx + aby * aby + abz * abz
    bc = abx * acx + aby * acy + abz * acz
    cc = acx * acx + acy * acy + acz * acz
    d1 = abx * px + aby * py + abz * pz
    d2 = acx * px + acy * py + acz * pz
    d3, d4, d5, d6 = d1 - bb, d2 - bc, d1 - bc, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    along, back = d4 - d3, d5 - d6  # of side bc, from b and from c; their sum is its squared length
    v, w, total = vb, vc, va + vb + vc
    if (va <= 0.0) & (along >= 0.0) & (back >= 0.0):
        v, w, total = back, along, along + back
    if (vb <= 0.0) & (d2 >= 0.0) & (d6 <= 0.0):
        v, w, total = 0.0, d2, cc
    if (vc <= 0.0) & (d1 >= 0.0) & (d3 <= 0.0):
        v, w, total = d1, 0.0, bb
    if (d6 >= 0.0) & (d5 <= d6):
        v, w, total = 0.0, 1.0, 1.0
    if (d3 >= 0.0) & (d4 <= d3):
        v, w, total = 1.0, 0.0, 1.0
    if (d1 <= 0.0) & (d2 <= 0.0):
        v, w, total = 0.0, 0.0, 1.0
    # Of a triangle without area the signs above are noise; it is its longest side.
    flat = bb * cc - bc * bc <= _FLAT * bb * cc
    aa = bb - 2.0 * bc + cc
    is_ab = (bb >= cc) & (bb >= aa)
    is_ac = (cc >= aa) & (cc > bb)
    side = bb if is_ab else (cc if is_ac else aa)
    run = d1 if is_ab else (d2 if is_ac else along)
    run = min(max(run, 0.0), side)
    if flat:
        v = run if is_ab else (0.0 if is_ac else side - run)
        w = 0.0 if is_ab else run
        total = side
    if total <= 0.0:  # a point
        v, w, total = 0.0, 0.0, 1.0
    return v / total, w / total


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _measure(triangles, block, x, y, z, found):
    """Write each lane's squared distance and two weights into the (3, 16) `found`."""
    t = triangles
    for c in range(LANES):
        px, py, pz = x - t[block, 0, c], y - t[block, 1, c], z - t[block, 2, c]
        abx, aby, abz = t[block, 3, c], t[block, 4, c], t[block, 5, c]
        acx, acy, acz = t[block, 6, c], t[block, 7, c], t[block, 8, c]
        v, w = _weights(abx, aby, abz, acx, acy, acz, px, py, pz)
        dx, dy, dz = px - v * abx - w * acx, py - v * aby - w * acy, pz - v * abz - w * acz
        found[0, c] = dx * dx + dy * dy + dz * dz
        found[1, c], found[2, c] = v, w


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
@no_type_check
def _box_distance(boxes, block, c, xl, xh, yl, yh, zl, zh):
    """Return one lane's box's squared distance from the point between (xl, yl, zl) and (xh, yh, zh)."""
    zero = np.float32(0.0)
    dx = max(max(boxes[block, 0, c] - xh, xl - boxes[block, 3, c]), zero)
    dy = max(max(boxes[block, 1, c] - yh, yl - boxes[block, 4, c]), zero)
    dz = max(max(boxes[block, 2, c] - zh, zl - boxes[block, 5, c]), zero)
    return dx * dx + dy * dy + dz * dz


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
@no_type_check
def _lanes_within(boxes, block, xl, xh, yl, yh, zl, zh, limit):
    """Return, one bit each, the lanes whose boxes are no farther from the point than `limit`."""
    lanes = np.uint32(0)
    for c in range(LANES):
        near = _box_distance(boxes, block, c, xl, xh, yl, yh, zl, zh) <= limit
        lanes |= np.uint32(near) << np.uint32(c)
    return lanes


@numba.njit(cache=True, nogil=True)
@no_type_check
def _first(lanes):
    """Return the lowest lane in a non-empty set; numba knows no instruction for it."""
    lowest = np.uint32(lanes & (np.uint32(0) - lanes))
    return _SHIFT[np.uint32(lowest * _SEQUENCE) >> np.uint32(27)]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _push(boxes, block, lanes, first, xl, xh, yl, yh, zl, zh, stack, stack_distances, top):
    """Push a block's children onto the stack, the nearest last, and return the stack's new top."""
    bottom = top + 1
    while lanes != 0:
        c = _first(lanes)
        lanes &= lanes - np.uint32(1)
        distance = _box_distance(boxes, block, c, xl, xh, yl, yh, zl, zh)
        top += 1
        k = top
        while k > bottom and stack_distances[k - 1] < distance:
            stack[k], stack_distances[k] = stack[k - 1], stack_distances[k - 1]
            k -= 1
        stack[k], stack_distances[k] = first + c, distance
    return top


@numba.njit(cache=True, nogil=True)
@no_type_check
def _nearest_lane(lanes, measured, block, normals, facing, i, min_cosine, nearest, lane, v, w):
    """Return squared distance, lane and weights of the nearest: the one so far, or one of this block."""
    while lanes != 0:
        c = _first(lanes)
        lanes &= lanes - np.uint32(1)
        k = block * LANES + c
        distance = measured[0, c]
        if distance < nearest or (distance == nearest and k < lane):
            if min_cosine > -1.0:
                x, y, z = normals[k, 0], normals[k, 1], normals[k, 2]
                if facing[i, 0] * x + facing[i, 1] * y + facing[i, 2] * z < min_cosine:
                    continue
            nearest, lane, v, w = distance, k, measured[1, c], measured[2, c]
    return nearest, lane, v, w


@numba.njit(cache=True, nogil=True)
@no_type_check
def closest(
    turn,
    points,
    facing,
    min_cosine,
    start,
    origin,
    boxes,
    children,
    triangles,
    normals,
    order,
    surface,
    distances,
    face_indices,
    weights,
):
    """Write each point's closest surface point, its distance, its triangle and its barycentric weights.

    Triangles whose unit normal makes a cosine below `min_cosine` with the point's `facing` are passed over;
    where none is left, the triangle is -1, the distance infinite and the surface point the point itself.
    Points are taken in the order of `turn`; each begins with the block of the lane in `start`, or else (-1)
    with the block that answered the one before. Of equally near triangles that of the lowest lane is taken,
    so that the answer does not depend on where the search began.
    """
    leaves, root = len(triangles), len(boxes) - 1
    stack, stack_distances = np.empty(256, np.int64), np.empty(256, np.float32)
    measured = np.empty((3, LANES))
    every = np.uint32((1 << LANES) - 1)
    before = -1
    for i in turn:
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        cx, cy, cz = np.float32(x - origin[0]), np.float32(y - origin[1]), np.float32(z - origin[2])
        ex, ey, ez = abs(cx) * _ROUNDING, abs(cy) * _ROUNDING, abs(cz) * _ROUNDING
        xl, xh, yl, yh, zl, zh = cx - ex, cx + ex, cy - ey, cy + ey, cz - ez, cz + ez
        nearest, lane, v, w = _FAR, -1, 0.0, 0.0
        seed = before if start[i] < 0 else start[i] // LANES
        if seed >= 0:
            _measure(triangles, seed, x, y, z, measured)
            nearest, lane, v, w = _nearest_lane(
                every, measured, seed, normals, facing, i, min_cosine, nearest, lane, v, w
            )
        limit = np.float32(nearest * _SLACK)
        stack[0], stack_distances[0], top = root, np.float32(0.0), 0
        while top >= 0:
            block, distance = stack[top], stack_distances[top]
            top -= 1
            if distance > limit or block == seed:
                continue
            lanes = _lanes_within(boxes, block, xl, xh, yl, yh, zl, zh, limit)
            if block >= leaves:
                first = children[block]
                top = _push(boxes, block, lanes, first, xl, xh, yl, yh, zl, zh, stack, stack_distances, top)
            elif lanes != 0:
                _measure(triangles, block, x, y, z, measured)
                nearest, lane, v, w = _nearest_lane(
                    lanes, measured, block, normals, facing, i, min_cosine, nearest, lane, v, w
                )
                limit = np.float32(nearest * _SLACK)
        before = lane // LANES
        weights[i, 0], weights[i, 1], weights[i, 2] = 1.0 - v - w, v, w
        face_indices[i] = -1 if lane < 0 else order[lane]
        distances[i] = np.inf if lane < 0 else np.sqrt(nearest)
        for d in range(3):
            surface[i, d] = points[i, d]
            if lane >= 0:
                block, c = lane // LANES, lane % LANES
                a, ab, ac = triangles[block, d, c], triangles[block, 3 + d, c], triangles[block, 6 + d, c]
                surface[i, d] = a + v * ab + w * ac
