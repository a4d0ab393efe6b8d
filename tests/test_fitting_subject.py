from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fitting_album import MODEL, Shot, shot

from morphkit.archive import save_model
from morphkit.cli import main
from morphkit.errors import NoFaceError
from morphkit.fitting import (
    FitSettings,
    LandmarkSettings,
    PhotometricSettings,
    SubjectFit,
    fit_image,
    fit_images,
    write_subject,
)
from morphkit.fitting.album import Album, Knowledge
from morphkit.fitting.consensus import DOUBTED, PersonEvidence, disagreement, photo_weights, pooled
from morphkit.fitting.contour import landmark_observer
from morphkit.fitting.fit import Clock, fit_single
from morphkit.fitting.joint import PhotoComparison, Problem, descend, lowest_start
from morphkit.fitting.landmark import FocalPrior, LandmarkEnergy
from morphkit.fitting.look import Look
from morphkit.fitting.seen import seen_ibug68
from morphkit.fitting.sharing import Quadratic, Sharing
from morphkit.fitting.subject_output import PERSON_FILES
from morphkit.fitting.verdict import Verdict
from morphkit.io.atomic_folder import files_below, renewed_folder
from morphkit.io.images import write_image
from morphkit.io.meshes import read_mesh
from morphkit.rendering.rasterizer import get_rasterizer


class TestConsensus:
    @staticmethod
    def photos(rng: np.random.Generator, *people: np.ndarray) -> list[PersonEvidence]:
        """Return what photos say of these people, with errors as large as they claim."""
        made = []
        for truth in people:
            a = rng.normal(size=(len(truth), 6))
            precision = 4.0 * a @ a.T  # knows six directions
            made.append(PersonEvidence(precision, precision @ truth + 2.0 * a @ rng.normal(size=6)))
        return made

    def test_pooled_is_the_posterior_with_the_prior_once(self) -> None:
        photos = self.photos(np.random.default_rng(0), *[np.ones(9)] * 3)
        mean, covariance = pooled(photos, np.ones(3))
        precision = np.eye(9) + sum(photo.precision for photo in photos)
        assert covariance == pytest.approx(np.linalg.inv(precision))
        assert precision @ mean == pytest.approx(sum(photo.vector for photo in photos))

    def test_disagreement_is_one_on_average_when_errors_are_as_believed(self) -> None:
        rng, values = np.random.default_rng(1), []
        for _ in range(300):
            truth = rng.normal(size=9)
            one, other = self.photos(rng, truth, truth)
            values.append(disagreement(one, *pooled([other], np.ones(1))))
        assert np.mean(values) == pytest.approx(1.0, abs=0.1)

    def test_a_photo_that_says_nothing_agrees_and_counts(self) -> None:
        rng = np.random.default_rng(2)
        nothing = PersonEvidence(np.zeros((9, 9)), np.zeros(9))
        weights, off = photo_weights([*self.photos(rng, *[np.ones(9)] * 3), nothing])
        assert off[3] == 0.0
        assert weights[3] == pytest.approx(1.0, abs=0.01)

    @pytest.mark.parametrize("place", range(4))
    def test_someone_else_counts_little_wherever_they_stand(self, place: int) -> None:
        rng = np.random.default_rng(3)
        people = [np.full(9, 1.0)] * 3
        people.insert(place, np.full(9, -4.0))
        weights, _ = photo_weights(self.photos(rng, *people))
        assert weights[place] < 0.05
        assert np.delete(weights, place).min() > 0.5

    def test_a_stranger_among_three_is_told_by_the_pairs(self) -> None:
        knows = 4.0 * np.eye(60)
        for seed in range(40):
            rng = np.random.default_rng(seed)
            ada, bob = 0.8 * rng.normal(size=(2, 60))
            seen = [one + 0.5 * rng.normal(size=60) for one in (ada, bob, ada)]
            weights, _ = photo_weights([PersonEvidence(knows, knows @ one) for one in seen])
            assert (weights < DOUBTED).tolist() == [False, True, False]

    def test_many_of_whom_two_are_strangers(self) -> None:
        rng = np.random.default_rng(8)
        people = [np.full(9, 1.0)] * 5 + [np.full(9, -2.0), np.full(9, 4.0)]
        weights, _ = photo_weights(self.photos(rng, *people))
        assert (weights < DOUBTED).tolist() == [False] * 5 + [True] * 2

    def test_chance_leaves_no_photo_out_that_knows_little(self) -> None:
        rng = np.random.default_rng(9)
        for count in (3, 5, 8):
            for _ in range(30):
                weights, _ = photo_weights(self.photos(rng, *[rng.normal(size=9)] * count))
                assert (weights >= DOUBTED).all()

    def test_two_have_no_majority(self) -> None:
        rng = np.random.default_rng(4)
        weights, off = photo_weights(self.photos(rng, np.full(9, 2.0), np.full(9, -2.0)))
        assert weights.tolist() == [1.0, 1.0]
        assert off.min() > 3.0

    def test_one_alone_counts_fully(self) -> None:
        weights, off = photo_weights(self.photos(np.random.default_rng(5), np.ones(9)))
        assert (weights.tolist(), off.tolist()) == ([1.0], [0.0])


