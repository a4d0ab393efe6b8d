"""Batches: several datasets as one, the same rows whoever reads them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_scene import drawn_faces, symmetric_head

from morphkit.errors import BadInputError
from morphkit.training.data.dataset import Dataset, DatasetWriter
from morphkit.training.data.faces import Faces
from morphkit.training.loader import JoinedFaces, Loader
from morphkit.training.sampler import Order

SIZE = 32


def write(folder: Path, faces: Faces, digest: str = "d", shard_size: int = 4) -> Dataset:
    model = {"name": "small", "digest": digest}
    with DatasetWriter(folder, size=faces.size, model=model, settings={}, shard_size=shard_size) as writer:
        writer.add(faces)
        return writer.finish()


@pytest.fixture(scope="module")
def faces() -> Faces:
    return drawn_faces(symmetric_head(), 11, size=SIZE, people=5)


@pytest.fixture(scope="module")
def joined(faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> JoinedFaces:
    """Seven faces with truth, then four without."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "a", faces.take(np.arange(7)))
    write(folder / "b", replace(faces.take(np.arange(7, 11)), truth=None))
    return JoinedFaces.open([folder / "a", folder / "b"], "d", (4, 3, 4))


def test_rows_of_several_datasets_come_in_the_order_asked_for(joined: JoinedFaces, faces: Faces) -> None:
    places = np.array([9, 0, 8, 6, 3, 3])
    batch = joined.read(places)
    assert torch.equal(batch.images, torch.from_numpy(faces.images[places]))
    assert torch.equal(batch.landmarks, torch.from_numpy(faces.landmarks[places]))
    assert batch.has_truth.tolist() == [False, True, False, True, True, True]
    assert batch.places.tolist() == places.tolist()
    assert batch.truth is not None
    assert faces.truth is not None
    known = batch.has_truth.numpy()
    np.testing.assert_array_equal(batch.truth.identity[known], faces.truth.identity[places[known], :4])
    assert not batch.truth.identity[~known].any()
    assert joined.describe(9).endswith("photo009.png (face 0)")
    assert len(joined) == 11


def test_people_of_different_datasets_are_different(joined: JoinedFaces, faces: Faces) -> None:
    people = joined.people
    assert people[:7].tolist() == faces.people[:7].tolist()
    assert not set(people[:7]) & set(people[7:])


def test_a_photo_keeps_its_position_and_row_in_any_sharing(joined: JoinedFaces) -> None:
    def rows(order: Order) -> dict[tuple[int, int], int]:
        batches = Loader(joined, order).batches(0, 3 * order.steps)
        return {
            (batch.epoch, position): place
            for batch in batches
            for position, place in zip(batch.positions.tolist(), batch.places.tolist(), strict=True)
        }

    whole = rows(Order(11, 5, batch=4))
    shared = rows(Order(11, 5, 2, world=2, rank=0)) | rows(Order(11, 5, 2, world=2, rank=1))
    assert whole == shared == rows(Order(11, 5, 2, accumulate=2))
    assert len(whole) == 3 * 8


def test_batches_go_on_in_the_middle(joined: JoinedFaces) -> None:
    loader = Loader(joined, Order(11, 5, batch=2, accumulate=2))
    every, rest = list(loader.batches(0, 6)), list(loader.batches(3, 6))
    assert len(every) == 12
    assert len(rest) == 6
    for one, other in zip(every[6:], rest, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.epoch == other.epoch
        assert torch.equal(one.positions, other.positions)


def test_processes_that_read_ahead_give_the_same(joined: JoinedFaces) -> None:
    """Also after the terminal's Ctrl-C, which reaches them as well: the run still needs them."""
    loader = Loader(joined, Order(11, 5, batch=4))
    for one, other in zip(loader.batches(1, 9), loader.batches(1, 9, workers=1), strict=True):
        for reader in multiprocessing.active_children():
            os.kill(int(reader.pid or 0), signal.SIGINT)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.places, other.places)
        assert one.epoch == other.epoch
        assert one.truth is not None
        assert other.truth is not None
        assert torch.equal(one.truth.K, other.truth.K)


def test_datasets_that_do_not_fit_are_refused(tmp_path: Path, faces: Faces) -> None:
    write(tmp_path / "a", faces.take(np.arange(2)))
    write(tmp_path / "b", drawn_faces(symmetric_head(), 2, size=40))
    with pytest.raises(BadInputError, match=r"crops of 40 pixels, .* of 32"):
        JoinedFaces.open([tmp_path / "a", tmp_path / "b"], "d", (4, 3, 4))
    with pytest.raises(BadInputError, match=r"was made with another model \(small\)"):
        JoinedFaces.open([tmp_path / "a"], "e", (4, 3, 4))
    with pytest.raises(BadInputError, match="holds no finished dataset"):
        JoinedFaces.open([tmp_path / "none"], "d", (4, 3, 4))


def test_digest_follows_what_datasets_hold(joined: JoinedFaces, tmp_path: Path, faces: Faces) -> None:
    a, b = joined.datasets
    assert JoinedFaces((a,)).digest != JoinedFaces((b,)).digest != joined.digest
