"""Batches of faces in the epoch's order, from several datasets as one."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64
from torch.utils import data as torch_data

from morphkit.errors import BadInputError
from morphkit.training.batch import RawBatch, TruthBatch
from morphkit.training.data.dataset import Dataset
from morphkit.training.sampler import Order


@dataclass(frozen=True, eq=False)
class JoinedFaces:
    """Several datasets as one table: with truth and without may be mixed.

    Attributes
    ----------
    datasets : one or more, of one size.
    truth_sizes : components of identity, expression and albedo that truth is given; None leaves truth out.
    """

    datasets: tuple[Dataset, ...]
    truth_sizes: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if not self.datasets:
            raise ValueError("datasets: expected at least one")
        first = self.datasets[0]
        for dataset in self.datasets:
            if dataset.size != first.size:
                raise BadInputError(
                    f"{dataset.folder} has crops of {dataset.size} pixels, {first.folder} of {first.size}; "
                    "prepare them alike, or train on one of them."
                )

    @classmethod
    def open(
        cls, folders: Sequence[str | Path], model_digest: str, truth_sizes: tuple[int, int, int]
    ) -> JoinedFaces:
        """Open datasets that were aligned to, or rendered from, one model.

        Raises
        ------
        BadInputError
            When a folder is no dataset, was made with another model, or crops have several sizes.
        """
        datasets = tuple(Dataset.open(folder) for folder in folders)
        for dataset in datasets:
            if dataset.model_digest != model_digest:
                raise BadInputError(
                    f"{dataset.folder} was made with another model ({dataset.model.get('name', 'unnamed')}); "
                    "give that one as model.path, or make the dataset again with this one."
                )
        some = any(dataset.has_truth for dataset in datasets)
        return cls(datasets, truth_sizes if some else None)

    def __len__(self) -> int:
        return sum(map(len, self.datasets))

    @property
    def size(self) -> int:
        """The side of the crops, pixels."""
        return self.datasets[0].size

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with what the datasets hold: their manifests, in order."""
        found = hashlib.sha256()
        for dataset in self.datasets:
            found.update((dataset.folder / "dataset.json").read_bytes())
        return found.hexdigest()[:16]

    @property
    def people(self) -> Int64[np.ndarray, " n"]:
        """Who each face is, no number shared between datasets; -1 where unknown."""
        columns, first = [], 0
        for dataset in self.datasets:
            known = dataset.people >= 0
            columns.append(np.where(known, dataset.people + first, -1))
            first += int(dataset.people.max(initial=-1)) + 1
        return np.concatenate(columns)

    @property
    def poses(self) -> Float32[np.ndarray, "n 3"]:
        """Pitch, yaw and roll, radians."""
        return np.concatenate([dataset.poses for dataset in self.datasets])

    @property
    def tones(self) -> Float32[np.ndarray, " n"]:
        """Individual typology angles, degrees; NaN where unknown."""
        return np.concatenate([dataset.tones for dataset in self.datasets])

    def read(self, places: Int[np.ndarray, " m"]) -> RawBatch:
        """Return rows of the joined table, in the order asked for."""
        ends = np.cumsum([len(dataset) for dataset in self.datasets])
        which = np.searchsorted(ends, places, side="right")
        parts, rows = [], []
        for number in np.unique(which):
            mine = np.flatnonzero(which == number)
            first = ends[number] - len(self.datasets[number])
            faces = self.datasets[number].read(places[mine] - first)
            parts.append(RawBatch.from_faces(faces, self.truth_sizes))
            rows.append(mine)
        back = torch.from_numpy(np.argsort(np.concatenate(rows)))
        whole = _joined(parts).take(back)
        return replace(whole, places=torch.from_numpy(np.asarray(places, np.int64)))

    def describe(self, place: int) -> str:
        """Return what a person calls a row: dataset and photo."""
        for dataset in self.datasets:
            if place < len(dataset):
                faces = dataset.read(np.array([place]))
                return f"{dataset.folder}: {faces.sources[0]} (face {int(faces.numbers[0])})"
            place -= len(dataset)
        raise ValueError(f"place {place} lies beyond the datasets")


def _ignore_interrupts(_: int) -> None:
    """Leave the terminal's Ctrl-C, which reaches readers too, to the run: it needs them until it stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _joined(parts: Sequence[RawBatch]) -> RawBatch:
    if len(parts) == 1:
        return parts[0]
    names = ("images", "attention", "landmarks", "has_truth", "places", "positions")
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    truths = [part.truth for part in parts if part.truth is not None]
    groups = ("identity", "expression", "albedo", "light", "K", "R", "t")
    truth = None
    if truths:
        truth = TruthBatch(**{name: torch.cat([getattr(part, name) for part in truths]) for name in groups})
    return RawBatch(**columns, truth=truth, epoch=0)


@dataclass(frozen=True, eq=False)
class Loader(torch_data.Dataset[RawBatch]):
    """All batches of a run for one process, by number: a function of the order, wherever it begins.

    Attributes
    ----------
    faces : the table.
    order : of each epoch, and this process's share.
    """

    faces: JoinedFaces
    order: Order
    _epochs: dict[int, Int[np.ndarray, " n"]] = field(default_factory=dict, init=False)

    def __getitem__(self, number: int) -> RawBatch:
        """Return the batch of a number: ``(epoch * steps + step) * accumulate + micro``."""
        step, micro = divmod(number, self.order.accumulate)
        epoch, step = divmod(step, self.order.steps)
        positions = self.order.positions(step, micro)
        batch = self.faces.read(self._shown(epoch)[positions])
        return replace(batch, epoch=epoch, positions=torch.from_numpy(positions))

    def batches(self, start: int, stop: int, workers: int = 0) -> Iterator[RawBatch]:
        """Yield the batches of steps `start` to `stop`, counted over all epochs.

        Parameters
        ----------
        workers : processes that read ahead; 0 reads in place.
        """
        numbers = range(start * self.order.accumulate, stop * self.order.accumulate)
        if workers == 0:
            yield from map(self.__getitem__, numbers)
            return
        yield from torch_data.DataLoader(
            self,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            multiprocessing_context="spawn",
            persistent_workers=False,
            worker_init_fn=_ignore_interrupts,
        )

    def _shown(self, epoch: int) -> Int[np.ndarray, " n"]:
        """Return an epoch's order, the last one asked for kept."""
        if epoch not in self._epochs:
            self._epochs.clear()
            self._epochs[epoch] = self.order.epoch(epoch)
        return self._epochs[epoch]
