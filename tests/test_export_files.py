"""The files of a fit: which, whole or not at all, and what they say."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fitting_head import small_head

from morphkit.errors import MorphkitError
from morphkit.export.blender import METRE
from morphkit.export.camera import PhotoCamera
from morphkit.export.texture import AUTOMATIC
from morphkit.fitting.evidence import photo_mesh
from morphkit.fitting.output import FIT_FILES, write_fit
from morphkit.fitting.result import FitResult
from morphkit.fitting.seen import SeenLandmarks
from morphkit.fitting.uncertainty import FacePosterior
from morphkit.geometry.views import turn
from morphkit.io.images import read_image
from morphkit.io.meshes import read_mesh

SIZE = 200


@pytest.fixture(scope="module")
def result():
    """A fit that nobody fitted: a grey face in a photo of one colour."""
    head = small_head(4, 3, 2)
    expression = np.array([0.8, -0.3, 0.5])
    albedo = head.albedo_instance()
    K = np.array([[3.0 * SIZE, 0, SIZE / 2], [0, 3.0 * SIZE, SIZE / 2], [0, 0, 1]])
    camera = PhotoCamera(K, np.diag([1.0, -1, -1]) @ turn(0.3), np.array([0.0, 0, 800]), SIZE, SIZE)
    vertices = head.instance(np.ones(4), expression)
    marks = head.landmarks["ibug68"].landmarks(vertices, head.faces)
    pixels = camera.project(marks.points) + 1.0
    seen = SeenLandmarks("ibug68", marks.names, pixels, np.ones(68), np.arange(68) < 17)
    return FitResult(
        photo=np.full((SIZE, SIZE, 3), (150, 110, 90), np.uint8),
        source=Path("some one.jpg"),
        model=head,
        identity=np.ones(4),
        expression=expression,
        albedo=np.zeros(2),
        camera=camera,
        sh_coefficients=np.eye(9, 3),
        vertices=vertices,
        neutral=head.instance(np.ones(4)),
        albedo_colors=albedo,
        lit_colors=0.8 * albedo,
        seen=seen,
        landmark_error=0.02,
        landmark_energies=(2.0, 1.0),
        photometric_energies=(2.0, 1.0),
        timings={"landmarks": 0.1, "colours": 1.0},
        notes=("A note < with a sign.",),
        converged=True,
    )


def known(result):
    """Return the fit with an uncertainty and what it looked at."""
    deviations = np.linspace(0.2, 4.0, len(result.vertices))
    i, e = len(result.identity), len(result.expression)
    return replace(
        result,
        vertex_deviations=deviations,
        posterior=FacePosterior(np.eye(7 + i + e), i, e),
        attention=np.tile(np.linspace(0, 1, SIZE), (SIZE, 1)),
    )


def written(result, folder, **options):
    write_fit(result, folder, texture_size=128, **options)
    return sorted(path.name for path in folder.iterdir())


def test_all_files_are_the_documented_ones(result, tmp_path):
    documented = {name for group in FIT_FILES.values() for name in group} | {"mesh.mtl"}
    assert set(written(known(result), tmp_path / "all")) == documented
    unknown = {"uncertainty.ply", "posterior.npz", "attention.png"}
    assert set(written(result, tmp_path / "some")) == documented - unknown
    for name in documented | set(FIT_FILES):
        assert f"``{name}``" in write_fit.__doc__


@pytest.mark.parametrize("group", ["mesh", "glb", "camera", "params", "overlay", "report"])
def test_each_group_stands_alone(result, tmp_path, group):
    assert written(result, tmp_path, files=[group]) == sorted(FIT_FILES[group])


def test_groups_that_nobody_knows_are_named(result, tmp_path):
    with pytest.raises(ValueError, match=r"files: expected some of mesh, .*, got pictures"):
        write_fit(result, tmp_path / "x", files=["mesh", "pictures"])
    assert not (tmp_path / "x").exists()


def test_meshes_agree(result, tmp_path):
    written(result, tmp_path, files=["mesh", "glb", "texture"])
    mesh, plain, neutral = (read_mesh(tmp_path / name) for name in ("mesh.obj", "mesh.ply", "neutral.ply"))
    assert np.allclose(mesh.vertices, result.vertices, rtol=1e-8)
    assert np.array_equal(plain.vertices, result.vertices)
    assert np.array_equal(neutral.vertices, result.neutral)
    assert np.array_equal(mesh.texture, read_image(tmp_path / "texture.png"))
    assert np.abs(plain.colors - photo_mesh(result).colors).max() < 5e-3
    assert read_image(tmp_path / "albedo.png").shape == (128, 128, 3)
    model = read_mesh(tmp_path / "face.glb")
    corners = METRE * result.neutral[result.model.faces]
    assert np.abs(model.vertices[model.faces] - corners).max() < 1e-7
    assert np.array_equal(model.texture, mesh.texture)


def test_other_photos_of_the_person_show_the_other_side(result, tmp_path):
    turned = replace(result, camera=replace(result.camera, R=np.diag([1.0, -1, -1]) @ turn(-0.6)))
    written(result, tmp_path / "one", files=["texture"])
    written(result, tmp_path / "two", files=["texture"], others=[turned])
    seen = [read_image(tmp_path / name / "texture_visibility.png")[..., 0] for name in ("one", "two")]
    assert (seen[1] >= seen[0]).all()
    assert (seen[1] == 255).sum() > 1.2 * (seen[0] == 255).sum()
    stranger = replace(turned, model=small_head(2, 2, 2), expression=np.zeros(2))
    object.__setattr__(stranger.model, "faces", stranger.model.faces[:-1])
    with pytest.raises(ValueError, match="others: expected fits of the same model"):
        write_fit(result, tmp_path / "x", files=["texture"], others=[stranger])


def test_a_mesh_without_texture_has_the_photos_colours(result, tmp_path):
    written(result, tmp_path, files=["mesh", "glb"])
    for name in ("mesh.obj", "face.glb"):
        mesh = read_mesh(tmp_path / name)
        assert mesh.texture is None
        face = result.model.masks["face"] if name == "mesh.obj" else slice(None)
        assert np.median(mesh.colors[face], axis=0) == pytest.approx([0.305, 0.156, 0.102], abs=0.06)


def test_what_was_made_is_said_once(result, tmp_path):
    """Texture coordinates that the model lacks are a fact about it, and no doubt about a photo's fit."""
    written(result, tmp_path, files=["texture", "params", "report"])
    assert json.loads((tmp_path / "params.json").read_text())["notes"] == list(result.notes)
    page = (tmp_path / "report.html").read_text()
    assert page.count("A note &lt; with a sign.") == 1
    assert page.count(AUTOMATIC) == 1
    assert page.index(AUTOMATIC) > page.index("<h2>Numbers</h2>")
    assert "texture.png" in page
    assert "face.glb" not in page


