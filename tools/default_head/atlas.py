"""Repacks MakeHuman's body atlas for the head alone: the face upright and large, small charts below."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

GAP = 0.012
# How much larger than the main chart's scale a chart is drawn, by the part it shows (skin, mouth, eyeballs).
MAGNIFICATION = {0: 1.0, 1: 0.6, 2: 3.0, 3: 3.0}


def pack_atlas(
    corners: np.ndarray, uv: np.ndarray, quads: np.ndarray, points: np.ndarray, parts: np.ndarray
) -> np.ndarray:
    """Return new coordinates of the texture vertices in 0..1.

    Parameters
    ----------
    corners : (q, 4) texture vertices of each quad.
    uv : (t, 2) the old coordinates.
    quads, points : (q, 4) and (b, 3), to see which way is up.
    parts : (q,) 0 skin, 1 mouth, 2 and 3 eyeballs.
    """
    chart_of = _charts(corners, len(uv))
    names = sorted(
        np.unique(chart_of[corners[:, 0]]), key=lambda c: -int((chart_of[corners[:, 0]] == c).sum())
    )
    placed = uv.copy()
    boxes = []
    for chart in names:
        inside = chart_of == chart
        mine = chart_of[corners[:, 0]] == chart
        turned = uv[inside] @ _upright(points[quads[mine]].mean(1), uv[corners[mine]].mean(1)).T
        placed[inside] = (turned - turned.min(0)) * MAGNIFICATION[int(parts[mine][0])]
        boxes.append(placed[inside].max(0))
    for chart, corner in zip(names, _shelves(np.array(boxes)), strict=True):
        placed[chart_of == chart] += corner
    used = np.isin(chart_of, names)
    low, high = placed[used].min(0) - GAP, placed[used].max(0) + GAP
    return (placed - low) / (high - low).max()


def _charts(corners: np.ndarray, count: int) -> np.ndarray:
    """Return each texture vertex's chart: charts are connected through quads."""
    first, second = corners[:, [0, 1, 2]].ravel(), corners[:, [1, 2, 3]].ravel()
    graph = sp.coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _upright(points: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return the quarter turn after which v grows with y as well as it can."""
    turns = [np.array([[c, -s], [s, c]], float) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    height = points[:, 1] - points[:, 1].mean()
    return max(turns, key=lambda turn: float(height @ (uv @ turn.T)[:, 1]))


def _shelves(boxes: np.ndarray) -> np.ndarray:
    """Return lower-left corners: the first box on top, the others in rows below it, no wider than it."""
    width = boxes[0, 0]
    corners = np.zeros_like(boxes)
    x, y, tallest = 0.0, 0.0, 0.0
    for i in sorted(range(1, len(boxes)), key=lambda i: -boxes[i, 1]):
        if x + boxes[i, 0] > width:
            x, y, tallest = 0.0, y - tallest - GAP, 0.0
        tallest = max(tallest, boxes[i, 1])
        corners[i] = x, y - boxes[i, 1]
        x += boxes[i, 0] + GAP
    corners[0] = 0.0, GAP
    return corners
