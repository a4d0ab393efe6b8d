"""Datasets: many shards as one table, written so that a cut run goes on to the same bytes."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_data_faces import SIZE, assert_same, random_faces

import morphkit.training
from morphkit.errors import BadInputError
from morphkit.training.batch import RawBatch
from morphkit.training.data import dataset as module
from morphkit.training.data.dataset import Dataset, DatasetWriter
from morphkit.training.data.faces import Faces
from morphkit.training.data.shards import write_shard

MODEL = {"name": "head", "digest": "abc"}


def writer(folder: Path, **changes: object) -> DatasetWriter:
    how = {"size": SIZE, "model": MODEL, "settings": {"seed": 1, "photos": ["a"]}, "shard_size": 4, **changes}
    return DatasetWriter(folder, **how)


def write(folder: Path, faces: Faces, steps: tuple[int, ...] = (99,)) -> Dataset:
    with writer(folder) as out:
        start = out.count
        for step in steps:
            out.add(faces.take(np.arange(start, min(start + step, len(faces)))))
            start += step
        return out.finish()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_rows_in_any_order_as_if_from_one_table(rng: np.random.Generator, tmp_path: Path) -> None:
    faces = random_faces(rng, 11, truth=True)
    with write(tmp_path, faces) as dataset:
        assert (len(dataset), dataset.size, dataset.has_truth, dataset.model_digest) == (
            11,
            SIZE,
            True,
            "abc",
        )
        assert [entry.count for entry in dataset.shards] == [4, 4, 3]
        for wanted in ([0], [10, 0, 5], [3, 3, 4, 3], list(range(11)), rng.integers(0, 11, 40)):
            assert_same(dataset.read(np.asarray(wanted)), faces.take(np.asarray(wanted)))
        np.testing.assert_array_equal(dataset.people, faces.people)
        np.testing.assert_array_equal(dataset.poses, faces.poses)
        np.testing.assert_array_equal(dataset.tones, faces.tones)
        for wrong in ([], [-1], [11]):
            with pytest.raises(ValueError, match="indices"):
                dataset.read(np.asarray(wrong, dtype=np.int64))


def test_how_faces_are_handed_over_does_not_show(rng: np.random.Generator, tmp_path: Path) -> None:
    faces = random_faces(rng, 11)
    write(tmp_path / "at once", faces)
    write(tmp_path / "one by one", faces, (1,) * 11)
    write(tmp_path / "mixed", faces, (5, 6))
    whole = contents(tmp_path / "at once")
    assert sorted(whole) == ["dataset.json", "faces-00000.h5", "faces-00001.h5", "faces-00002.h5"]
    assert contents(tmp_path / "one by one") == whole == contents(tmp_path / "mixed")


@pytest.mark.parametrize("done", [3, 4, 9])
def test_a_cut_run_goes_on_to_the_same_bytes(rng: np.random.Generator, tmp_path: Path, done: int) -> None:
    faces = random_faces(rng, 11)
    write(tmp_path / "whole", faces)
    with writer(tmp_path / "cut") as out:
        out.add(faces.take(np.arange(done)))
    with pytest.raises(BadInputError, match=r"no finished dataset \(dataset.json is missing\)"):
        Dataset.open(tmp_path / "cut")
    with writer(tmp_path / "cut") as out:
        assert (out.count, out.finished) == (done // 4 * 4, False)
    write(tmp_path / "cut", faces)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_short_last_shard_of_a_cut_run_is_written_anew(rng: np.random.Generator, tmp_path: Path) -> None:
    faces = random_faces(rng, 11)
    write(tmp_path / "whole", faces)
    whole = contents(tmp_path / "whole")
    write(tmp_path / "cut", faces)
    (tmp_path / "cut" / "dataset.json").rename(tmp_path / "cut" / "dataset.partial.json")
    with writer(tmp_path / "cut") as out:
        assert out.count == 8
    write(tmp_path / "cut", faces)
    assert contents(tmp_path / "cut") == whole


def test_a_finished_dataset_is_taken_as_it_is(rng: np.random.Generator, tmp_path: Path) -> None:
    faces = random_faces(rng, 5)
    write(tmp_path, faces)
    before = contents(tmp_path)
    with writer(tmp_path) as out:
        assert (out.finished, out.count, len(out.finish())) == (True, 5, 5)
        with pytest.raises(ValueError, match="unfinished"):
            out.add(faces)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("finished", [False, True])
def test_other_settings_are_refused_by_name(rng: np.random.Generator, tmp_path: Path, finished: bool) -> None:
    with writer(tmp_path) as out:
        out.add(random_faces(rng, 5))
        if finished:
            out.finish()
    changes = {
        "settings": {"seed": 2, "photos": ["a"]},
        "size": 32,
        "model": {"name": "other", "digest": "abc"},
        "shard_size": 5,
    }
    expected = (
        "settings.seed was 1, is now 2",
        "size was 16, is now 32",
        "model.name was",
        "shard_size was 4",
    )
    for (name, value), sentence in zip(changes.items(), expected, strict=True):
        with pytest.raises(BadInputError, match=f"made otherwise .{sentence}.*choose another folder"):
            writer(tmp_path, **{name: value})


def test_shards_without_their_settings_are_left_alone(rng: np.random.Generator, tmp_path: Path) -> None:
    with writer(tmp_path) as out:
        out.add(random_faces(rng, 4))
    (tmp_path / "dataset.partial.json").unlink()
    with pytest.raises(BadInputError, match="shards of another dataset"):
        writer(tmp_path)


def test_a_dataset_without_faces_is_a_broken_contract(tmp_path: Path) -> None:
    with writer(tmp_path) as out, pytest.raises(ValueError, match="at least one face"):
        out.finish()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is damaged"),
        ("[1]", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"format": "x"}', "no manifest of this version"),
        ('{"format": "morphkit-dataset", "version": 2}', "no manifest of this version"),
        ('{"format": "morphkit-dataset", "version": 1, "size": 16}', "is damaged"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(BadInputError, match=sentence):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("shard", "sentence"),
    [
        ({"file": "../faces.h5", "count": 4}, "is damaged"),
        ({"file": "/etc/passwd", "count": 4}, "is damaged"),
        ({"file": "faces-00000.h5", "count": 1 << 40}, "is damaged"),
        ({"file": "faces-00000.h5", "count": 3}, "holds 4 faces of 16 pixels, but dataset.json says 3 of 16"),
        ({"file": "faces-00009.h5", "count": 4}, "no file"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    rng: np.random.Generator, tmp_path: Path, shard: dict[str, object], sentence: str
) -> None:
    write(tmp_path, random_faces(rng, 4))
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shards": [shard]}))
    with pytest.raises(BadInputError, match=sentence):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ({"truth": False}, "holds no truth/K, but faces-00000.h5 truth/K with rows of shape (3, 3)"),
        ({"embedded": False}, "holds no embeddings, but faces-00000.h5 embeddings with rows of shape (7,)"),
        ({"identity": 3}, "holds truth/identity with rows of shape (3,), but faces-00000.h5"),
    ],
)
def test_a_later_shard_of_another_kind_is_refused(
    rng: np.random.Generator, tmp_path: Path, later: dict[str, object], words: str
) -> None:
    write(tmp_path, random_faces(rng, 8, truth=True, embedded=True)).close()
    how = {"truth": True, "embedded": True, **later}
    odd = random_faces(rng, 4, bool(how["truth"]), bool(how["embedded"]))
    if odd.truth is not None and "identity" in how:
        odd = replace(odd, truth=replace(odd.truth, identity=odd.truth.identity[:, :3]))
    write_shard(tmp_path / "faces-00001.h5", odd)
    for read in (lambda dataset: dataset.read([5]), lambda dataset: dataset.read([0, 5])):
        with Dataset.open(tmp_path) as dataset, pytest.raises(BadInputError) as caught:
            read(dataset)
        assert str(caught.value).startswith(f"{tmp_path / 'faces-00001.h5'} {words}")
        assert str(caught.value).endswith("; make the folder's dataset again.")


def test_truth_of_fewer_components_than_are_trained_is_refused(rng: np.random.Generator) -> None:
    faces = random_faces(rng, 2, truth=True)
    assert RawBatch.from_faces(faces, (4, 0, 4)).truth.identity.shape == (2, 4)
    with pytest.raises(BadInputError, match=r"has 5 components of identity, 6 are trained; set model\.ident"):
        RawBatch.from_faces(faces, (6, 0, 4))


def test_copies_in_other_processes_open_their_own_files(rng: np.random.Generator, tmp_path: Path) -> None:
    faces = random_faces(rng, 9)
    dataset = write(tmp_path, faces)
    dataset.read([0, 8])
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    assert not copy._open
    assert_same(copy.read([8, 1]), faces.take(np.array([8, 1])))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_same(pool.apply(dataset.read, ([5, 2],)), faces.take(np.array([5, 2])))
    dataset.close()
    assert_same(dataset.read([7]), faces.take(np.array([7])))


def test_few_files_are_open_at_once(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN_SHARDS", 2)
    faces = random_faces(rng, 16)
    with write(tmp_path, faces) as dataset:
        assert_same(dataset.read(np.arange(16)), faces)
        assert len(dataset._open) == 2
        np.testing.assert_array_equal(dataset.people, faces.people)


def test_the_room_shows_its_names() -> None:
    assert morphkit.training.Dataset is Dataset
