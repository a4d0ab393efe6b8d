"""What the viewer is made of: surfaces as bytes, lights, colours, picking, samples, files."""

import io
import json
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from fitted_by_nobody import SIZE, fit_by_nobody
from viewer_scenes import round_model, write_fit_folder

from morphkit.archive import load_default_model, load_model, save_model
from morphkit.errors import BadInputError
from morphkit.fitting import write_fit
from morphkit.fitting.uncertainty import FacePosterior
from morphkit.posterior import posterior
from morphkit.rendering.lighting import ambient_light, directional_light, reflection_basis
from morphkit.viewer.coalescing import LatestOnly
from morphkit.viewer.comparing import distance_colors, distances, legend
from morphkit.viewer.exporting import exported, save
from morphkit.viewer.lighting import MOST_LAMPS, direction, lamps_like, one_lamp
from morphkit.viewer.picking import describe, meet
from morphkit.viewer.sampling import Pins, pinned, sampled
from morphkit.viewer.session import Session
from morphkit.viewer.state import FaceState
from morphkit.viewer.subject import open_subject
from morphkit.viewer.surface import SurfaceWriter
from morphkit.viewer.tone import tone_mapped, untoned


@pytest.fixture(scope="module")
def head():
    return load_default_model()


# --- surfaces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [7, 260])  # short indices, and long ones
def test_a_surface_is_binary_gltf_of_these_vertices(n, rng):
    model = round_model(n)
    vertices, colors = model.instance(), rng.uniform(0, 1, (model.n_vertices, 3))
    content = SurfaceWriter(model.faces, model.n_vertices, 0.01)(vertices, colors)
    assert len(content) % 4 == 0
    scene = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    (mesh,) = scene.dump()
    np.testing.assert_allclose(mesh.vertices, 0.01 * vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, model.faces)


def test_a_movement_sends_no_more_than_the_surface():
    model = round_model(173)  # 30 000 vertices
    content = SurfaceWriter(model.faces, model.n_vertices)(model.instance(), model.instance())
    assert len(content) < 24 * model.n_vertices + 2 * model.faces.size + 1500


# --- lights and colours -----------------------------------------------------------------------------


