"""Which side of a surface is its outside: for the scan as a whole, and for its loose pieces."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from morphkit.mesh import Mesh
from morphkit.scans import _kernels
from morphkit.scans._repairs import Edges, face_components, turn_faces

_UNDECIDED = 0.05  # bulge of a piece that is as good as flat
_SMALL = 0.05  # of the largest piece's area: smaller pieces are judged by what surrounds them
_CLOSED = 0.2  # area vectors' sum over area: below, a piece is closed, or nearly
_SAMPLES = 50_000  # faces of the largest piece that the small ones are compared with


def turn_outward(mesh: Mesh, edges: Edges) -> tuple[Mesh, int, bool]:
    """Turn over the pieces that look inwards.

    The largest piece, others of some size and closed ones are judged by their bulge: Σ n·(c − centroid) over
    Σ |n||c − centroid|, with area vectors n and face centres c, is 1 for a sphere and negative for a bowl.
    A small open piece (the visible part of an eyeball, say) must look where its surroundings do, be it a cap
    or a pocket: its sum of area vectors depends on its rim only. What hides beneath the surface, as the
    inside of a thick shell does, stays.

    Returns
    -------
    mesh, number of pieces turned, whether the largest one was among them.
    """
    vectors, areas, _ = _kernels.area_vectors(mesh.vertices, mesh.faces)
    label = face_components(mesh)
    area = np.bincount(label, areas)
    total = np.stack([np.bincount(label, column) for column in vectors.T], axis=1)
    main = int(np.argmax(area))
    bulges = _kernels.bulges(mesh.vertices, mesh.faces, vectors, areas, label, len(area))
    inward = bulges < -_UNDECIDED
    if (label != main).any():
        facing = -vectors if inward[main] else vectors
        at_border = (edges.counts[edges.number].reshape(-1, 3) == 1).any(axis=1)
        around, shown = _surroundings(mesh, facing, at_border, label, main)
        cosine = np.einsum("ij,ij->i", _unit(total), _unit(around))
        small = (area < _SMALL * area[main]) & (np.linalg.norm(total, axis=1) > _CLOSED * area)
        shown[main] = True
        inward = np.where(small, cosine < -0.5, inward) & shown
    return turn_faces(mesh, inward[label]), int(inward.sum()), bool(inward[main])


def _surroundings(
    mesh: Mesh, vectors: np.ndarray, at_border: np.ndarray, label: np.ndarray, main: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each piece the sum of the largest one's normals beside it, and whether it lies in the open.

    That is for most of it above the largest one's surface, or beside its border.
    """
    faces = np.flatnonzero(label == main)
    faces = np.union1d(faces[:: 1 + len(faces) // _SAMPLES], faces[at_border[faces]])
    own, count = np.flatnonzero(label != main), int(label.max()) + 1
    own = own[:: 1 + len(own) // _SAMPLES]
    surface, points = (
        mesh.vertices[mesh.faces[faces]].mean(axis=1),
        mesh.vertices[mesh.faces[own]].mean(axis=1),
    )
    nearest = np.asarray(cKDTree(surface).query(points)[1])
    normals = _unit(vectors[faces[nearest]])
    above = np.einsum("ij,ij->i", points - surface[nearest], normals) > 0
    sums = [np.bincount(label[own], column, count) for column in normals.T]
    shown = np.bincount(label[own], above | at_border[faces[nearest]], count)
    return np.stack(sums, axis=1), 2 * shown > np.bincount(label[own], minlength=count)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-300)
