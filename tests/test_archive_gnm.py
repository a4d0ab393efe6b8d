"""Google's GNM Head: its own formula at rest, and what its archive says of names, parts and mirror images."""

import numpy as np
import pytest
from model_corruption import (
    assert_bounded_memory,
    assert_formula,
    assert_refused,
    assert_survives_damage,
    check_model,
)
from model_files_linear import head

from morphkit.archive import load_model


def arrays(rng, rows=5, columns=7):
    """Return arrays named, typed and shaped as in the authors' archive, of numbers of our own."""
    vertices, faces = head(rows, columns)
    v, joints = len(vertices), 4
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (vertices / 1000).astype(np.float32),
        "template_joint_positions": rng.random((joints, 3)).astype(np.float32),
        "vertex_identity_basis": (1e-3 * rng.standard_normal((6, v, 3))).astype(np.float32),
        "joint_identity_basis": rng.random((6, joints, 3)).astype(np.float32),
        "expression_basis": (1e-3 * rng.standard_normal((4, v, 3))).astype(np.float32),
        "identity_names": np.array([f"head_{i}" for i in range(6)]),
        "expression_names": np.array(["left_eye_region_0", "right_eye_region_0", "tongue_0", "pupils_0"]),
        "skinning_weights": rng.random((joints, v)).astype(np.float32),
        "triangles": faces,
        "triangle_uvs": rng.random((len(faces), 3, 2)).astype(np.float32),
        "mirror_indices": np.arange(v)[::-1],
        "vertex_groups": (rng.random((2, v)) > 0.5).astype(np.float32),
        "vertex_group_names": np.array(["skin", "left_ear"]),
        "pose_correctives_regressor": rng.random((9 * joints, 3 * v)).astype(np.float32),
    }


def saved(tmp_path, data):
    np.savez(tmp_path / "gnm_head.npz", **data)
    return tmp_path / "gnm_head.npz"


def test_the_formula(rng, tmp_path):
    data = arrays(rng)
    model = load_model(saved(tmp_path, data))
    check_model(model)
    c, e = rng.standard_normal(6), rng.standard_normal(4)
    moved = np.einsum("i,ivd->vd", c, data["vertex_identity_basis"].astype(float))
    moved += np.einsum("i,ivd->vd", e, data["expression_basis"].astype(float))
    assert_formula(model, 1000 * (data["template_vertex_positions"] + moved), c, e)
    assert model.provenance["unit"] == "metres"
    assert "Apache" in model.provenance["licence"]
    assert "joints at rest" in model.provenance["read_notes"][0]


def test_names_parts_and_mirror_images(rng, tmp_path):
    data = arrays(rng)
    model = load_model(saved(tmp_path, data))
    np.testing.assert_array_equal(model.faces, data["triangles"])
    np.testing.assert_array_equal(model.uv, data["triangle_uvs"])
    np.testing.assert_array_equal(model.mirror, data["mirror_indices"])
    for name, row in zip(data["vertex_group_names"], data["vertex_groups"], strict=True):
        np.testing.assert_array_equal(model.masks[str(name)], row > 0.5)
    assert model.expression_units.names == tuple(data["expression_names"])
    e = model.expression_units.combine({"tongue_0": 1.0})
    truth = 1000 * (data["template_vertex_positions"] + data["expression_basis"][2].astype(float))
    assert_formula(model, truth, None, e)


def test_damaged_copies(rng, tmp_path):
    assert_survives_damage(saved(tmp_path, arrays(rng)), tmp_path)


def test_memory(rng, tmp_path):
    path = saved(tmp_path, arrays(rng, 60, 80))
    assert path.stat().st_size > 2e6
    assert_bounded_memory(path)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("triangles", lambda a: a + 1000, "refers to vertices"),
        ("triangle_uvs", lambda a: a[:-1], "triangle_uvs has the shape"),
        ("mirror_indices", lambda a: a + 1, "mirror_indices refers"),
        ("vertex_groups", lambda a: a[:1], "vertex_groups has the shape"),
        ("expression_names", lambda a: a[:2], "2 names for 4 expressions"),
        ("vertex_identity_basis", lambda a: a[:, :-1], "vertex_identity_basis has the shape"),
        ("expression_basis", lambda a: a * np.nan, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(rng, tmp_path, name, change, match):
    data = arrays(rng)
    data[name] = change(data[name])
    assert_refused(saved(tmp_path, data), match)


def test_more_expressions_than_the_mesh_has_numbers(rng, tmp_path):
    data = arrays(rng)
    count = data["template_vertex_positions"].size + 1
    data["expression_basis"] = np.zeros((count, *data["template_vertex_positions"].shape), np.float32)
    data["expression_names"] = np.array([str(i) for i in range(count)])
    assert_refused(saved(tmp_path, data), "expression_basis has .* components of")
