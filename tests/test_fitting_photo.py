from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting_head import small_head
from PIL import Image

from morphkit.errors import BadInputError, MissingDependencyError, NoFaceError
from morphkit.export.camera import PhotoCamera
from morphkit.fitting import FitSettings, fit_image, write_fit
from morphkit.fitting.colors import PhotometricEnergy
from morphkit.fitting.contour import landmark_observer
from morphkit.fitting.dense import dense_model
from morphkit.fitting.doubts import landmark_error
from morphkit.fitting.intrinsics import focal_prior
from morphkit.fitting.landmark import POSE, Face, FocalPrior, LandmarkEnergy
from morphkit.fitting.look import Look, draw
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.result import NOW_POINTS
from morphkit.fitting.seen import seen_ibug68
from morphkit.fitting.settings import LandmarkSettings, PhotometricSettings, UnexplainedSettings
from morphkit.fitting.shading import fit_light, light_prior, reflection_basis, reflection_slope
from morphkit.fitting.trust import estimate_trust
from morphkit.fitting.window import Window, cut_window
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.io.meshes import read_mesh
from morphkit.landmarks.given import read_photo_landmarks
from morphkit.mesh import LandmarkEmbedding
from morphkit.rendering import lighting
from morphkit.rendering.rasterizer import get_rasterizer

SIZE = 256
LIGHT = np.zeros((9, 3))
LIGHT[0], LIGHT[1], LIGHT[2], LIGHT[3] = [4.2, 4.0, 3.8], -0.9, -1.4, 0.7


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def truth(head):
    rng = np.random.default_rng(5)
    rotation = rotation_matrix(np.array([0.08, -0.25, 0.05])) @ np.diag([1.0, -1.0, -1.0])
    pose = Pose(rotation, np.array([4.0, -6.0]), 0.95, 1.4 * SIZE, np.array([SIZE / 2, SIZE / 2]))
    identity, expression = rng.normal(size=12), rng.normal(size=4)
    return Look(Face(pose, identity, expression), rng.normal(size=6), LIGHT)


@pytest.fixture(scope="module")
def photo(head, truth):
    """The truth rendered by another path than the fit's energy: no attention, a grey wall behind."""
    wall = Window(np.full((SIZE, SIZE, 3), 0.2, np.float32), np.ones((SIZE, SIZE), bool), 0.0, 0.0, 1.0)
    with torch.no_grad():
        picture = draw(truth, dense_model(head), wall, get_rasterizer("numba"))
    return linear_to_srgb_uint8(picture.image)


def given_landmarks(head, truth, noise=0.0):
    vertices = head.instance(truth.face.identity, truth.face.expression).astype(np.float64)
    pixels = truth.face.pose.project(head.landmarks["ibug68"].landmarks(vertices, head.faces).points)
    pixels += noise * np.random.default_rng(8).normal(size=pixels.shape)
    pixels[:17] = np.nan
    return pixels


def shape_error(result, head, truth):
    vertices = head.instance(truth.face.identity, truth.face.expression)
    seen = head.masks["face"]
    offset = result.vertices[seen] - vertices[seen]
    return np.linalg.norm(offset - offset.mean(axis=0), axis=1).mean()


def test_colours_lower_the_energy_and_the_shape_error(head, truth, photo):
    settings = FitSettings(replace(LandmarkSettings(), focal_deviation=0.02))
    marks = given_landmarks(head, truth, noise=1.5)
    sparse = fit_image(photo, head, landmarks=marks, settings=replace(settings, photometric=None))
    encoded = replace(head, provenance={"albedo_color_space": "sRGB (not stated)"})
    dense = fit_image(photo, encoded, landmarks=marks, settings=settings)
    assert shape_error(dense, head, truth) < 0.7 * shape_error(sparse, head, truth)
    assert dense.notes[-1].endswith("morphkit convert --linear-albedo carries them over.")
    assert sparse.notes == ()
    assert dense.lit_colors is not None
    assert sparse.sh_coefficients is None


