from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fitting_album import MODEL, shot

from morphkit.cli import main
from morphkit.errors import BadInputError, MissingDependencyError, NoFaceError
from morphkit.fitting import (
    FitSettings,
    PhotometricSettings,
    VideoFit,
    VideoSettings,
    fit_video,
    frames,
    write_video_fit,
)
from morphkit.fitting.frames import open_video
from morphkit.fitting.pose import rotation_matrix
from morphkit.fitting.smoothing import left_jacobian, middle_rotation, rotation_vector, smoothed
from morphkit.fitting.track import person_model
from morphkit.io.images import write_image

FRAMES, RATE = 14, 25.0
SETTINGS = FitSettings(photometric=PhotometricSettings(sizes=(48,), iterations=6))
RNG = np.random.default_rng(1)
ADA = RNG.normal(size=12), RNG.normal(size=6)
YAWS = 0.4 * np.sin(2 * np.pi * 0.6 * np.arange(FRAMES) / RATE)
MOVES = np.sin(2 * np.pi * 1.2 * np.arange(FRAMES)[:, None] / RATE + np.arange(4))
SHOTS = [shot(*ADA, move, yaw, seed=k) for k, (move, yaw) in enumerate(zip(MOVES, YAWS, strict=True))]
HIDDEN = (6, 7)


class TestSmoothing:
    @staticmethod
    def precisions(count: int, seed: int = 0) -> np.ndarray:
        a = np.random.default_rng(seed).normal(size=(count, 3, 5))
        return a @ a.transpose(0, 2, 1)

    def test_is_the_minimum_of_its_energy(self) -> None:
        rng = np.random.default_rng(2)
        values, precisions = rng.normal(size=(9, 3)), self.precisions(9)
        known = np.arange(9) != 4
        result = smoothed(values, precisions, known, 0.2)
        stiffness = precisions[known].mean(axis=0) / (2.0 - 2.0 * np.cos(0.4 * np.pi)) ** 2

        def energy(x: np.ndarray) -> float:
            off, bent = (x - values)[known], np.diff(x, n=2, axis=0)
            data = np.einsum("ti,tij,tj", off, precisions[known], off)
            return float(data + np.einsum("ti,ij,tj", bent, stiffness, bent))

        least = energy(result)
        for _ in range(20):
            step = 1e-3 * rng.normal(size=result.shape)
            assert energy(result + step) > least

    @pytest.mark.parametrize("frequency", [0.1, 0.2])
    def test_halves_the_cutoff_and_does_not_lag(self, frequency: float) -> None:
        t = np.arange(400)
        wave = np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)], axis=1)
        same = np.broadcast_to(np.diag([1.0, 9.0]), (400, 2, 2)).copy()
        result = smoothed(wave, same, np.ones(400, bool), frequency)
        assert result[100:300] == pytest.approx(0.5 * wave[100:300], abs=1e-3)

    def test_steady_motion_passes_and_gaps_are_bridged(self) -> None:
        line = np.arange(20.0)[:, None] * [1.0, -2.0, 0.5] + 3.0
        known = (np.arange(20) < 8) | (np.arange(20) > 11)
        torn = np.where(known[:, None], line, 99.0)
        assert smoothed(torn, self.precisions(20), known, 0.1) == pytest.approx(line, abs=1e-5)

    def test_arguments(self) -> None:
        with pytest.raises(ValueError, match="known"):
            smoothed(np.zeros((4, 3)), self.precisions(4), np.zeros(4, bool), 0.1)
        with pytest.raises(ValueError, match="cutoff"):
            smoothed(np.zeros((4, 3)), self.precisions(4), np.ones(4, bool), 0.6)


