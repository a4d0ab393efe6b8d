from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fast_simplification
import numpy as np
import pytest
from transfer_heads import bare_model

import morphkit
from morphkit.archive import load_default_model, save_model
from morphkit.errors import NoFaceError, RegistrationError
from morphkit.fitting.models import model_notes, model_to_fit
from morphkit.landmarks import IBUG68_GROUPS
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.morphable import MorphableModel
from morphkit.transfer import SurfaceMap, embed_model, find_embeddings, lacking_landmarks
from morphkit.transfer.parts import small_parts

PHOTO = Path(morphkit.__file__).parent / "data" / "astronaut.jpg"
ICT = Path(__file__).parents[2] / "shared" / "groundtruth" / "ict_facekit.npz"


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model()


def _thinned(mesh: Mesh, count: int) -> MorphableModel:
    vertices, faces = fast_simplification.simplify(
        mesh.vertices.astype(np.float32), mesh.faces, target_count=count
    )
    return bare_model(vertices.astype(np.float64), faces)


def _errors(model: MorphableModel, name: str, truth: dict[str, np.ndarray]) -> dict[str, float]:
    found = model.landmarks[name].landmarks(model.instance(), model.faces)
    return {
        point: float(np.linalg.norm(place - truth[point]))
        for point, place in zip(found.names, found.points, strict=True)
        if point in truth
    }


def _by_group(errors: dict[str, float]) -> dict[str, float]:
    """Return the median of each group of the 68."""
    return {
        group: float(np.median([errors[str(i)] for i in numbers])) for group, numbers in IBUG68_GROUPS.items()
    }


def test_landmarks_are_found_on_another_persons_head_of_other_triangles(
    head: MorphableModel, rng: np.random.Generator
) -> None:
    identity = 1.5 * rng.standard_normal(40)
    vertices = head.instance(identity)
    model = _thinned(Mesh(vertices, head.faces), 8000)
    rough = model.instance() + 0.05 * rng.standard_normal(model.instance().shape)
    found = embed_model(bare_model(rough, model.faces))
    truth = {
        name: dict(zip(embedding.names, embedding.landmarks(vertices, head.faces).points, strict=True))
        for name, embedding in head.landmarks.items()
    }
    errors = _errors(found, "ibug68", truth["ibug68"])
    assert len(errors) == 68
    inner = [error for name, error in errors.items() if int(name) >= 17]
    assert np.median(inner) < 1.0
    assert max(inner) < 5.0
    assert _by_group(errors)["jaw"] < 4.5
    dense = list(_errors(found, "mediapipe478", truth["mediapipe478"]).values())
    assert len(dense) > 470
    assert np.median(dense) < 1.5
    assert found.provenance["completed"][-1]["added"] == ["landmarks ibug68", "landmarks mediapipe478"]


@pytest.mark.skipif(not ICT.is_file(), reason="needs the ground-truth data beside the checkout")
@pytest.mark.parametrize("count", [None, 12000], ids=["itself", "decimated"])
def test_landmarks_are_found_on_the_ict_head(count: int | None) -> None:
    """Medians of errors against ICT's own 68; its contour and brows are set otherwise."""
    with np.load(ICT) as data:
        vertices = data["neutral"].astype(np.float64)
        faces = data["faces"].astype(np.int32)
        own = {str(i): vertices[vertex] for i, vertex in enumerate(data["landmarks68"])}
    model = bare_model(vertices, faces) if count is None else _thinned(Mesh(vertices, faces), count)
    errors = _errors(embed_model(model), "ibug68", own)
    assert len(errors) == 68
    inner = [error for name, error in errors.items() if int(name) >= 17]
    groups = _by_group(errors)
    assert np.median(inner) <= 3.0
    assert groups["nose"] < 2.5
    assert groups["eyes"] < 4.0
    assert groups["mouth"] < 2.0
    assert groups["jaw"] < 15.0


def test_a_model_with_landmarks_is_left_alone(head: MorphableModel) -> None:
    assert lacking_landmarks(head) == ()
    assert embed_model(head) is head
    assert model_to_fit(head) is head
    assert model_notes(head) == ()


def test_a_set_that_is_there_stays_and_the_other_is_added(head: MorphableModel) -> None:
    own = {"ibug68": head.landmarks["ibug68"]}
    found = model_to_fit(replace(head, landmarks=own))
    assert found.landmarks["ibug68"] is own["ibug68"]
    assert len(found.landmarks["mediapipe478"].names) == 478
    (note,) = model_notes(found)
    assert "lacks the landmarks mediapipe478; they were found" in note


def test_a_set_that_the_map_hardly_carries_is_found_on_the_target(
    head: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = head.mesh()
    sentinel = {
        name: LandmarkEmbedding((), np.zeros(0, np.int32), np.zeros((0, 3))) for name in head.landmarks
    }
    monkeypatch.setattr("morphkit.transfer.embeddings.embed_landmarks", lambda _: sentinel)
    far = replace(mesh, vertices=mesh.vertices + 50.0)
    v = head.n_vertices
    nowhere = SurfaceMap(
        mesh, far, mesh.vertices, np.zeros(v, np.int32), np.full((v, 3), 1 / 3), np.zeros(v), np.ones(v, bool)
    )
    assert find_embeddings(far, head.landmarks, nowhere) == sentinel


def test_a_model_that_shows_no_face_is_named(head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*_: object) -> None:
        raise NoFaceError("No face was found.")

    monkeypatch.setattr("morphkit.transfer.guides.detect_scan_landmarks", blind)
    monkeypatch.setattr("morphkit.transfer.embed.embed_landmarks", blind)
    flat = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]), np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    )
    with pytest.raises(RegistrationError, match="landmarks could not be found"):
        embed_model(bare_model(flat.vertices, flat.faces))


def test_eyeballs_are_small_parts_and_the_head_is_not(head: MorphableModel) -> None:
    assert np.array_equal(small_parts(head.mesh()), head.masks["eyes"])


def test_a_fit_finds_a_models_landmarks_by_itself_and_says_so(head: MorphableModel, tmp_path: Path) -> None:
    save_model(tmp_path / "bare.h5", replace(head, landmarks={}))
    before = (tmp_path / "bare.h5").read_bytes()
    result = morphkit.fit(PHOTO, model=tmp_path / "bare.h5", photometric=False)
    assert result.landmark_error < 0.06
    assert any(
        "lacks the landmarks ibug68 and mediapipe478; they were found" in note for note in result.notes
    )
    assert (tmp_path / "bare.h5").read_bytes() == before
