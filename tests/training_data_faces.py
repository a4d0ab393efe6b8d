"""Random faces in columns, for tests of shards and datasets."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from morphkit.training.data.faces import Faces, Truth

SIZE = 16


def random_faces(rng: np.random.Generator, count: int, truth: bool = False, embedded: bool = False) -> Faces:
    landmarks = rng.normal(size=(count, 68, 2)).astype(np.float32)
    landmarks[0, 3] = np.nan
    tones = rng.normal(size=count).astype(np.float32)
    tones[0] = np.nan
    return Faces(
        images=rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8),
        attention=np.full((count, SIZE, SIZE), 255, dtype=np.uint8),
        landmarks=landmarks,
        crops=rng.normal(size=(count, 2, 3)),
        sizes=rng.integers(1, 5000, (count, 2)).astype(np.int32),
        sources=tuple(f"ada/ä {number}.jpg" for number in range(count)),
        numbers=rng.integers(0, 3, count).astype(np.int32),
        people=rng.integers(-1, 5, count),
        poses=rng.normal(size=(count, 3)).astype(np.float32),
        tones=tones,
        embeddings=rng.normal(size=(count, 7)).astype(np.float32) if embedded else None,
        truth=random_truth(rng, count) if truth else None,
    )


def random_truth(rng: np.random.Generator, count: int) -> Truth:
    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=(count, *shape))

    single = [normal(5), normal(0), normal(4), normal(9, 3)]
    double = [normal(3, 3), normal(3, 3), normal(3)]
    return Truth(*(values.astype(np.float32) for values in single), *double)


def assert_same(one: Faces, other: Faces) -> None:
    for field in fields(Faces):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "sources":
            assert mine == theirs
        elif field.name == "truth":
            assert (mine is None) == (theirs is None)
            for name in [] if mine is None else [field.name for field in fields(Truth)]:
                assert_equal(getattr(mine, name), getattr(theirs, name))
        else:
            assert_equal(mine, theirs)


def assert_equal(mine: np.ndarray | None, theirs: np.ndarray | None) -> None:
    if mine is None or theirs is None:
        assert mine is theirs
        return
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine, theirs)
