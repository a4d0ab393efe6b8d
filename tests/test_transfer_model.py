from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from transfer_heads import exact_map, shuffled

from morphkit.archive import load_default_model
from morphkit.geometry.topology import connected_components, unique_edges
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel
from morphkit.transfer import CARRIED, convert_coefficients, correspond, transfer_model, transfer_uv


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model().truncate(6, 6, 4)


@pytest.fixture(scope="module")
def face(head: MorphableModel) -> MorphableModel:
    """The front of the head, without eyeballs."""
    front = (head.instance()[:, 2] > 40.0) & ~head.masks["eyes"]
    return head.marginal(np.flatnonzero(front))


def _draw(model: MorphableModel, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    assert model.expression is not None
    return rng.standard_normal(model.identity.n_components), rng.standard_normal(
        model.expression.n_components
    )


def test_a_model_on_itself_is_itself(head: MorphableModel) -> None:
    same = transfer_model(head, head)
    assert same.digest == head.digest
    assert np.array_equal(same.uv, head.uv)
    assert np.array_equal(same.mirror, head.mirror)
    assert same.masks.keys() == head.masks.keys()
    assert all(np.array_equal(same.masks[name], mask) for name, mask in head.masks.items())
    assert same.landmarks.keys() == head.landmarks.keys()
    for name, embedding in head.landmarks.items():
        there = same.landmarks[name].landmarks(head.instance(), head.faces)
        own = embedding.landmarks(head.instance(), head.faces)
        assert there.names == own.names
        assert np.abs(there.points - own.points).max() < 1e-9


def test_a_shuffled_head_gets_the_shuffled_model(head: MorphableModel, rng: np.random.Generator) -> None:
    template, surface_map, order = shuffled(head, rng)
    found = transfer_model(head, template, surface_map)
    identity, expression = _draw(head, rng)
    expected = head.instance(identity, expression)[order]
    assert np.abs(found.instance(identity, expression) - expected).max() < 1e-4
    colors = head.albedo_instance(rng.standard_normal(4))
    assert np.abs(found.albedo_instance(np.zeros(4)) - head.albedo_instance(np.zeros(4))[order]).max() < 1e-6
    assert colors.shape == (head.n_vertices, 3)
    assert all(np.array_equal(found.masks[name], mask[order]) for name, mask in head.masks.items())
    assert CARRIED not in found.masks
    assert found.mirror is not None
    own = head.landmarks["ibug68"].landmarks(head.instance(), head.faces).points
    there = found.landmarks["ibug68"].landmarks(found.instance(), found.faces).points
    assert np.abs(own - there).max() < 1e-3
    assert json.loads(json.dumps(dict(found.provenance["transferred"])))["carried"] == head.n_vertices


def test_texture_coordinates_keep_to_their_side_of_seams(
    head: MorphableModel, rng: np.random.Generator
) -> None:
    template, surface_map, _ = shuffled(head, rng)
    assert np.abs(transfer_uv(head.uv, surface_map) - head.uv).max() < 1e-6
    assert template.mesh.uv is None
    assert transfer_uv(None, surface_map) is None


def test_instances_are_the_sources_seen_at_other_vertices(
    head: MorphableModel, face: MorphableModel, rng: np.random.Generator
) -> None:
    template, surface_map = exact_map(face, head)
    found = transfer_model(face, template, surface_map)
    valid = surface_map.valid
    assert np.array_equal(found.masks[CARRIED], valid)
    assert 0.2 < valid.mean() < 0.8
    identity, expression = _draw(face, rng)
    there = surface_map.carry(face.instance(identity, expression))
    assert np.abs(found.instance(identity, expression) - there)[valid].max() < 1e-4


def test_beyond_the_source_the_head_goes_on_smoothly(
    head: MorphableModel, face: MorphableModel, rng: np.random.Generator
) -> None:
    template, surface_map = exact_map(face, head)
    found = transfer_model(face, template, surface_map)
    valid = surface_map.valid
    assert np.abs(found.instance() - head.instance()).max() < 1e-3  # the template's own shape
    identity, expression = _draw(face, rng)
    moved = found.instance(identity, expression) - found.instance()
    i, j = unique_edges(found.faces).T
    lengths = np.linalg.norm(head.instance()[i] - head.instance()[j], axis=1)
    strain = np.linalg.norm(moved[i] - moved[j], axis=1) / np.maximum(lengths, 0.5)
    within = valid[i] & valid[j]
    assert strain[~within].max() < max(1.5 * strain[within].max(), 0.5)
    behind = head.instance()[:, 2] < np.quantile(head.instance()[:, 2], 0.1)
    assert not valid[behind].any()
    express = found.expression.instance(expression)
    assert np.abs(express[behind]).max() < 0.05 * np.abs(express).max()
    colors = found.albedo.instance(np.array([2.0, -2.0]))  # no colour that the face does not have
    assert (colors >= colors[valid].min(axis=0) - 1e-6).all()
    assert (colors <= colors[valid].max(axis=0) + 1e-6).all()


def test_parts_without_a_counterpart_move_as_wholes(
    head: MorphableModel, face: MorphableModel, rng: np.random.Generator
) -> None:
    template, surface_map = exact_map(face, head)
    found = transfer_model(face, template, surface_map)
    parts = connected_components(head.faces, head.n_vertices)
    eyeball = parts == parts[np.flatnonzero(head.masks["eyes"])[0]]
    assert not surface_map.valid[eyeball].any()
    identity, expression = _draw(face, rng)
    moved = (found.instance(identity) - found.instance())[eyeball]
    assert np.ptp(moved, axis=0).max() < 1e-4
    lids = head.landmarks["ibug68"].landmarks(found.instance(identity) - found.instance(), head.faces)
    side = "36" if head.instance()[eyeball][:, 0].mean() < 0 else "45"
    assert np.linalg.norm(moved[0] - lids.select([side]).points[0]) < 3.0
    assert np.abs(found.expression.instance(expression)[eyeball]).max() == 0.0


def test_the_templates_own_landmarks_uv_and_masks_stay_where_the_model_has_none(head: MorphableModel) -> None:
    bare = replace(head, uv=None, landmarks={}, masks={}, mirror=None)
    found = transfer_model(bare, head)
    assert np.array_equal(found.uv, head.uv)
    assert found.landmarks.keys() == head.landmarks.keys()
    assert found.masks.keys() == head.masks.keys()
    assert np.array_equal(found.mirror, head.mirror)


def test_coefficients_come_back_from_the_same_statistics(
    head: MorphableModel, rng: np.random.Generator
) -> None:
    template, surface_map, _ = shuffled(head, rng)
    other = transfer_model(head, template, surface_map)
    identity, expression = _draw(head, rng)
    found = convert_coefficients(head, other, identity, 0.3 * expression, surface_map=surface_map, noise=1e-3)
    assert found.rms < 1e-3
    assert np.abs(found.coefficients.identity - identity).max() < 1e-2
    assert np.abs(found.coefficients.expression - 0.3 * expression).max() < 1e-2
    assert np.abs(found.similarity.rotation - np.eye(3)).max() < 1e-4


def test_more_noise_draws_coefficients_to_the_mean(head: MorphableModel, rng: np.random.Generator) -> None:
    surface_map = correspond(head, head)
    identity, _ = _draw(head, rng)
    lengths = [
        np.linalg.norm(
            convert_coefficients(
                head, head, identity, surface_map=surface_map, noise=noise
            ).coefficients.identity
        )
        for noise in (0.1, 10.0, 1000.0)
    ]
    assert lengths[0] > lengths[1] > lengths[2]
    assert lengths[2] < 0.1 * lengths[0]


def test_a_seam_that_a_triangle_spans_tears_nothing() -> None:
    source = _tube(24)
    angles = np.arange(24) / 24
    uv = np.stack([np.stack([angles[f % 24], f // 24], axis=1) for f in source.faces]).astype(np.float32)
    last = (source.faces % 24).max(axis=1) - (source.faces % 24).min(axis=1) > 12
    uv[last, :, 0] = np.where(uv[last, :, 0] < 0.5, uv[last, :, 0] + 1.0, uv[last, :, 0])
    target = _tube(10, turned=0.1)
    from morphkit.geometry.closest_point import closest_points
    from morphkit.transfer import SurfaceMap

    closest = closest_points(source, target.vertices)
    found = transfer_uv(
        uv,
        SurfaceMap(
            source,
            target,
            source.vertices,
            closest.face_indices,
            closest.barycentrics,
            closest.distances,
            np.ones(len(target.vertices), dtype=bool),
        ),
    )
    assert found is not None
    assert np.ptp(found[:, :, 0], axis=1).max() < 1.5 / 10  # a turn of the tube is one
    middles = target.vertices[target.faces].mean(axis=1)
    expected = np.arctan2(middles[:, 1], middles[:, 0]) / (2 * np.pi) % 1.0
    off = (found[:, :, 0].mean(axis=1) - expected + 0.5) % 1.0 - 0.5
    assert np.abs(off).max() < 0.05


def _tube(n: int, turned: float = 0.0) -> Mesh:
    """Return an open tube of two rings of n vertices around z."""
    angle = 2 * np.pi * np.arange(n) / n + turned
    ring = np.column_stack([10 * np.cos(angle), 10 * np.sin(angle), 0 * angle])
    here, there = np.arange(n), (np.arange(n) + 1) % n
    faces = np.concatenate(
        [np.column_stack([here, there, there + n]), np.column_stack([here, there + n, here + n])]
    )
    return Mesh(np.concatenate([ring, ring + np.array([0.0, 0.0, 8.0])]), faces.astype(np.int32))