def test_notes_name_strangers_and_those_left_who_disagree() -> None:
    def notes(weights: list[float], off: list[float]) -> list[str]:
        names = tuple("ABC"[: len(off)])
        return [" ".join(note.split()[:4]) for note in Verdict(names, np.array(weights), np.array(off)).notes]

    assert notes([1.0, 1.0, 0.9], [0.4, 0.5, 1.2]) == []
    assert notes([1.0, 0.1, 1.0], [0.4, 9.0, 0.5]) == ["B looks like someone"]
    assert notes([1.0, 0.9, 0.6], [1.0, 1.2, 1.6]) == ["The photos hardly look"]
    assert notes([0.8, 0.1, 1.0], [2.0, 9.0, 1.9]) == ["B looks like someone", "The others hardly look"]
    assert notes([1.0, 1.0], [1.2, 2.0]) == ["The two photos hardly"]


def test_eliminating_own_parameters_solves_the_whole_system() -> None:
    rng = np.random.default_rng(6)
    a = rng.normal(size=(20, 9))
    whole, slope = a.T @ a, rng.normal(size=9)
    quadratic = Quadratic(whole[:4, :4], slope[:4], whole[:4, 4:], whole[4:, 4:], slope[4:])
    matrix, towards = quadratic.eliminated()
    step = -np.linalg.solve(matrix, towards)
    assert np.append(step, quadratic.answer(step)) == pytest.approx(-np.linalg.solve(whole, slope))


@dataclass(frozen=True, eq=False)
class _Wall(Problem):
    """An energy that rises wherever one goes, whatever its slope promises."""

    start: Look
    slope: float

    def energy(self, look: Look, picture: object, among: object) -> float:  # noqa: ARG002
        return 1.0 if look is self.start else 2.0

    def quadratic(self, look: Look, picture: object) -> Quadratic:  # noqa: ARG002
        s, o = len(self.photo.sharing.shared), len(self.photo.sharing.own)
        return Quadratic(np.eye(s), np.zeros(s), np.zeros((s, o)), np.eye(o), np.full(o, self.slope))


@dataclass(frozen=True, eq=False)
class _Walled(PhotoComparison):
    start: Look
    slope: float

    def draw(self, look: Look) -> None:  # noqa: ARG002
        return None

    def problem(self, look: Look, picture: object) -> _Wall:  # noqa: ARG002
        return _Wall(self, None, self.start, self.slope)