def test_derivatives_of_the_drawn_colours(head, truth, photo):
    model, rasterizer = dense_model(head), get_rasterizer("numba")
    pixels = truth.face.pose.project(model.vertices(truth.face).astype(np.float64))
    window = cut_window(photo, pixels, 160)
    with torch.no_grad():
        picture = draw(truth, model, window, rasterizer)
        window = replace(window, image=picture.image)
        seen = landmark_observer(head, seen_ibug68(given_landmarks(head, truth), 1.0, LandmarkSettings()))
        sparse = LandmarkEnergy(seen(truth.face), FocalPrior(360.0, 0.1), LandmarkSettings())
        trust = estimate_trust(truth, picture, model, window, PhotometricSettings())
        energy = PhotometricEnergy(model, window, sparse, PhotometricSettings(), trust)
        chosen = np.arange(0, len(picture.row), 5)
        jacobian = energy._jacobian(truth, picture, chosen)
        rows, columns = picture.row[chosen], picture.column[chosen]
        for k in [*range(POSE), POSE, POSE + 5, POSE + 12, POSE + 16, POSE + 22, POSE + 30]:
            step = np.zeros(jacobian.shape[2])
            step[k] = 0.004 / np.abs(jacobian[:, :, k]).mean()
            one, two = (draw(truth.moved(s), model, window, rasterizer).image for s in (step, -step))
            numeric = (np.sqrt(one + 0.004) - np.sqrt(two + 0.004)) / (2 * step[k])
            analytic = jacobian[:, :, k].ravel()
            slope = (numeric[rows, columns].ravel() @ analytic) / (analytic @ analytic)
            assert slope == pytest.approx(1.0, abs=0.12), k


def test_the_gradient_of_the_light_priors_is_that_of_their_energy(head, truth, photo):
    model = dense_model(head)
    rasterizer = get_rasterizer("numba")
    pixels = truth.face.pose.project(model.vertices(truth.face).astype(np.float64))
    window = cut_window(photo, pixels, 48)
    with torch.no_grad():
        picture = draw(truth, model, window, rasterizer)
    trust = estimate_trust(truth, picture, model, window, PhotometricSettings())
    observe = landmark_observer(head, seen_ibug68(given_landmarks(head, truth), 2.0, LandmarkSettings()))
    sparse = LandmarkEnergy(observe(truth.face), FocalPrior(500.0, 0.3), LandmarkSettings())
    problem = PhotometricEnergy(model, window, sparse, PhotometricSettings(), trust)
    count = len(sparse.normal_equations(truth.face)[1]) + len(truth.albedo) + 27
    _, gradient = problem._with_priors(truth, np.zeros((count, count)), np.zeros(count))
    for k in range(27):
        step = np.zeros(27)
        step[k] = 1e-5
        one, two = (
            problem._light_energy(replace(truth, light=truth.light + s.reshape(9, 3))) for s in (step, -step)
        )
        assert 2.0 * gradient[count - 27 + k] == pytest.approx((one - two) / 2e-5, rel=1e-5, abs=1e-5)


def test_a_burnt_out_photo_is_fitted_by_its_landmarks(head, truth, photo):
    result = fit_image(np.full_like(photo, 255), head, landmarks=given_landmarks(head, truth))
    assert result.sh_coefficients is None
    assert any("landmarks were fitted" in note for note in result.notes)


def test_shading_agrees_with_the_renderer(rng):
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.allclose(
        reflection_basis(normals), lighting.reflection_basis(torch.from_numpy(normals)).numpy()
    )
    slope = reflection_slope(normals, LIGHT)
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        numeric = (reflection_basis(normals + step) - reflection_basis(normals - step)) @ LIGHT / 2e-6
        assert np.allclose(slope[:, :, k], numeric, atol=1e-7)


