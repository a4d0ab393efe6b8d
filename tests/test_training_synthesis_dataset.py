"""Rendered datasets: true to their truth, the same whoever renders them, and extended by longer runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from morphkit import load_default_model
from morphkit.errors import BadInputError
from morphkit.io.color import linear_to_srgb
from morphkit.io.images import read_image
from morphkit.model import FaceModel
from morphkit.morphable import MorphableModel
from morphkit.rendering import PerspectiveCamera, get_rasterizer, render
from morphkit.training.data import dataset as dataset_module
from morphkit.training.data.dataset import Dataset
from morphkit.training.data.faces import Faces
from morphkit.training.synthesis import SynthesisSettings, render_dataset
from morphkit.training.synthesis import dataset as synthesis_dataset
from morphkit.training.synthesis.fields import Grid
from morphkit.training.synthesis.occluders import Covering, Scene, draw_coverings
from morphkit.training.synthesis.studio import Studio

SMALL = SynthesisSettings(size=64)
TINY = SynthesisSettings(size=32)
COLUMNS = ("images", "attention", "landmarks", "crops", "sizes", "people", "poses", "tones", "numbers")


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_default_model()


def redrawn(model: MorphableModel, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Return linear pictures and masks of faces by their truth, through the rendering room alone."""
    face_model = FaceModel.from_morphable(model)
    truth = faces.truth
    groups = (torch.from_numpy(group) for group in (truth.identity, truth.expression, truth.albedo))
    identity, expression, albedo = groups
    drawn = render(
        face_model.vertices(identity, expression),
        face_model.faces,
        face_model.albedo(albedo).clamp(0.003, 1.0),
        torch.from_numpy(truth.light),
        PerspectiveCamera(
            *(torch.from_numpy(part).float() for part in (truth.K, truth.R, truth.t)), faces.size, faces.size
        ),
        get_rasterizer("numba"),
    )
    return drawn.image.clamp_min(0).numpy(), drawn.mask.numpy()


def projected(model: MorphableModel, faces: Faces) -> np.ndarray:
    """Return the model's 68 points in the crops, in double precision, by the model's own numpy."""
    embedding = model.landmarks["ibug68"]
    order = [embedding.names.index(str(i)) for i in range(68)]
    truth, found = faces.truth, []
    for i in range(len(faces)):
        vertices = model.instance(truth.identity[i].astype(float), truth.expression[i].astype(float))
        points = embedding.landmarks(vertices, model.faces).points[order]
        image = (points @ truth.R[i].T + truth.t[i]) @ truth.K[i].T
        found.append(image[:, :2] / image[:, 2:])
    return np.array(found)


@pytest.fixture(scope="module")
def plain(model: MorphableModel) -> Faces:
    return Studio.of(model, SynthesisSettings.plain(112), seed=5).block(0, 6)[0]


def test_the_truth_reproduces_the_picture(model, plain):
    linear, mask = redrawn(model, plain)
    inside = mask == 1
    assert inside.mean() > 0.2
    codes = 255 * linear_to_srgb(linear.clip(0, 1))
    off = np.abs(codes - plain.images)[inside]
    assert off.max() < 0.51 + 1e-2 * 255 / 100  # rounding, and float32 once as a batch, once alone
    assert np.array_equal(plain.attention, np.rint(255 * mask).astype(np.uint8))


def test_true_landmarks_are_the_projected_embedding(model, plain):
    assert np.abs(plain.landmarks - projected(model, plain)).max() < 2e-3


def test_crops_centre_the_face_at_the_standard_scale(model):
    settings = replace(SynthesisSettings.plain(112), max_yaw=20.0, max_pitch=5.0)
    faces = Studio.of(model, settings, seed=5).block(0, 6)[0]
    origin = model.instance()[model.face_mask].mean(axis=0)
    truth = faces.truth
    image = (origin @ truth.R.transpose(0, 2, 1) + truth.t)[:, None] @ truth.K.transpose(0, 2, 1)
    middle = image[:, 0, :2] / image[:, 0, 2:]
    assert np.abs(middle - 56).max() < 8
    scale = truth.K[:, 0, 0] / np.linalg.norm(origin @ truth.R.transpose(0, 2, 1) + truth.t, axis=1)
    assert scale == pytest.approx(np.full(6, 1.02 / 2), rel=0.25)  # identities vary in size
    assert np.abs(truth.K[:, 0, 1]).max() == 0


