"""Antialiasing on a CPU: numba finds the silhouettes between pixels, torch blends."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.rendering import _cpu_antialias_kernels as kernels
from morphkit.rendering._arrays import array


class Antialiaser:
    """Blend pixels across silhouettes.

    Parameters
    ----------
    steps : how many triangles are walked over between two pixel centres, see `CpuRasterizer`.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return the blended colours (`Rasterizer.antialias`).

        numba finds which pixel pairs and edges take part; the blend is torch, and so are its gradients.
        Edges with a vertex behind the camera are left out.
        """
        image, near, far, first, second = self._crossings(rast, vertices_clip, faces)
        height, width = color.shape[1:3]
        p, q = vertices_clip[image, first].double(), vertices_clip[image, second].double()
        line = torch.linalg.cross(p[:, [0, 1, 3]], q[:, [0, 1, 3]])
        at_near, at_far = (_line_at(line, pixel, height, width) for pixel in (near, far))
        # The nearer surface reaches from its own pixel's centre (0) to `reach` towards the other centre (1).
        reach = at_near / (at_near - at_far)
        spills = reach > 0.5
        target = torch.where(spills, far, near) + image * (height * width)
        source = torch.where(spills, near, far) + image * (height * width)
        amount = (reach - 0.5).abs().to(color.dtype)[:, None]
        flat = color.reshape(-1, color.shape[-1])
        return flat.index_add(0, target, amount * (flat[source] - flat[target])).reshape(color.shape)

    def _crossings(self, rast: Tensor, vertices_clip: Tensor, faces: Tensor) -> tuple[Tensor, ...]:
        """Return image, near pixel, far pixel and the edge's two vertices of every silhouette crossing."""
        batch, height = rast.shape[:2]
        triangles, neighbours, seen = (
            array(faces, np.int32),
            self._neighbours(array(faces, np.int32)),
            array(rast),
        )
        bands = split_range(height, 1 if batch >= thread_count() else thread_count())
        found = run_all(
            _band_crossings,
            [
                (array(vertices_clip[i]), triangles, neighbours, seen[i], band, self._steps)
                for i in range(batch)
                for band in bands
            ],
        )
        image = np.repeat(np.repeat(np.arange(batch), len(bands)), [len(f) for f in found])
        columns = np.concatenate(found).astype(np.int64).T
        return torch.from_numpy(image), *(torch.from_numpy(np.ascontiguousarray(c)) for c in columns)

    def _neighbours(self, faces: np.ndarray) -> np.ndarray:
        # The last topology is remembered: a fit renders the same one again and again, and comparing
        # faces is a hundred times faster than pairing their edges.
        last = self._last
        if last is None or not np.array_equal(last[0], faces):
            last = (faces.copy(), edge_neighbours(faces))
            self._last = last
        return last[1]


def edge_neighbours(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """Return what lies across each edge: 3 × face + the edge's number there, or -1.

    Edge k of a face lies opposite its corner k. Open edges, and those with more than two faces, have -1.
    """
    corners = faces[:, [1, 2, 2, 0, 0, 1]].reshape(-1, 2).astype(np.int64)
    key = corners.min(axis=1) * (int(faces.max(initial=0)) + 1) + corners.max(axis=1)
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    start = start[count == 2]
    across = np.full(len(key), -1, np.int32)
    across[order[start]], across[order[start + 1]] = order[start + 1], order[start]
    return across.reshape(-1, 3)


def _band_crossings(
    vertices: np.ndarray,
    faces: np.ndarray,
    neighbours: np.ndarray,
    rast: np.ndarray,
    band: tuple[int, int],
    steps: int,
) -> np.ndarray:
    crossings = np.empty((2 * (band[1] - band[0]) * rast.shape[1], 4), np.int32)
    count = kernels.find_crossings(vertices, faces, neighbours, rast, *band, steps, crossings)
    return crossings[:count].copy()


def _line_at(line: Tensor, pixel: Tensor, height: int, width: int) -> Tensor:
    """Return the homogeneous line's value at a pixel's centre, pixels numbered row by row."""
    x = (2 * (pixel % width) + 1) / width - 1
    y = (2 * torch.div(pixel, width, rounding_mode="floor") + 1) / height - 1
    return line[:, 0] * x + line[:, 1] * y + line[:, 2]