def test_light_is_recovered_from_colours(rng):
    normals = rng.normal(size=(400, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    albedo = rng.uniform(0.1, 0.6, (400, 3))
    colors = albedo * (reflection_basis(normals) @ LIGHT)
    assert np.allclose(fit_light(albedo, normals, colors, np.ones(400), np.zeros((27, 27))), LIGHT, atol=1e-5)
    white = fit_light(albedo, normals, colors, np.ones(400), light_prior(0.0, 1e6))
    assert np.ptp(white, axis=1).max() < 1e-3


def test_window_keeps_colours_and_places():
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[50:150, 100:200] = 188  # linear 0.5
    window = cut_window(photo, np.array([[100.0, 50.0], [200.0, 150.0]]), 50, margin=0.25)
    assert (window.left, window.top, window.zoom) == (50.0, 0.0, 0.25)
    assert np.allclose(window.image[14:36, 14:36], 0.503, atol=2e-3)
    assert np.allclose(window.image[:10], 0.0, atol=1e-6)
    outside = cut_window(photo, np.array([[-50.0, -50.0], [50.0, 50.0]]), 40, margin=0.0)
    assert not outside.usable[:18, :].any()
    assert outside.usable[22:, 22:].all()


def test_fit_files_round_trip(head, truth, photo, tmp_path):
    path = tmp_path / "someone.png"
    Image.fromarray(photo).save(path)
    marks = given_landmarks(head, truth)
    file = tmp_path / "marks.json"
    file.write_text(json.dumps([None if np.isnan(p[0]) else p.tolist() for p in marks]))
    result = fit_image(path, head, landmarks=file)
    write_fit(result, tmp_path / "out")
    out = tmp_path / "out"
    for name in ("mesh.obj", "mesh.ply"):
        mesh = read_mesh(out / name)
        assert len(mesh.faces) == len(head.faces)
        assert np.allclose(mesh.vertices, result.vertices, atol=1e-3)
    camera = json.loads((out / "camera.json").read_text())
    K, R, t = (np.array(camera[k]) for k in "KRt")
    homogeneous = (result.vertices @ R.T + t) @ K.T
    assert np.allclose(homogeneous[:, :2] / homogeneous[:, 2:], result.camera.project(result.vertices))
    assert (camera["width"], camera["height"]) == (SIZE, SIZE)
    overlay = np.asarray(Image.open(out / "overlay.png"))
    assert overlay.shape == photo.shape
    inside = result.camera.project(result.vertices[head.masks["face"]]).astype(int).clip(0, SIZE - 1)
    difference = np.abs(overlay.astype(float) - photo).mean(axis=2)
    assert np.median(difference[inside[:, 1], inside[:, 0]]) < 12  # right place, right way up, right colours
    assert difference[:8].max() == 0  # the wall is left alone
    points = json.loads((out / "landmarks3d.json").read_text())
    assert set(points) == set(NOW_POINTS)
    assert points["left_eye_outer"][0] > points["left_eye_inner"][0] > points["right_eye_inner"][0]
    values = json.loads((out / "params.json").read_text())
    assert len(values["identity"]) == 12
    assert values["model"]["digest"] == head.digest
    with np.load(out / "posterior.npz") as file:
        np.testing.assert_array_equal(file["mean"], [*values["identity"], *values["expression"]])
        known = [*values["posterior"]["identity_deviations"], *values["posterior"]["expression_deviations"]]
        np.testing.assert_allclose(np.sqrt(np.diag(file["covariance"])), known)
    assert values["landmark_error"] == pytest.approx(result.landmark_error)
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 15
    assert "http" not in page.replace("http-equiv", "")
    files = (
        "albedo.png attention.png blender_camera.py camera.json face.glb landmarks3d.json mesh.mtl mesh.obj "
        "mesh.ply neutral.ply overlay.png params.json posterior.npz report.html side_by_side.png texture.png "
        "texture_visibility.png uncertainty.ply"
    )
    assert sorted(p.name for p in out.iterdir()) == files.split()


def test_a_model_of_shape_alone_still_fits(head, truth, photo, tmp_path):
    bare = replace(head, albedo=None, expression=None, masks={}, mirror=None)
    result = fit_image(photo, bare, landmarks=given_landmarks(head, truth))
    assert result.albedo_colors is None
    assert any("no albedo" in note for note in result.notes)
    write_fit(result, tmp_path / "bare")
    assert (tmp_path / "bare" / "face.glb").exists()
    assert not (tmp_path / "bare" / "albedo.png").exists()


def test_refusals(head, tmp_path):
    grey = np.full((120, 160, 3), 128, np.uint8)
    with pytest.raises(NoFaceError, match="no face was found"):
        fit_image(grey, head)
    with pytest.raises(BadInputError, match="embeds 0 of the ibug68"):
        fit_image(grey, replace(head, landmarks={}), landmarks=np.zeros((68, 2)))
    for content in ("[1, 2]", "{", json.dumps([None] * 68), json.dumps([[1, 2]] * 67)):
        file = tmp_path / "bad.json"
        file.write_text(content)
        with pytest.raises(BadInputError, match=r"bad\.json"):
            read_photo_landmarks(file)


def test_exif_names_the_focal_length(tmp_path):
    plain, named = tmp_path / "plain.jpg", tmp_path / "named.jpg"
    image = Image.new("RGB", (360, 240))
    image.save(plain)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    image.save(named, exif=exif)
    settings = LandmarkSettings()
    assert focal_prior(plain, 360, 240, settings).focal == settings.focal_length * 360
    known = focal_prior(named, 360, 240, settings)
    assert known.focal == pytest.approx(500.0)
    assert known.deviation == settings.exif_focal_deviation
    # a turned photo, a cropped one
    for size, taken in (((240, 360), 500.0), ((240, 240), settings.focal_length * 240)):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0xA405: 50, 0xA002: 3600, 0xA003: 2400})
        Image.new("RGB", size).save(named, exif=exif)
        assert focal_prior(named, *size, settings).focal == pytest.approx(taken)