def test_noisy_landmarks_are_near_the_true_ones(model):
    faces = Studio.of(model, SMALL, seed=2).block(0, 16)[0]
    errors = (faces.landmarks - projected(model, faces)) / (1.02 * 64 / 224)  # millimetres
    assert 1.3 < np.sqrt((errors[:, 17:] ** 2).mean()) < 3.8
    assert np.isfinite(faces.tones).all()
    assert faces.sources[3] == "photo_000003.jpg"
    assert faces.people.tolist() == list(range(16))


def test_people_keep_their_identity_and_albedo_over_photos(model):
    faces = Studio.of(model, SMALL, seed=2, people=5).block(0, 12)[0]
    truth = faces.truth
    assert faces.people.tolist() == [i % 5 for i in range(12)]
    for i in range(5, 12):
        assert np.array_equal(truth.identity[i], truth.identity[i - 5])
        assert np.array_equal(truth.albedo[i], truth.albedo[i - 5])
        assert not np.array_equal(truth.expression[i], truth.expression[i - 5])
        assert not np.array_equal(truth.R[i], truth.R[i - 5])
    assert not np.array_equal(truth.identity[0], truth.identity[1])


def test_attention_is_zero_where_something_covers_the_face(model):
    """The same faces with and without coverings: what differs is covered, and what is covered differs."""
    bare = SynthesisSettings.plain(112)
    covered = Studio.of(model, replace(bare, occluders=1.0), seed=5).block(0, 6)[0]
    free = Studio.of(model, bare, seed=5).block(0, 6)[0]
    changed = np.abs(covered.images.astype(int) - free.images).max(axis=3)
    whole = covered.attention == free.attention
    assert changed[whole & (free.attention == 255)].max() == 0
    hidden = (covered.attention == 0) & (free.attention == 255)
    assert hidden.mean() > 0.005
    assert (changed[hidden] > 3).mean() > 0.9


def test_hair_and_clothes_take_attention_where_they_are_in_front(model):
    bare = SynthesisSettings.plain(112)
    dressed = Studio.of(model, replace(bare, hair=1.0, body=1.0), seed=5).block(0, 6)[0]
    free = Studio.of(model, bare, seed=5).block(0, 6)[0]
    untouched = dressed.attention == 255
    off = np.abs(dressed.images.astype(int) - free.images)[untouched]
    assert off.max() <= 1  # 255 is 0.998 and more
    assert ((dressed.attention == 0) & (free.attention == 255)).any(axis=(1, 2)).sum() >= 4


def test_coverings_lie_where_the_face_is_at_any_resolution():
    landmarks = np.stack([np.linspace(-60, 60, 68), np.linspace(-70, 70, 68)], axis=1)
    for seed in range(12):
        settings = SynthesisSettings(glasses=0.0, occluders=1.0)

        def opacity(step: float, seed: int = seed, settings: SynthesisSettings = settings) -> np.ndarray:
            side = round(224 / step)
            scene = Scene(Grid(-112.0, -112.0, step, side, side), landmarks)
            (one,) = draw_coverings(np.random.default_rng(seed), scene, settings)
            assert isinstance(one, Covering)
            assert one.opacity.min() >= 0
            assert one.opacity.max() <= 1
            return one.opacity

        fine = opacity(0.5).reshape(224, 2, 224, 2).mean(axis=(1, 3))
        assert np.abs(opacity(1.0) - fine).mean() < 0.03


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_jobs_interruptions_and_longer_runs_give_the_same_bytes(model, tmp_path, monkeypatch):
    """Two jobs that render two blocks; then one job that is cut short after the first, and goes on."""
    monkeypatch.setattr(synthesis_dataset, "SHARD", 16)
    how = {"settings": TINY, "seed": 3, "people": 7}
    whole = render_dataset(tmp_path / "whole", 18, **how, jobs=2)
    how |= {"model": model, "jobs": 1}
    assert whole.rendered == 18
    assert dataset_module.MANIFEST in files(tmp_path / "whole")

    def cut_short(stage: str, done: int, total: int) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path / "cut", 18, **how, progress=cut_short)
    with pytest.raises(BadInputError, match="no finished dataset"):
        Dataset.open(tmp_path / "cut")
    resumed = render_dataset(tmp_path / "cut", 17, **how)
    assert resumed.rendered == 1
    longer = render_dataset(tmp_path / "cut", 18, **how)
    assert longer.rendered == 2  # the shard that wasn't full is made again
    assert files(tmp_path / "cut") == files(tmp_path / "whole")

    again = render_dataset(tmp_path / "whole", 18, **how)
    assert again.rendered == 0
    with pytest.raises(BadInputError, match="seed was 3, is now 4"):
        render_dataset(tmp_path / "whole", 48, **{**how, "seed": 4})
    with pytest.raises(BadInputError, match="holds 18 faces already"):
        render_dataset(tmp_path / "whole", 10, **how)
    monkeypatch.setattr("morphkit.__version__", "99.0")
    with pytest.raises(BadInputError, match=r"settings.morphkit was '.*', is now '99.0'\); choose another"):
        render_dataset(tmp_path / "whole", 48, **how)


