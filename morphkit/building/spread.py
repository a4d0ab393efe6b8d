"""`map` on workers, for the large sums of the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from morphkit.errors import MorphkitError
from morphkit.io.atomic import atomic_path
from morphkit.jobs.workers import Workers, map_unordered

_MANY = 500  # samples; the inner products of fewer are done before processes would have started


@dataclass(frozen=True)
class _Part:
    function: Callable[[Any], np.ndarray]
    item: Any
    path: Path


@dataclass(frozen=True, eq=False)
class SpreadMap:
    """Does what `map` does for functions that return arrays: the same values in the same order.

    Arrays go through files beside `file`, not through a scheduler; what workers read from `file` is flushed.

    Attributes
    ----------
    workers : who does it.
    file : open HDF5 file that the functions read.
    """

    workers: Workers
    file: h5py.File

    def __call__(self, function: Callable[[Any], np.ndarray], items: Iterable[Any]) -> Iterator[np.ndarray]:
        """Yield ``function(item)`` for every item, in their order."""
        self.file.flush()
        folder = Path(self.file.filename).absolute().parent
        parts = [_Part(function, item, folder / f".part-{i}.npy") for i, item in enumerate(items)]
        try:
            for _ in map_unordered(_compute, parts, workers=self.workers, lost=_lost):
                pass
            for part in parts:
                yield np.load(part.path, allow_pickle=False)
        finally:
            for part in parts:
                part.path.unlink(missing_ok=True)


def mapper(workers: Workers, file: h5py.File, count: int) -> Callable[..., Iterable[np.ndarray]]:
    """Return what maps best over sums of `count` samples: a cluster if there is one, processes if many."""
    if workers.scheduler is not None or (count >= _MANY and workers.jobs != 1):
        return SpreadMap(workers, file)
    return map


def _compute(part: _Part) -> None:
    with atomic_path(part.path) as temporary:
        np.save(temporary, part.function(part.item), allow_pickle=False)


def _lost(part: _Part) -> None:
    raise MorphkitError(
        f"{part.path}: the process that computed it was ended from outside, as happens when memory runs out; "
        "run again with --resume and fewer --jobs."
    )
