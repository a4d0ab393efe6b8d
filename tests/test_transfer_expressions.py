from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from transfer_heads import MOVE, Copy, thinned_copy

from morphkit.archive import load_default_model
from morphkit.errors import NoFaceError, RegistrationError
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel
from morphkit.transfer import (
    complete_model,
    correspond,
    transfer_embeddings,
    transfer_expressions,
    transfer_masks,
    transfer_mirror,
    transfer_model,
)
from morphkit.transfer.guides import find_guides
from morphkit.transfer.lips import LOWER, UPPER, lip_sides

UNITS = ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp", "mouthPucker", "eyeLookInLeft")


@pytest.fixture(scope="module")
def copy() -> Copy:
    return thinned_copy()


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model()


def _unit(model: MorphableModel, **strengths: float) -> np.ndarray:
    assert model.expression is not None
    assert model.expression_units is not None
    return model.expression.offset(model.expression_units.combine(strengths))


def _apart(
    model: MorphableModel, embedding: LandmarkEmbedding, one: str, other: str, **units: float
) -> float:
    points = embedding.landmarks(model.instance() + _unit(model, **units), model.faces).select([one, other])
    return float(np.linalg.norm(points.points[0] - points.points[1]))


def test_transfer_to_itself_is_the_identity(head: MorphableModel) -> None:
    same = correspond(head, head)
    assert same.valid.all()
    assert np.array_equal(same.carry(head.instance()), head.instance())
    found = transfer_expressions(head, same)
    assert np.allclose(found.group.standard_deviations, head.expression.standard_deviations, rtol=1e-3)
    for i, coefficients in enumerate(head.expression_units.coefficients):
        moved = found.group.offset(found.units.coefficients[i])
        assert np.abs(moved - head.expression.offset(coefficients)).max() < 1e-3
    masks = transfer_masks(head.masks, same)
    assert masks.keys() == head.masks.keys()
    assert all(np.array_equal(masks[name], head.masks[name]) for name in masks)
    assert np.array_equal(transfer_mirror(head.mirror, same), head.mirror)
    points = transfer_embeddings(head.landmarks, same)["ibug68"].landmarks(head.instance(), head.faces)
    own = head.landmarks["ibug68"].landmarks(head.instance(), head.faces)
    assert np.abs(points.points - own.points).max() < 1e-9


def test_nothing_is_added_to_a_complete_model(head: MorphableModel) -> None:
    assert complete_model(head) is head


def test_a_copy_maps_to_where_it_comes_from(copy: Copy) -> None:
    found = copy.found
    error = np.linalg.norm(found.carry(copy.source.instance()) - copy.truth.points, axis=1)
    face = copy.whole.masks["face"]
    assert found.valid[face].mean() > 0.98
    assert np.median(error[face]) < 0.5
    assert np.quantile(error[face & found.valid], 0.99) < 4.0
    assert found.scale == pytest.approx(MOVE.scale, rel=0.01)


@pytest.mark.parametrize("unit", UNITS)
def test_a_copy_moves_like_the_source(copy: Copy, unit: str) -> None:
    true = MOVE.scale * MOVE.rotate(copy.true_values(_unit(copy.source, **{unit: 1.0})))
    moved = _unit(copy.whole, **{unit: 1.0})
    assert np.sum(moved * true) > 0.95 * np.linalg.norm(moved) * np.linalg.norm(true)
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(true), rel=0.05)


def test_the_prior_is_the_sources(copy: Copy) -> None:
    group, units = copy.whole.expression, copy.whole.expression_units
    assert group is not None
    assert units is not None
    assert group.is_orthonormal
    assert units.names == copy.source.expression_units.names
    lengths = np.linalg.norm(copy.source.expression_units.coefficients, axis=1)
    assert np.allclose(np.linalg.norm(units.coefficients, axis=1), lengths, atol=1e-3)


def test_the_whole_model_on_the_copy_and_back_is_the_model(copy: Copy, rng: np.random.Generator) -> None:
    there = transfer_model(copy.source, copy.bare, copy.found)
    back = transfer_model(there, copy.source)
    face = copy.true_values(copy.source.masks["face"][:, None].astype(float))[:, 0] > 0.5
    identity = rng.standard_normal(copy.source.identity.n_components)
    expression = 0.5 * rng.standard_normal(copy.source.expression.n_components)
    person = copy.source.instance(identity, expression)
    moved = there.instance(identity, expression) - copy.true_values(person)
    away = np.linalg.norm(moved, axis=1)[face]
    assert np.median(away) < 0.1
    assert np.quantile(away, 0.99) < 0.5
    home = np.linalg.norm(back.instance(identity, expression) - person, axis=1)[copy.source.face_mask]
    assert np.median(home) < 0.25
    assert np.quantile(home, 0.99) < 1.0


def test_lips_never_cross(copy: Copy) -> None:
    found = copy.found
    true = lip_sides(copy.source.mesh(), copy.source.landmarks["ibug68"])
    corners = true[copy.source.faces]
    here, there = corners[copy.truth.face_indices], corners[found.face_indices]
    for side, other in ((UPPER, LOWER), (LOWER, UPPER)):
        assert (here == side).all(axis=1).sum() > 20
        assert not (there[(here == side).all(axis=1)] == other).any()


def test_an_open_jaw_parts_the_lips_and_a_blink_shuts_the_lids(copy: Copy) -> None:
    points = {
        True: copy.source.landmarks["ibug68"],
        False: transfer_embeddings(copy.source.landmarks, copy.found)["ibug68"],
    }
    heads = {True: (copy.source, 1.0), False: (copy.whole, 1 / MOVE.scale)}
    open_mouth, shut_eye = (
        [factor * _apart(model, points[which], *ends, **units) for which, (model, factor) in heads.items()]
        for ends, units in ((("62", "66"), {"jawOpen": 1.0}), (("37", "41"), {"eyeBlinkRight": 1.0}))
    )
    assert open_mouth[1] == pytest.approx(open_mouth[0], rel=0.05)
    assert shut_eye[1] == pytest.approx(shut_eye[0], abs=1.5)


def test_regions_of_a_copy(copy: Copy) -> None:
    for name, mask in copy.source.masks.items():
        true = copy.true_values(mask[:, None].astype(float))[:, 0] > 0.5
        assert (copy.whole.masks[name] & true).sum() > 0.85 * (copy.whole.masks[name] | true).sum(), name


def test_what_was_added_is_recorded(copy: Copy) -> None:
    record = copy.whole.provenance["completed"][0]
    assert record["licence"] == "CC0-1.0"
    assert record["added"] == [
        "expression",
        *(f"mask {name}" for name in copy.source.masks),
        "landmarks ibug68",
        "landmarks mediapipe478",
    ]
    json.dumps(record)
    assert copy.whole.mirror is None  # thinning is not symmetric
    assert copy.whole.identity is copy.bare.identity


def test_without_a_face_to_detect_the_heads_own_points_guide(
    head: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*_: object) -> None:
        raise NoFaceError("no face was found")

    monkeypatch.setattr("morphkit.transfer.guides.detect_scan_landmarks", blind)
    template = head.template()
    guides = find_guides(template, template)
    assert guides.landmarks.names == guides.source68.names == head.landmarks["ibug68"].names
    assert guides.landmarks.standard_deviations is not None
    with pytest.raises(RegistrationError, match='it has no "ibug68" landmarks'):
        find_guides(template, replace(template, landmarks={}))
