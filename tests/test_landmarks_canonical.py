from __future__ import annotations

import numpy as np

from morphkit.landmarks.canonical import canonical_face


def test_canonical_face_is_a_head_in_our_frame() -> None:
    mesh = canonical_face()
    assert mesh.vertices.shape == (468, 3)
    assert mesh.faces.shape == (898, 3)
    assert sorted(set(mesh.faces.ravel())) == list(range(468))
    left, right, chin, forehead, nose = mesh.vertices[[263, 33, 152, 10, 1]]
    assert 80 < left[0] - right[0] < 100  # millimetres between the outer eye corners, subject's left = +x
    assert chin[1] < nose[1] < forehead[1]
    assert nose[2] > max(left[2], chin[2])


def test_canonical_face_is_a_mirror_symmetric_disc() -> None:
    mesh = canonical_face()
    mirrored = mesh.vertices * (-1, 1, 1)
    distance = np.linalg.norm(mirrored[:, None] - mesh.vertices[None], axis=-1).min(axis=1)
    assert distance.max() < 0.5
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {1, 2}
    assert len(mesh.vertices) - len(unique) + len(mesh.faces) == 1  # a disc


def test_canonical_face_is_wound_outwards_and_its_atlas_upright() -> None:
    mesh = canonical_face()
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.95
    assert mesh.uv is not None
    uv = np.empty((468, 2))
    uv[mesh.faces] = mesh.uv
    assert uv.min() >= 0
    assert uv.max() <= 1
    assert uv[10, 1] > uv[1, 1] > uv[152, 1]