def test_landmark_files_that_hold_no_face_are_refused(head, tmp_path):
    grey = np.full((120, 160, 3), 128, np.uint8)
    file = tmp_path / "marks.json"
    spread = np.random.default_rng(3).uniform(10, 100, (68, 2))
    refused = {
        "one place": np.full((68, 2), 5.0).tolist(),
        "one line": [[i, i + 1.5 * (i % 2)] for i in range(68)],
        r"point 0 is \[1\]": [[1]] * 68,
        "point 0 is 1": [1] * 68,
        r"point 0 is \[true": [[True, False]] * 68,
        "point 0 is .*Infinity": [[float("inf"), 1]] * 68,
        "point 0 is .*000": [[10**300, 1]] * 68,
        "68 of 68 points lie outside": (spread + 5000).tolist(),
        "1 of 68 points lie outside": [*spread[:67].tolist(), [-300, 20]],
        "no list of points": 3,
        "no face with 68": {"faces": []},
        "0 known points": {"a": 1},
        "5 known points": [*spread[:5].tolist(), *[None] * 63],
    }
    for reason, content in refused.items():
        file.write_text(json.dumps(content))
        with pytest.raises(BadInputError, match=rf"marks\.json: .*{reason}.*68 iBUG points"):
            fit_image(grey, head, landmarks=file)
    file.write_text("[" * 100_000)
    with pytest.raises(BadInputError, match="not JSON"):
        read_photo_landmarks(file)
    with pytest.raises(BadInputError, match=r"^There is no file .*missing\.json"):
        read_photo_landmarks(tmp_path / "missing.json")
    with pytest.raises(BadInputError, match=r"the landmarks: .*one place"):
        fit_image(grey, head, landmarks=np.zeros((68, 2)))
    marks = head.landmarks["ibug68"]
    eyes = LandmarkEmbedding(marks.names[36:48], marks.face_indices[36:48], marks.barycentrics[36:48])
    spread[36:46] = np.nan
    with pytest.raises(BadInputError, match="knows 2 of these points"):
        fit_image(grey, replace(head, landmarks={"ibug68": eyes}), landmarks=spread)


def test_detected_landmarks_are_read_back(tmp_path):
    points = np.random.default_rng(3).uniform(10, 100, (68, 2)).tolist()
    file = tmp_path / "photo.landmarks.json"
    file.write_text(json.dumps({"image": "photo.png", "faces": [{"points68": points}, {"points68": []}]}))
    assert np.allclose(read_photo_landmarks(file), points)


def test_landmarks_of_no_face_are_doubted_or_refused(head, truth, photo):
    settings = FitSettings(photometric=None)
    marks = given_landmarks(head, truth)
    assert fit_image(photo, head, landmarks=marks, settings=settings).notes == ()
    noisy = fit_image(photo, head, landmarks=given_landmarks(head, truth, noise=25.0), settings=settings)
    assert noisy.landmark_error > 0.1
    assert any(re.match(r"The landmarks lie \d+ % of the eye distance off", note) for note in noisy.notes)
    mirrored = marks * [-1, 1] + [SIZE, 0]
    with pytest.raises(BadInputError, match="no face fits these points"):
        fit_image(photo, head, landmarks=mirrored, settings=settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="only without a GPU")
def test_a_missing_gpu_is_told_before_anything_else(tmp_path):
    with pytest.raises(MissingDependencyError, match="GPU"):
        fit_image(tmp_path / "missing.png", rasterizer="nvdiffrast", settings=FitSettings(photometric=None))