def test_the_page_shows_what_is_known(result, tmp_path):
    written(result, tmp_path / "a", files=["report"])
    written(known(result), tmp_path / "b", files=["report"])
    plain, full = ((tmp_path / name / "report.html").read_text() for name in "ab")
    assert "How sure" not in plain
    assert "How sure" in full
    assert " mm</span>" in full
    assert full.count("data:image/jpeg") == plain.count("data:image/jpeg") + 4
    assert plain.count("<circle") == 68 + 51  # outline points slide: the face has no place for them
    assert "http" not in full.replace("http-equiv", "")


def test_a_model_without_albedo_expression_and_landmarks(result, tmp_path):
    bare = replace(result.model, albedo=None, expression=None, masks={}, mirror=None)
    poor = replace(
        result,
        model=bare,
        expression=np.zeros(0),
        vertices=result.neutral,
        albedo_colors=None,
        lit_colors=None,
        sh_coefficients=None,
    )
    names = written(poor, tmp_path)
    assert "albedo.png" not in names
    assert {"texture.png", "face.glb", "report.html"} <= set(names)


def test_a_full_disk_is_one_sentence_and_leaves_no_scraps(result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    written(result, tmp_path, files=["glb", "camera"])
    before = (tmp_path / "face.glb").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MorphkitError, match=r"face\.glb: the disk is full; free some space"):
        write_fit(result, tmp_path, files=["glb"])
    assert (tmp_path / "face.glb").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blender_camera.py", "camera.json", "face.glb"]