def test_whole_photos_agree_with_their_crops_landmarks_and_truth(model, tmp_path):
    settings = replace(SynthesisSettings.plain(64), photo_sizes=(200, 260), body=1.0)
    made = render_dataset(tmp_path, 3, model=model, settings=settings, photos=True, seed=1, jobs=1)
    faces = made.dataset.read(np.arange(3))
    assert np.abs(faces.landmarks - projected(model, faces)).max() < 2e-3
    direct = Studio.of(model, settings, seed=1).block(0, 3)[0]
    for name in ("crops", "sizes", "landmarks", "people", "poses"):
        assert np.array_equal(getattr(faces, name), getattr(direct, name))
    both = (faces.attention == 255) & (direct.attention == 255)
    assert np.abs(faces.images.astype(int) - direct.images)[both].mean() < 4  # resampled from the photo
    for i, source in enumerate(faces.sources):
        photo = read_image(made.photos / source)
        assert photo.shape[1::-1] == tuple(faces.sizes[i])
        points = json.loads((made.photos / source).with_suffix(".json").read_text())["landmarks"]
        crop = faces.crops[i]
        assert np.array(points) @ crop[:, :2].T + crop[:, 2] == pytest.approx(faces.landmarks[i], abs=0.01)
        truth = np.load(made.photos / "truth" / f"photo_{i:06d}.npz")
        assert np.abs(truth["neutral"] - model.instance(truth["identity"].astype(float))).max() < 1e-3
        image = (truth["landmarks"] @ truth["R"].T + truth["t"]) @ truth["K"].T
        assert image[:, :2] / image[:, 2:] == pytest.approx(np.array(points), abs=2e-3)


def test_backgrounds_come_from_a_folder(model, tmp_path):
    (tmp_path / "walls").mkdir()
    Image.new("RGB", (300, 200), (10, 200, 30)).save(tmp_path / "walls" / "wall.png")
    made = render_dataset(
        tmp_path / "data",
        2,
        model=model,
        settings=SynthesisSettings.plain(64),
        backgrounds=tmp_path / "walls",
    )
    faces = made.dataset.read([0, 1])
    behind = faces.attention == 0
    assert np.abs(faces.images[behind] - np.array([10, 200, 30])).max() <= 1
    Image.new("RGB", (300, 200), (200, 10, 30)).save(tmp_path / "walls" / "wall.png")
    with pytest.raises(BadInputError, match=r"made otherwise \(settings.backgrounds_digest\); choose"):
        render_dataset(
            tmp_path / "data",
            4,
            model=model,
            settings=SynthesisSettings.plain(64),
            backgrounds=tmp_path / "walls",
        )
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInputError, match="holds no pictures"):
        render_dataset(tmp_path / "more", 2, model=model, backgrounds=empty)


def test_models_without_colours_or_landmarks_are_refused_in_one_sentence(model, tmp_path):
    with pytest.raises(BadInputError, match=r"no colours \(no albedo group\).*coloured scans"):
        render_dataset(tmp_path, 1, model=replace(model, albedo=None))
    with pytest.raises(BadInputError, match=r"not all 68 iBUG landmarks.*morphkit complete"):
        render_dataset(tmp_path, 1, model=replace(model, landmarks={}))
    assert not list(tmp_path.iterdir())


def test_a_model_of_the_face_alone_gets_hair_neck_and_clothes(model):
    """Without expression group, ears, skull and neck: what is drawn around it comes from its landmarks."""
    face = model.masks["face"].copy()
    face[model.faces[model.landmarks["ibug68"].face_indices]] = True
    mask_only = replace(model.marginal(np.flatnonzero(face)), expression=None, expression_units=None)
    faces = Studio.of(mask_only, SynthesisSettings(size=64, hair=1.0, body=1.0), seed=1).block(0, 4)[0]
    assert faces.truth.expression.shape == (4, 0)
    assert ((faces.attention > 0).mean(axis=(1, 2)) > 0.1).all()


def test_detected_landmarks_come_from_the_network(model):
    settings = replace(
        SynthesisSettings.plain(64), landmarks="detected", photo_sizes=(300, 360), max_yaw=10.0
    )
    faces = Studio.of(model, settings, seed=4).block(0, 2)[0]
    errors = np.abs(faces.landmarks - projected(model, faces)) / (1.02 * 64 / 224)
    assert 0 < np.median(errors) < 6