@pytest.mark.parametrize(("slope", "settled"), [(0.1, False), (1e-6, True)])
def test_where_no_step_helps_the_slope_says_whether_that_is_the_end(slope: float, settled: bool) -> None:
    look = shot(np.zeros(12), np.zeros(6), np.zeros(4), 0.0).look
    seen = seen_ibug68(np.random.default_rng(0).normal(size=(68, 2)), 1.0, LandmarkSettings())
    sparse = LandmarkEnergy(
        landmark_observer(MODEL, seen)(look.face), FocalPrior(200.0, 1.0), LandmarkSettings()
    )
    photo = _Walled(sparse, Sharing(12, 4, 6, 1.0, 1.0), None, look, slope)
    joint = descend([photo], [look], np.ones(1), iterations=5, tolerance=1e-4)
    assert joint.looks[0] is look
    assert joint.energies == ()
    assert joint.converged is settled


FAST = FitSettings(photometric=PhotometricSettings(sizes=(48,), iterations=6))
SPARSE = FitSettings(photometric=None)
RNG = np.random.default_rng(7)
ADA, BOB = [(RNG.normal(size=12), RNG.normal(size=6)) for _ in range(2)]
YAWS = (-0.5, 0.0, 0.5)


def fitted(
    shots: list[Shot], settings: FitSettings = FAST, names: tuple[str, ...] | None = None
) -> SubjectFit:
    marks = [one.landmarks for one in shots]
    return fit_images([one.photo for one in shots], MODEL, landmarks=marks, settings=settings, names=names)


def shape_error(neutral: np.ndarray) -> float:
    """Return the mean distance to Ada's face, mm, in the best translation."""
    seen = MODEL.masks["face"]
    offset = neutral[seen] - MODEL.instance(ADA[0])[seen]
    return float(np.linalg.norm(offset - offset.mean(axis=0), axis=1).mean())


@pytest.fixture(scope="module")
def album() -> list[Shot]:
    """Return three photos of Ada."""
    moves = np.random.default_rng(8).normal(size=(3, 4))
    return [shot(*ADA, move, yaw, seed=k) for k, (move, yaw) in enumerate(zip(moves, YAWS, strict=True))]


@pytest.fixture(scope="module")
def ada(album: list[Shot]) -> SubjectFit:
    return fitted(album)


@pytest.fixture(scope="module")
def stranger() -> Shot:
    return shot(*BOB, np.zeros(4), 0.2, seed=9)


def test_one_person_has_one_identity_and_skin(ada: SubjectFit) -> None:
    for photo in ada.photos:
        assert np.array_equal(photo.identity, ada.identity)
        assert np.array_equal(photo.albedo, ada.albedo)
        assert np.array_equal(photo.neutral, ada.neutral)
    assert ada.notes == ()
    for photo in ada.photos:
        assert list(photo.timings) == ["landmarks", "shape", "colours", "together"]
        assert min(photo.timings.values()) > 0.0
    assert ada.indices == (0, 1, 2)
    assert ada.weights.min() > 0.8


def test_photos_together_know_more_than_each_alone(ada: SubjectFit, album: list[Shot]) -> None:
    alone = [fit_image(one.photo, MODEL, landmarks=one.landmarks, settings=FAST) for one in album]
    assert shape_error(ada.neutral) < 0.75 * np.mean([shape_error(photo.neutral) for photo in alone])


def test_the_order_of_photos_does_not_matter(ada: SubjectFit, album: list[Shot]) -> None:
    back = fitted(album[::-1])
    assert back.neutral == pytest.approx(ada.neutral, abs=0.02)
    assert back.weights[::-1] == pytest.approx(ada.weights, abs=1e-6)


def test_copies_of_a_photo_agree_and_leave_less_doubt(album: list[Shot]) -> None:
    once, thrice = fitted(album[:1]), fitted([album[0]] * 3)
    assert thrice.weights == pytest.approx(1.0)
    assert thrice.neutral_deviations.max() < 0.9 * once.neutral_deviations.max()
    apart = np.linalg.norm(thrice.neutral - once.neutral, axis=1)
    assert (apart < 3.0 * once.neutral_deviations + 0.05).all()


