"""Compiled loops over the elements of a scan: time in proportion to its size, whatever the input."""

from __future__ import annotations

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def first_alike(keys):
    """Return for each row of the (n, 3) int64 `keys` the first row that equals it, by a hash table."""
    count = len(keys)
    bits = np.uint64(2)
    while np.int64(1) << np.int64(bits) < 2 * count:
        bits += np.uint64(1)
    table = np.full(np.int64(1) << np.int64(bits), -1, np.int32)
    first = np.empty(count, np.int32)
    for i in range(count):
        mix = np.uint64(0)
        for d in range(3):
            mix = (mix ^ np.uint64(keys[i, d])) * np.uint64(0x9E3779B97F4A7C15)
            mix ^= mix >> np.uint64(29)
        slot = np.int64(mix >> (np.uint64(64) - bits))
        while True:
            j = table[slot]
            if j < 0:
                table[slot] = i
                first[i] = i
                break
            if keys[i, 0] == keys[j, 0] and keys[i, 1] == keys[j, 1] and keys[i, 2] == keys[j, 2]:
                first[i] = j
                break
            slot = (slot + 1) & (len(table) - 1)
    return first


@numba.njit(cache=True, nogil=True)
@no_type_check
def sort_half_edges(faces, vertex_count):
    """Return the half-edges in the order of their edges, and each half-edge's edge.

    Half-edge 3i + k leads from corner k of face i to the next. They are put into one bucket for each lower
    end, as (higher end, half-edge) in one number, and a bucket is sorted by itself.
    """
    count = 3 * len(faces)
    start = np.zeros(vertex_count + 1, np.int64)
    for h in range(count):
        start[min(faces[h // 3, h % 3], faces[h // 3, (h + 1) % 3]) + 1] += 1
    for v in range(vertex_count):
        start[v + 1] += start[v]
    items, filled = np.empty(count, np.int64), start.copy()
    for h in range(count):
        a, b = np.int64(faces[h // 3, h % 3]), np.int64(faces[h // 3, (h + 1) % 3])
        items[filled[min(a, b)]] = max(a, b) << 32 | h
        filled[min(a, b)] += 1
    order, number = np.empty(count, np.int32), np.empty(count, np.int32)
    edge = -1
    for v in range(vertex_count):
        first, last = start[v], start[v + 1]
        gap = 1
        while 3 * gap < last - first:
            gap = 3 * gap + 1
        while gap > 0:  # Shell's sort: as quick as insertion for a handful, quick enough for a hub's million
            for k in range(first + gap, last):
                item, j = items[k], k
                while j >= first + gap and items[j - gap] > item:
                    items[j] = items[j - gap]
                    j -= gap
                items[j] = item
            gap //= 3
        for k in range(first, last):
            if k == first or items[k] >> 32 != items[k - 1] >> 32:
                edge += 1
            order[k] = items[k] & 0xFFFFFFFF
            number[order[k]] = edge
    return order, number


@numba.njit(cache=True, nogil=True)
@no_type_check
def join(rows, columns, count):
    """Return a label 0, 1, ... for each of `count` nodes: equal where pairs (row, column) connect them."""
    parent = np.arange(count).astype(np.int32)
    for k in range(len(rows)):
        i, j = rows[k], columns[k]
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        parent[max(i, j)] = min(i, j)  # the smallest is the root, so that it gets the label first
    labels = np.empty(count, np.int32)
    used = 0
    for i in range(count):
        if parent[i] == i:
            labels[i] = used
            used += 1
        else:
            labels[i] = labels[parent[i]]
    return labels


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def area_vectors(vertices, faces):
    """Return (f, 3) area vectors, (f,) areas and (f,) the longer side at the first corner, squared."""
    vectors, areas, sides = np.empty((len(faces), 3)), np.empty(len(faces)), np.empty(len(faces))
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        px, py, pz = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - px, vertices[b, 1] - py, vertices[b, 2] - pz
        vx, vy, vz = vertices[c, 0] - px, vertices[c, 1] - py, vertices[c, 2] - pz
        x, y, z = (uy * vz - uz * vy) / 2, (uz * vx - ux * vz) / 2, (ux * vy - uy * vx) / 2
        vectors[f, 0], vectors[f, 1], vectors[f, 2] = x, y, z
        areas[f] = np.sqrt(x * x + y * y + z * z)
        sides[f] = max(ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz)
    return vectors, areas, sides


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def stand_outs(vertices, ends):
    """Return how far vertices are from the mean of their neighbours, the mean length around, and the degree.

    That length is the mean over the neighbours of the mean length of a neighbour's other edges.
    """
    count = len(vertices)
    degree, total, around = np.zeros(count, np.int32), np.zeros(count), np.zeros(count)
    mean = np.zeros((count, 3))
    for e in range(len(ends)):
        i, j = ends[e, 0], ends[e, 1]
        squared = 0.0
        for d in range(3):
            mean[i, d] += vertices[j, d]
            mean[j, d] += vertices[i, d]
            squared += (vertices[i, d] - vertices[j, d]) ** 2
        length = np.sqrt(squared)
        degree[i] += 1
        degree[j] += 1
        total[i] += length
        total[j] += length
    for e in range(len(ends)):
        i, j = ends[e, 0], ends[e, 1]
        squared = 0.0
        for d in range(3):
            squared += (vertices[i, d] - vertices[j, d]) ** 2
        length = np.sqrt(squared)
        around[i] += (total[j] - length) / max(degree[j] - 1, 1)
        around[j] += (total[i] - length) / max(degree[i] - 1, 1)
    reach = np.zeros(count)
    for i in range(count):
        if degree[i] > 0:
            around[i] /= degree[i]
            squared = 0.0
            for d in range(3):
                squared += (vertices[i, d] - mean[i, d] / degree[i]) ** 2
            reach[i] = np.sqrt(squared)
    return reach, around, degree


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def bulges(vertices, faces, vectors, areas, label, count):
    """Return for each label Σ n·(c − centroid) over Σ |n||c − centroid|; n area vectors, c face centres."""
    centroid, weight = np.zeros((count, 3)), np.zeros(count)
    along, across = np.zeros(count), np.zeros(count)
    for f in range(len(faces)):
        weight[label[f]] += areas[f]
        for d in range(3):
            center = vertices[faces[f, 0], d] + vertices[faces[f, 1], d] + vertices[faces[f, 2], d]
            centroid[label[f], d] += areas[f] * center / 3
    for f in range(len(faces)):
        k, squared = label[f], 0.0
        for d in range(3):
            center = vertices[faces[f, 0], d] + vertices[faces[f, 1], d] + vertices[faces[f, 2], d]
            arm = center / 3 - centroid[k, d] / weight[k]
            along[k] += vectors[f, d] * arm
            squared += arm * arm
        across[k] += areas[f] * np.sqrt(squared)
    return along / np.maximum(across, 1e-300)
