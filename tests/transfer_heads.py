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
from morphkit.mesh import Mesh
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