@pytest.mark.parametrize("yaw", [0.0, 0.6, 1.4])
def test_the_landmark_error_does_not_grow_with_the_turn_of_the_head(yaw: float) -> None:
    model = small_head()
    vertices = model.instance().astype(np.float64)
    marks = model.landmarks["ibug68"].landmarks(vertices, model.faces)
    upright = np.diag([1.0, -1.0, -1.0]) @ rotation_matrix(np.array([0.0, yaw, 0.0]))
    eyes = marks.select(["36", "45"]).points
    middle = eyes.mean(axis=0)
    K = np.array([[1000.0, 0, 300], [0, 1000, 300], [0, 0, 1]])
    camera = PhotoCamera(K, upright, np.array([0.0, 0.0, 800.0]) - upright @ middle, 600, 600)
    points = np.full((68, 2), np.nan)
    points[[int(name) for name in marks.names]] = camera.project(marks.points) + np.array([3.0, 4.0])
    expected = 5.0 * 800.0 / (1000.0 * np.linalg.norm(eyes[1] - eyes[0]))
    assert landmark_error(model, vertices, camera, points) == pytest.approx(expected, rel=1e-9)


def test_no_step_puts_the_light_out(truth):
    step = np.zeros(POSE + 12 + 4 + 6 + 27)
    step[-27:-24] = -100.0
    assert (truth.moved(step).light[0] == 0.5 * truth.light[0]).all()


def test_a_black_photo_with_given_landmarks_is_written(tmp_path, head, truth, photo):
    result = fit_image(np.zeros_like(photo), head, landmarks=given_landmarks(head, truth))
    write_fit(result, tmp_path / "black")
    assert np.isfinite(result.vertex_deviations).all()
    assert (tmp_path / "black" / "texture.png").exists()


def test_a_window_without_pixels_says_nothing(head, truth, photo):
    model = dense_model(head)
    pixels = truth.face.pose.project(model.vertices(truth.face).astype(np.float64))
    window = cut_window(np.full_like(photo, 255), pixels, 48)
    with torch.no_grad():
        picture = draw(truth, model, window, get_rasterizer("numba"))
    trust = estimate_trust(truth, picture, model, window, PhotometricSettings())
    everywhere = np.ones((48, 48), bool)
    assert trust.white_residuals(picture, window, everywhere).shape == (0,)
    assert trust.whiten(np.zeros((0, 3, 5))).shape == (0, 5)


def test_a_look_is_judged_only_where_both_are_seen(head, truth, photo):
    model = dense_model(head)
    pixels = truth.face.pose.project(model.vertices(truth.face).astype(np.float64))
    window = cut_window(photo, pixels, 96)
    with torch.no_grad():
        picture = draw(truth, model, window, get_rasterizer("numba"))
        darker = draw(replace(truth, light=0.5 * truth.light), model, window, get_rasterizer("numba"))
    trust = estimate_trust(truth, picture, model, window, PhotometricSettings())
    own = trust.white_residuals(picture, window, picture.compared)
    nowhere = trust.white_residuals(darker, window, np.zeros((96, 96), bool))
    assert np.allclose(own, trust.whiten(trust.residuals[:, :, None])[:, 0])
    assert np.array_equal(nowhere, own)
    worse = trust.white_residuals(darker, window, darker.compared)
    assert worse @ worse > 2.0 * own @ own


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (UnexplainedSettings, "chroma", 0.0),
        (UnexplainedSettings, "fine_deviation", float("nan")),
        (UnexplainedSettings, "symmetry", 1.5),
        (UnexplainedSettings, "most_deviation", 0.01),
        (PhotometricSettings, "sizes", ()),
        (PhotometricSettings, "blocks", 0),
        (PhotometricSettings, "blocks", 192),
        (PhotometricSettings, "detail", -1.0),
        (PhotometricSettings, "outlier", 0.0),
        (PhotometricSettings, "iterations", 0),
        (LandmarkSettings, "lip_gap_deviation", 0.0),
        (LandmarkSettings, "huber", float("nan")),
        (LandmarkSettings, "rounds", 0),
        (LandmarkSettings, "expression_spread", 0.0),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, name, value):
    with pytest.raises(ValueError, match=name):
        settings(**{name: value})