def test_a_single_photo_is_fitted_as_by_itself(album: list[Shot]) -> None:
    alone = fit_image(album[1].photo, MODEL, landmarks=album[1].landmarks, settings=FAST)
    together = fitted(album[1:2])
    assert np.linalg.norm(together.neutral - alone.neutral, axis=1).mean() < 0.3
    assert (together.weights.tolist(), together.notes) == ([1.0], ())


def test_someone_else_is_named_and_costs_little(ada: SubjectFit, album: list[Shot], stranger: Shot) -> None:
    names = ("a.png", "b.png", "c.png", "d.png")
    mixed = fitted([album[0], stranger, *album[1:]], names=names)
    assert mixed.weights[1] < 0.1
    assert len(mixed.notes) == 1
    assert mixed.notes[0].startswith("b.png looks like someone else")
    assert shape_error(mixed.neutral) < 1.1 * shape_error(ada.neutral) + 0.02


def test_strangers_start_lower_than_where_their_quadratics_meet(album: list[Shot]) -> None:
    def knowledge(*shots: Shot) -> Knowledge:
        settings, drawer = FAST.for_model(MODEL), get_rasterizer("numba")
        fits = [fit_single(one.photo, MODEL, one.landmarks, settings, drawer, Clock(None)) for one in shots]
        together = Album.of(tuple(fits), settings, drawer, None)
        return together.knowledge(together.start())

    people = [np.random.default_rng(seed) for seed in (0, 1)]
    strangers = [shot(2.0 * r.normal(size=12), 2.0 * r.normal(size=6), np.zeros(4), 0.2) for r in people]
    for known, far in ((knowledge(*strangers), True), (knowledge(*album[:2]), False)):
        undamped, start = known.shared_looks(np.ones(2), 0.0), known.agreed(np.ones(2))
        assert lowest_start(known.problems, np.ones(2), [start, undamped])[0] is start[0]
        assert np.array_equal(start[0].face.identity, start[1].face.identity)
        assert np.array_equal(start[0].face.identity, undamped[0].face.identity) is not far


def test_two_who_differ_are_said_to(album: list[Shot], stranger: Shot) -> None:
    pair = fitted([album[1], stranger])
    assert pair.weights.tolist() == [1.0, 1.0]
    assert "no majority" in pair.notes[0]


def test_landmarks_alone(album: list[Shot]) -> None:
    sparse = fitted(album, SPARSE)
    assert sparse.albedo.shape == (0,)
    assert sparse.photos[0].sh_coefficients is None
    assert shape_error(sparse.neutral) < shape_error(MODEL.instance(np.zeros(12)))


def test_one_lens(album: list[Shot]) -> None:
    photos, marks = [one.photo for one in album], [one.landmarks for one in album]
    one = fit_images(photos, MODEL, landmarks=marks, settings=SPARSE, shared_focal=True)
    assert len({photo.camera.K[0, 0] for photo in one.photos}) == 1
    with pytest.raises(ValueError, match="shared_focal"):
        fit_images(
            [photos[0], photos[1][:150]], MODEL, landmarks=marks[:2], shared_focal=True, settings=SPARSE
        )


def test_a_photo_without_a_face_is_left_out(album: list[Shot]) -> None:
    wall, marks = np.full((64, 64, 3), 90, np.uint8), [one.landmarks for one in album]
    result = fit_images(
        [wall, album[0].photo, album[1].photo], MODEL, landmarks=[None, *marks[:2]], settings=SPARSE
    )
    assert result.indices == (1, 2)
    assert [failure.index for failure in result.failures] == [0]
    assert result.notes[0].startswith("Photo 1 is left out: no face was found")
    with pytest.raises(NoFaceError):
        fit_images([wall], MODEL, settings=SPARSE)


