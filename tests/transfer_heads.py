"""A copy of the embedded head that shares nothing with it but the shape: for tests of transfer."""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import fast_simplification
import numpy as np

from morphkit.archive import load_default_model
from morphkit.geometry.closest_point import ClosestPoints, closest_points
from morphkit.geometry.similarity import Similarity
from morphkit.linear import LinearModel
from morphkit.mesh import Mesh, Template
from morphkit.morphable import MorphableModel
from morphkit.transfer import SurfaceMap, complete_model, correspond

TURN = np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, -0.6]])
MOVE = Similarity(1.2, TURN, np.array([40.0, -300.0, 10.0]))


@dataclass(frozen=True, eq=False)
class Copy:
    """A head; a thinned, larger, turned copy of its mean; that completed; the map; the true places."""

    source: MorphableModel
    bare: MorphableModel
    whole: MorphableModel
    found: SurfaceMap
    truth: ClosestPoints

    def true_values(self, values: np.ndarray) -> np.ndarray:
        """Return the source's per-vertex values where the copy's vertices come from."""
        corners = self.source.faces[self.truth.face_indices]
        return np.einsum("vk,vkd->vd", self.truth.barycentrics, values[corners])


def bare_model(vertices: np.ndarray, faces: np.ndarray) -> MorphableModel:
    """Return a model that is only its mean."""
    empty = LinearModel(vertices.astype(np.float32), np.zeros((vertices.size, 0), np.float32), np.zeros(0))
    return MorphableModel(faces.astype(np.int32), empty)


def thinned_copy() -> Copy:
    """Thin the head to a third of its triangles, enlarge, turn and move it, and complete it."""
    source = load_default_model()
    mean = source.instance()
    vertices, faces = fast_simplification.simplify(mean.astype(np.float32), source.faces, target_count=8000)
    vertices = vertices.astype(np.float64)
    bare = bare_model(MOVE.apply(vertices), faces)
    truth = closest_points(Mesh(mean, source.faces), vertices)
    found = correspond(source, bare)
    with mock.patch("morphkit.transfer.complete.correspond", return_value=found):  # once is enough
        return Copy(source, bare, complete_model(bare, source), found, truth)


def vertex_map(source: MorphableModel, target: Mesh, vertices: np.ndarray) -> SurfaceMap:
    """Return the map to a target whose vertices are these of the source; -1 for none."""
    face_indices, corner = np.zeros(source.n_vertices, np.int32), np.zeros(source.n_vertices, int)
    for k in range(3):
        face_indices[source.faces[:, k]] = np.arange(len(source.faces))
        corner[source.faces[:, k]] = k
    return SurfaceMap(
        Mesh(source.instance(), source.faces),
        target,
        source.instance(),
        face_indices[vertices],
        np.eye(3)[corner[vertices]],
        np.zeros(len(vertices)),
        vertices >= 0,
    )


def shuffled(model: MorphableModel, rng: np.random.Generator) -> tuple[Template, SurfaceMap, np.ndarray]:
    """Return the mean with its vertices in another order, the exact map to it, and that order."""
    order = rng.permutation(model.n_vertices)
    faces = np.argsort(order)[model.faces].astype(np.int32)
    mesh = Mesh(model.instance()[order], faces)
    return Template(mesh), vertex_map(model, mesh, order), order


def exact_map(part: MorphableModel, whole: MorphableModel) -> tuple[Template, SurfaceMap]:
    """Return the whole's mean, and the map to it from a part of the same vertices."""
    mesh = Mesh(whole.instance(), whole.faces)
    place = {tuple(row): i for i, row in enumerate(part.identity.mean.tolist())}
    vertices = np.array([place.get(tuple(row), -1) for row in whole.identity.mean.tolist()])
    used = np.zeros(part.n_vertices + 1, dtype=bool)
    used[part.faces] = True
    return Template(mesh), vertex_map(part, mesh, np.where(used[vertices], vertices, -1))