class TestRotations:
    @pytest.mark.parametrize("angle", [0.0, 1e-9, 0.4, 3.0, np.pi])
    def test_vector_and_matrix(self, angle: float) -> None:
        matrix = rotation_matrix(angle * np.array([2.0, -1.0, 2.0]) / 3.0)
        assert rotation_matrix(rotation_vector(matrix)) == pytest.approx(matrix, abs=1e-7)

    def test_left_jacobian(self) -> None:
        vector, step = np.array([0.5, -0.8, 0.3]), 1e-6 * np.array([1.0, 2.0, -1.0])
        turned = rotation_matrix(left_jacobian(vector) @ step) @ rotation_matrix(vector)
        assert rotation_matrix(vector + step) == pytest.approx(turned, abs=1e-11)

    def test_middle(self) -> None:
        vector = np.array([0.3, 0.2, -0.4])
        turns = [rotation_matrix(k * vector) for k in (-1.0, 0.0, 1.0)]
        assert middle_rotation(turns) == pytest.approx(np.eye(3), abs=1e-12)


def test_a_person_is_a_model_of_their_own() -> None:
    person = person_model(MODEL, *ADA)
    assert person.identity.n_components == 0
    assert person.instance(None, MOVES[0]) == pytest.approx(MODEL.instance(ADA[0], MOVES[0]), abs=1e-3)
    assert person.albedo_instance() == pytest.approx(MODEL.albedo_instance(ADA[1]), abs=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of frames."""
    path = tmp_path_factory.mktemp("frames")
    for k, one in enumerate(SHOTS):
        write_image(path / f"{k}.png", one.photo)  # in natural order, 10 comes after 9
    return path


@pytest.fixture(scope="module")
def film(folder: Path) -> VideoFit:
    marks = [None if k in HIDDEN else one.landmarks for k, one in enumerate(SHOTS)]
    keys = VideoSettings(keyframes=3)
    return fit_video(folder, MODEL, landmarks=marks, settings=SETTINGS, video_settings=keys)


def yaw(rotation: np.ndarray) -> float:
    turned = np.diag([1.0, -1.0, -1.0]) @ rotation
    return float(np.degrees(np.arctan2(-turned[2, 0], turned[2, 2])))


def test_frames_are_followed_and_gaps_bridged(film: VideoFit) -> None:
    assert np.flatnonzero(~film.found).tolist() == list(HIDDEN)
    assert "2 of 14 frames" in film.notes[0]
    errors = [yaw(look.face.pose.rotation) - yaw(one.look.face.pose.rotation) for look, one in _pairs(film)]
    assert np.abs(errors).max() < 2.0
    focal = {look.face.pose.focal for look in film.looks}
    assert len(focal) == 1
    assert film.vertices(0).shape == film.person.neutral.shape


def test_smoothing_takes_jitter_not_motion(film: VideoFit) -> None:
    known = [k for k in range(FRAMES) if k not in HIDDEN]
    raw = [film.raw[k].look for k in known if film.raw[k] is not None]
    own = np.array([look.face.expression for look in raw]) - MOVES[known]
    smooth = np.array([look.face.expression for look in film.looks]) - MOVES
    assert np.diff(smooth, n=2, axis=0).std() < 0.5 * np.diff(own, n=2, axis=0).std()
    assert np.sqrt((smooth[known] ** 2).mean()) < 1.1 * np.sqrt((own**2).mean())


def _pairs(film: VideoFit) -> list:
    return list(zip(film.looks, SHOTS, strict=True))


def test_files(film: VideoFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morphkit.fitting.video_output.can_encode", lambda: False)
    few = replace(film, person=replace(film.person, photos=film.person.photos[:1], indices=(0,)))
    few = replace(few, keyframes=film.keyframes[:1])
    few = replace(few, person=replace(few.person, weights=np.ones(1), disagreements=np.zeros(1)))
    write_video_fit(few, tmp_path, texture_size=128)
    track = np.load(tmp_path / "track.npz")
    assert track["found"].tolist() == film.found.tolist()
    assert np.isnan(track["raw_expression"][HIDDEN[0]]).all()
    assert track["rotation"].shape == (FRAMES, 3, 3)
    values = json.loads((tmp_path / "track.json").read_text())
    assert values["frames"][3]["t"] == pytest.approx(track["translation"][3])
    assert len(list((tmp_path / "overlay").iterdir())) == FRAMES
    assert (tmp_path / "person" / "report.html").is_file()
    (tmp_path / "overlay" / "00099.jpg").write_bytes(b"mine")
    monkeypatch.setattr("morphkit.fitting.video_output.can_encode", lambda: True)
    monkeypatch.setattr(
        "morphkit.fitting.video_output.write_video", lambda path, _frames, _rate: path.write_bytes(b"")
    )
    later = replace(few, keyframes=(film.keyframes[1],))
    write_video_fit(later, tmp_path, texture_size=64)
    assert [path.name for path in (tmp_path / "overlay").iterdir()] == ["00099.jpg"]
    folders = {path.name for path in (tmp_path / "person").iterdir() if path.is_dir()}
    assert folders == {f"frame_{film.keyframes[1] + 1:05d}"}


def test_notes_name_keyframes_by_their_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NamedError(Exception):
        pass

    def fit_images(images: list[np.ndarray], *_: object, names: list[str], **__: object) -> None:
        shown = [
            np.array_equal(image, SHOTS[int(name.split()[1]) - 1].photo)
            for image, name in zip(images, names, strict=True)
        ]
        assert shown == [True, True]
        raise NamedError(*names)

    monkeypatch.setattr("morphkit.fitting.video.fit_images", fit_images)
    with pytest.raises(NamedError) as names:
        fit_video(folder, MODEL, rate=10.0, video_settings=VideoSettings(keyframes=2))
    for name in names.value.args:
        number = int(name.split()[1])
        assert name == f"Frame {number} ({(number - 1) / 10:.2f} s)"


def test_arguments(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="landmarks: expected one for each of 14 frames, got 1"):
        fit_video(folder, MODEL, landmarks=[None])
    with pytest.raises(NoFaceError, match="walls: no face was found in 2 sharp frames"):
        fit_video(_walls(tmp_path / "walls", (40, 40)), MODEL, settings=SETTINGS)
    with pytest.raises(BadInputError, match="of one size"):
        fit_video(_walls(tmp_path / "sizes", (40, 50)), MODEL)
    with pytest.raises(BadInputError, match="neither a video"):
        open_video(tmp_path / "nowhere.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="no frames"):
        open_video(tmp_path / "empty")
    with pytest.raises(BadInputError, match="rate"):
        open_video(folder, rate=0.0)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"morphkit-3dmm\[video\]"):
        open_video(tmp_path / "a.mp4")
    assert not frames.can_encode()


def _walls(folder: Path, sides: tuple[int, ...]) -> Path:
    folder.mkdir()
    for k, side in enumerate(sides):
        write_image(folder / f"{k}.png", np.full((side, side, 3), 90, np.uint8))
    return folder


def test_a_video_file(tmp_path: Path) -> None:
    pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    shades = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(5)]
    frames.write_video(tmp_path / "a.mp4", iter(shades), 12.5)
    video = open_video(tmp_path / "a.mp4")
    assert video.rate == pytest.approx(12.5)
    assert [round(float(frame.mean()) / 20) for frame in video] == [0, 1, 2, 3, 4]
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(BadInputError, match="not a video"):
        open_video(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give photos"),
        (["a.jpg", "--video", "b.mp4"], "takes the place of photos"),
        (["--video", "b.mp4", "--same-person"], "--same-person does not go with --video"),
        (["--video", "b.mp4", "--landmarks", "c"], "--landmarks does not go with --video"),
        (["--video", "b.mp4", "--files", "mesh"], "--files does not go with --video"),
        (["a.jpg", "--fps", "3"], "--fps is of a video"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(main, ["fit", "-o", str(tmp_path / "out"), *arguments])
    assert outcome.exit_code == 2
    assert message in outcome.output