def test_arguments(album: list[Shot]) -> None:
    with pytest.raises(ValueError, match="images"):
        fit_images([], MODEL)
    with pytest.raises(ValueError, match="landmarks: expected one for each of 1"):
        fit_images([album[0].photo], MODEL, landmarks=[None, None])
    with pytest.raises(ValueError, match="names: expected one for each of 1"):
        fit_images([album[0].photo], MODEL, names=["a", "b"])


def test_files(ada: SubjectFit, tmp_path: Path) -> None:
    write_subject(ada, tmp_path, files=("params",), texture_size=128)
    assert {path.name for path in tmp_path.iterdir()} >= {*PERSON_FILES, "photo_1", "photo_3"}
    values = json.loads((tmp_path / "person.json").read_text())
    assert values["identity"] == pytest.approx(ada.identity)
    assert [row["folder"] for row in values["photos"]] == ["photo_1", "photo_2", "photo_3"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("counted 1") == 3
    assert read_mesh(tmp_path / "neutral.ply").vertices == pytest.approx(ada.neutral, abs=1e-3)
    assert values["files"] == files_below(tmp_path)
    with pytest.raises(ValueError, match="names"):
        write_subject(ada, tmp_path, names=["a", "a", "b"])
    with pytest.raises(ValueError, match="names: expected folders below"):
        write_subject(ada, tmp_path, names=["a", "../b", "c"])


def test_files_are_all_of_one_run(
    ada: SubjectFit, album: list[Shot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_subject(ada, tmp_path, files=("params",), texture_size=64)
    (tmp_path / "photo_3" / "mine.txt").write_text("notes")
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}
    fewer = fitted(album[:1], SPARSE)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("morphkit.fitting.subject_output.write_person_page", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_subject(fewer, tmp_path, files=("params",), texture_size=64)
        with pytest.raises(KeyboardInterrupt):
            write_subject(fewer, tmp_path / "new", files=("params",), texture_size=64)
    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before
    assert not (tmp_path / "new").exists()

    write_subject(fewer, tmp_path, files=("params",), texture_size=64)
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"photo_1", "photo_3"}
    assert files_below(tmp_path / "photo_3") == ["mine.txt"]


def test_a_record_removes_nothing_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    out = tmp_path / "out"
    for named in (["../precious", str(tmp_path / "precious"), "old/a"], {"old": 1}, 7):
        out.mkdir(exist_ok=True)
        (out / "record.json").write_text(json.dumps({"files": named}))
        with renewed_folder(out, record="record.json") as folder:
            (folder / "record.json").write_text('{"files": ["record.json"]}')
        assert files_below(tmp_path) == ["out/record.json", "precious"]


def test_command_line(album: list[Shot], tmp_path: Path) -> None:
    save_model(tmp_path / "head.h5", MODEL)
    for number, one in enumerate(album[:2]):
        write_image(tmp_path / "photos" / f"{number}.png", one.photo)
        points = [None if np.isnan(point).any() else point.tolist() for point in one.landmarks]
        (tmp_path / "photos" / f"{number}.json").write_text(json.dumps(points))
    (tmp_path / "photos" / "9.png").write_bytes(b"no picture")
    arguments = ["fit", "--same-person", str(tmp_path / "photos"), "-o", str(tmp_path / "out"), "--json"]
    arguments += ["--landmarks", str(tmp_path / "photos"), "--model", str(tmp_path / "head.h5")]
    outcome = CliRunner().invoke(main, [*arguments, "--no-photometric", "--files", "params"])
    assert outcome.exit_code == 2
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["fitted", "fitted", "failed"]
    assert "9.png" in rows[2]["error"]
    assert (tmp_path / "out" / "0" / "params.json").is_file()
    notes = json.loads((tmp_path / "out" / "person.json").read_text())["notes"]
    assert [note.split(": ")[0] for note in notes] == ["9.png is left out"]
    assert (tmp_path / "out" / "report.html").is_file()