def test_lamps_shade_as_the_photos_light_does(rng):
    import torch

    light = ambient_light(radiance=0.4) + directional_light(
        torch.tensor([[0.3, -0.5, -0.8]]), torch.tensor([[0.9, 0.7, 0.5]])
    )
    lamps = lamps_like(light[0].double().numpy())
    normals = rng.standard_normal((500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wanted = reflection_basis(torch.from_numpy(normals)).numpy() @ light[0].double().numpy()
    assert len(lamps.directions) <= MOST_LAMPS
    assert np.abs(lamps.shading(normals) - wanted).max() < 0.1
    assert np.sqrt(np.mean((lamps.shading(normals) - wanted) ** 2)) < 0.03


def test_a_photos_light_is_turned_into_the_heads_frame():
    import torch

    turn = np.diag([1.0, -1.0, -1.0])  # a camera in front of the face: y down, z into the scene
    light = directional_light(torch.tensor([[0.0, -1.0, 0.0]]), torch.ones(1, 3))[0].double().numpy()
    lamps = lamps_like(light, turn)
    assert lamps.shading(np.array([[0.0, 1.0, 0.0]])).mean() > 0.9  # from above
    assert lamps.shading(np.array([[0.0, -1.0, 0.0]])).mean() < 0.15


def test_one_lamp_lights_what_faces_it():
    lamps = one_lamp(90.0, 0.0, 0.8, 0.1)
    np.testing.assert_allclose(direction(90.0, 0.0), [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(lamps.shading(np.array([[1.0, 0, 0], [-1.0, 0, 0]])), [[0.9] * 3, [0.1] * 3])


def test_colours_come_through_the_browsers_curve_unchanged(rng):
    colors = rng.uniform(0.02, 0.75, (200, 3)) * np.array([1.0, 0.9, 0.8])
    wanted = 0.6 * colors + 0.4 * colors.mean(axis=1, keepdims=True)  # as muted as skin
    np.testing.assert_allclose(tone_mapped(untoned(wanted)), wanted, atol=1e-9)
    # as Chromium drew them (0..255, sRGB)
    seen = {0.2: 135, 0.5: 197, 1.0: 226}
    for grey, code in seen.items():
        linear = float(tone_mapped(np.full((1, 3), grey))[0, 1])
        assert abs(255 * (1.055 * linear ** (1 / 2.4) - 0.055) - code) < 1.5


def test_distances_are_between_the_same_vertices(head, rng):
    vertices = head.instance()
    moved = vertices + np.array([0.0, 3.0, 4.0])
    np.testing.assert_allclose(distances(vertices, moved), 5.0)
    colors = distance_colors(np.array([0.0, 2.0, 100.0]), 2.0)
    np.testing.assert_array_equal(colors[1], colors[2])  # beyond the scale: its end, not another colour
    assert (colors[0] != colors[1]).any()
    assert (legend(2.0) != legend(2.0, dark=True)).any()


# --- picking ----------------------------------------------------------------------------------------


def test_a_ray_meets_the_vertex_that_it_was_shot_at(head):
    vertices = head.instance()
    nose = int(np.argmax(vertices[:, 2]))
    eye = np.array([0.0, 0.0, 600.0])
    assert meet(vertices, head.faces, eye, vertices[nose] - eye) == nose
    assert meet(vertices, head.faces, eye, np.array([0.0, 0.0, 1.0])) is None  # away from it
    behind = np.array([0.0, 0.0, -600.0])
    assert vertices[meet(vertices, head.faces, behind, -behind)][2] < 0  # the nearest sheet, not the nose


def test_a_vertex_is_described_by_its_landmark_and_its_spread(head):
    vertices = head.instance()
    tip = head.landmarks["ibug68"].landmarks(vertices, head.faces).select(["30"]).points[0]
    index = int(np.argmin(np.linalg.norm(vertices - tip, axis=1)))
    found = describe(head, vertices, index)
    assert found.landmark is not None
    assert found.distance < 3.0
    np.testing.assert_allclose(
        found.deviations["identity"], head.identity.vertex_deviations()[index], rtol=1e-5
    )
    assert "face" in found.masks
    crown = describe(head, vertices, int(np.argmax(vertices[:, 1])))
    assert crown.landmark is None


# --- faces by chance --------------------------------------------------------------------------------


def test_pins_give_the_models_posterior_mean(rng):
    model = round_model(components=6).identity
    indices = np.array([3, 77, 200])
    points = model.mean[indices] + rng.normal(0, 20, (3, 3))
    found = pinned(model, Pins(indices, points, 2.0))
    wanted = model.project(posterior(model, indices, points, 2.0).mean.astype(np.float64))
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_samples_about_pins_vary_as_the_posterior_does(rng):
    model = round_model(components=4).identity
    indices, points = np.array([3, 200]), model.mean[[3, 200]].astype(np.float64)
    given = posterior(model, indices, points, 5.0)
    drawn = np.array([pinned(model, Pins(indices, points, 5.0), rng=rng) for _ in range(4000)])
    moves = model.basis.astype(np.float64) * model.standard_deviations
    wanted = np.linalg.lstsq(moves, given.basis * given.standard_deviations, rcond=None)[0]
    np.testing.assert_allclose(np.cov(drawn.T), wanted @ wanted.T, atol=0.06)


def test_a_pinned_vertex_goes_where_it_is_held(head, rng):
    session = Session(open_subject())
    vertices = session.state.vertices
    nose = int(np.argmax(vertices[:, 2]))
    session.picked, session.give = nose, 0.2
    assert session.pin() == nose
    session.drag_pin(nose, vertices[nose] + np.array([0.0, 0.0, 6.0]))
    session.obey_pins()
    moved = session.state.vertices
    assert abs(moved[nose, 2] - vertices[nose, 2] - 6.0) < 1.0
    session.sample()
    assert np.linalg.norm(session.state.vertices[nose] - vertices[nose] - [0, 0, 6.0]) < 1.5
    assert np.linalg.norm(session.state.vertices - moved, axis=1).max() > 2.0  # elsewhere they differ
    session.reset()
    np.testing.assert_array_equal(session.state.vertices, vertices)


def test_a_fits_samples_have_its_covariance(head, rng):
    subject = open_subject()
    start = FaceState(subject.model).coefficients
    n = len(start.identity) + len(start.expression)
    factor = np.tril(rng.normal(0, 0.1, (n, n)))
    drawn = [sampled(start, factor, rng) for _ in range(3000)]
    both = np.array([np.concatenate([face.identity, face.expression]) for face in drawn])
    assert np.abs(np.cov(both.T) - factor @ factor.T).max() < 0.25 * np.abs(factor @ factor.T).max()


# --- fits and files ---------------------------------------------------------------------------------


def test_a_fits_folder_begins_with_its_coefficients(head, rng, tmp_path):
    found = write_fit_folder(tmp_path / "fits" / "nobody", head, rng)
    subject = open_subject(tmp_path / "fits")  # the only fit in it
    assert subject.title == "nobody"
    for name, values in found.items():
        np.testing.assert_array_equal(getattr(subject.start, name), values)
    assert subject.painted is not None
    assert subject.caption.startswith("overlay.png")
    assert subject.camera is not None
    assert subject.notes
    session = Session(subject)
    assert session.coloring().unlit
    session.sample()
    assert np.std(session.state.group("identity") - found["identity"]) == pytest.approx(0.1, rel=0.4)


def test_a_fit_itself_is_shown_with_its_whole_posterior(head, rng):
    root = rng.normal(0, 0.05, (7 + 4 + 3 + 2, 7 + 4 + 3 + 2))
    posterior_of_all = FacePosterior(root @ root.T + 1e-6 * np.eye(16), identity=4, expression=3)
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    fit = replace(fit_by_nobody(head, photo, np.full((head.n_vertices, 3), 0.5)), posterior=posterior_of_all)
    subject = open_subject(fit)
    assert (subject.title, subject.caption) == ("a.png", "The photo")
    np.testing.assert_allclose(subject.factor @ subject.factor.T, posterior_of_all.shape_covariance)
    session = Session(subject)
    session.sample()
    assert np.count_nonzero(session.state.group("identity")) == 4  # the others were not fitted


def test_a_fit_of_another_model_is_refused(head, rng, tmp_path):
    write_fit_folder(tmp_path / "fit", round_model(), rng)
    with pytest.raises(BadInputError, match="fit of another model than the one at hand; name the model"):
        open_subject(tmp_path / "fit")
    assert open_subject(tmp_path / "fit", model=round_model()).title == "fit"
    with pytest.raises(BadInputError, match="another model"):  # as many vertices, other shapes
        open_subject(tmp_path / "fit", model=round_model(seed=1))


def test_a_fit_names_its_model_and_how_its_coefficients_vary_together(tmp_path, rng):
    model = round_model()
    found = write_fit_folder(tmp_path / "fit", model, rng)
    k = len(found["identity"]) + len(found["expression"])
    factor = np.tril(0.1 * rng.standard_normal((k, k))) + np.eye(k)
    np.savez(tmp_path / "fit" / "posterior.npz", mean=np.zeros(k), covariance=factor @ factor.T)
    subject = open_subject(tmp_path / "fit", model=model)
    np.testing.assert_allclose(subject.factor @ subject.factor.T, factor @ factor.T)
    assert subject.notes == ()
    (tmp_path / "fit" / "posterior.npz").write_bytes(b"PK")
    assert len(open_subject(tmp_path / "fit", model=model).notes) == 1
    params = tmp_path / "fit" / "params.json"
    said = json.loads(params.read_text())
    params.write_text(json.dumps({**said, "model": {"name": "bfm.h5", "digest": model.digest}}))
    open_subject(tmp_path / "fit", model=model)
    params.write_text(json.dumps({**said, "model": {"name": "bfm.h5", "digest": "0"}}))
    with pytest.raises(BadInputError, match=r"than the one at hand, bfm\.h5; name the model"):
        open_subject(tmp_path / "fit", model=model)


def test_a_fit_finds_the_file_of_its_model(tmp_path, monkeypatch, rng):
    model, path = round_model(), tmp_path / "trip" / "own.npz"
    fit = tmp_path / "trip" / "fits" / "ada" / "1"
    write_fit_folder(fit, model, rng)
    save_model(path, model)
    said = json.loads((fit / "params.json").read_text())

    here = load_model(path).digest

    def opened(name):
        named = {"name": "own", "file": name, "digest": here}
        (fit / "params.json").write_text(json.dumps({**said, "model": named}))
        return open_subject(fit).model.digest

    assert opened(str(path)) == here
    monkeypatch.chdir(tmp_path)
    assert opened("trip/own.npz") == here
    monkeypatch.chdir("/")  # beside the fits, whatever their folder is called now
    assert opened("trip/own.npz") == opened("/elsewhere/own.npz") == here
    wrong = tmp_path / "else"  # files of that name that are other models', or none
    wrong.mkdir()
    save_model(wrong / "own.npz", round_model(seed=1))
    monkeypatch.chdir(wrong)
    assert opened("own.npz") == here
    (fit / "own.npz").write_bytes(b"no model")
    assert opened("own.npz") == opened(str(wrong / "own.npz")) == here
    (tmp_path / "link").symlink_to(fit)
    assert open_subject(tmp_path / "link").model.digest == here
    monkeypatch.chdir(fit)
    assert open_subject(".").model.digest == here
    for gone in ("other.npz", "x" * 5000, "a\0b", ".", ".."):
        with pytest.raises(
            BadInputError, match=r"1 is a fit of the model .* not found as it was; name it \(--model\)"
        ):
            opened(gone)
    assert open_subject(fit, model=model).model is model
    with pytest.raises(BadInputError, match="another model"):  # none named: the embedded head
        opened("")


def test_a_fit_says_which_file_its_model_is_of_and_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = load_default_model()
    save_model("own.h5", head.truncate(identity=8, expression=4, albedo=2))
    own = load_model("own.h5")
    assert own.truncate(identity=3).origin is None  # which would keep the whole model
    for model, named in (
        (own, "own.h5"),
        (replace(own, masks={}), "own.h5"),
        (pickle.loads(pickle.dumps(own)), "own.h5"),  # noqa: S301 - our own
        (own.truncate(identity=3), None),
        (replace(own, albedo=None), None),
        (own.marginal(np.arange(own.n_vertices)), None),
        (head, None),
    ):
        fit = fit_by_nobody(head, np.zeros((SIZE, SIZE, 3), np.uint8), np.full((head.n_vertices, 3), 0.5))
        write_fit(replace(fit, model=model), tmp_path / "fit", files=["params"])
        assert json.loads((tmp_path / "fit" / "params.json").read_text())["model"]["file"] == named


@pytest.mark.parametrize("content", ["", "[]", '{"identity": ["a"]}', '{"identity": [null]}', "{"])
def test_a_damaged_fit_is_refused_in_a_sentence(content, tmp_path):
    (tmp_path / "params.json").write_text(content)
    with pytest.raises(BadInputError, match=r"params\.json .*fit the photo again"):
        open_subject(tmp_path)


def test_of_several_fits_one_must_be_named(head, rng, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.json").write_text("{}")
    with pytest.raises(BadInputError, match=r"holds 2 fits \(a, b\); name one"):
        open_subject(tmp_path)


def test_exports_are_the_face_on_the_screen(head, rng, tmp_path):
    import morphkit

    session = Session(open_subject(), output=tmp_path)
    session.state.move("identity", 0, 2.0)
    session.state.move_unit("jawOpen", 0.5)
    name, content, path = session.export("json")
    assert name == "the_embedded_head.json"
    assert path is not None
    assert path.read_bytes() == content
    said = json.loads(content)
    again = head.instance(np.array(said["identity"]), np.array(said["expression"]))
    np.testing.assert_allclose(again, session.state.vertices, rtol=0, atol=1e-4)
    assert said["expression_units"]["jawOpen"] == 0.5
    for suffix, unit in (("ply", 1.0), ("obj", 1.0), ("glb", 1000.0)):
        written = session.export(suffix)[2]
        mesh = morphkit.read_mesh(written)
        if suffix != "glb":  # which is split at texture seams
            np.testing.assert_allclose(unit * mesh.vertices, session.state.vertices, atol=1e-3)
        np.testing.assert_allclose(np.ptp(unit * mesh.vertices), np.ptp(session.state.vertices), rtol=1e-4)
    assert save(tmp_path, "a", "ply", b"1") != save(tmp_path, "a", "ply", b"2")  # nothing is overwritten
    assert exported(session.state, "ply")[:3] == b"ply"


def test_a_held_face_stays_while_the_other_moves(head):
    session = Session(open_subject())
    session.hold()
    session.randomize("identity")
    shown = session.state.vertices
    coloring = session.coloring()
    assert coloring.unlit
    assert coloring.scale is not None
    session.swap()
    np.testing.assert_allclose(session.state.vertices, head.instance(), atol=1e-9)
    np.testing.assert_array_equal(session.held[1], shown)
    session.release()
    assert not session.coloring().unlit


# --- work that is asked for too often ---------------------------------------------------------------


def test_only_the_latest_wish_is_worked_off():
    wish, done = [0], []

    def job():
        seen = wish[0]
        time.sleep(0.02)
        done.append(seen)

    worker = LatestOnly(job, lambda _: None, interval=0.0)
    for number in range(1, 201):
        wish[0] = number
        worker.request()
        time.sleep(0.0005)
    assert worker.wait(5.0)
    worker.close()
    assert done[-1] == 200
    assert len(done) < 40  # and not one job for each wish
    assert done == sorted(done)


def test_a_failed_job_is_told_and_the_next_one_runs():
    told, ran = [], threading.Event()
    jobs = iter([lambda: 1 / 0, ran.set])
    worker = LatestOnly(lambda: next(jobs)(), told.append, interval=0.0)
    worker.request()
    assert worker.wait(5.0)
    worker.request()
    assert ran.wait(5.0)
    worker.close()
    assert isinstance(told[0], ZeroDivisionError)
