"""A folder of shards as one table of faces, and how it is written."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int64

from morphkit.errors import BadInputError
from morphkit.io.atomic import write_json
from morphkit.training.data.faces import Faces
from morphkit.training.data.manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    Manifest,
    ShardEntry,
    ensure_same,
    plain_values,
    read_json,
    read_manifest,
)
from morphkit.training.data.shards import MAX_FACES, MAX_SIDE, Shard, write_shard

_OPEN_SHARDS = 128  # files at once in a process; many systems allow 256


class Dataset:
    """The faces of a folder, one table.

    Files are opened when first read, so that a copy sent to another process opens its own.

    Attributes
    ----------
    folder : with the manifest and the shards.
    shards : in order.
    size : side of the crops, pixels.
    model : of the alignment: its "name" and "digest".
    settings : by which the faces were made.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.shards = manifest.shards
        self.size = manifest.size
        self.model = dict(manifest.model)
        self.settings = dict(manifest.settings)
        self._ends = np.cumsum([entry.count for entry in self.shards], dtype=np.int64)
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._process = os.getpid()

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Return the dataset of a folder.

        Raises
        ------
        BadInputError
            When the folder holds no finished dataset, or its manifest or first shard is damaged.
        """
        dataset = cls(Path(folder), read_manifest(Path(folder) / MANIFEST))
        dataset._shard(0)
        return dataset

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model_digest(self) -> str:
        """The digest of the model by which the faces were aligned."""
        return str(self.model.get("digest", ""))

    @property
    def has_truth(self) -> bool:
        """Whether these are rendered photos with what is known of them."""
        return self._shard(0).has_truth

    @cached_property
    def people(self) -> Int64[np.ndarray, " n"]:
        """Who each face is; -1 where unknown."""
        return self._column("people")

    @cached_property
    def poses(self) -> Float32[np.ndarray, "n 3"]:
        """Pitch, yaw and roll, radians."""
        return self._column("poses")

    @cached_property
    def tones(self) -> Float32[np.ndarray, " n"]:
        """Individual typology angles of the skin, degrees; NaN where unknown."""
        return self._column("tones")

    def read(self, indices: Int[np.ndarray, " m"] | Sequence[int]) -> Faces:
        """Return some faces, in the order asked for; from each shard all that is wanted is read at once.

        Raises
        ------
        ValueError
            When there is no index, or one is out of range.
        BadInputError
            When a shard is missing or damaged.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if not len(wanted) or not 0 <= wanted.min() <= wanted.max() < len(self):
            raise ValueError(f"indices: expected some of 0..{len(self) - 1}, got {wanted}")
        numbers = np.searchsorted(self._ends, wanted, side="right")
        order = np.argsort(wanted, kind="stable")
        parts = []
        for number in np.unique(numbers):
            mine = wanted[order][numbers[order] == number]
            first = self._ends[number] - self.shards[number].count
            parts.append(self._shard(int(number)).read(mine - first))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        if len(parts) == 1 and (back == np.arange(len(back))).all():
            return parts[0]
        return Faces.concatenate(parts).take(back)

    def close(self) -> None:
        """Close all files; they are opened again when read."""
        while self._open:
            self._open.popitem()[1].close()

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([self._shard(number).column(name) for number in range(len(self.shards))])

    def _shard(self, number: int) -> Shard:
        if os.getpid() != self._process:  # a forked process must not share its parent's files
            self._open, self._process = OrderedDict(), os.getpid()
        if number not in self._open:
            self._open[number] = self._checked(number)
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]

    def _checked(self, number: int) -> Shard:
        entry = self.shards[number]
        shard = Shard(self.folder / entry.file)
        if (len(shard), shard.size) != (entry.count, self.size):
            found = f"{len(shard)} faces of {shard.size} pixels"
            shard.close()
            raise BadInputError(
                f"{shard.path} holds {found}, but {MANIFEST} says {entry.count} of {self.size}; prepare the "
                "folder again."
            )
        if number > 0:
            self._ensure_alike(shard)
        return shard

    @cached_property
    def _widths(self) -> dict[str, tuple[int, ...]]:
        return self._shard(0).widths

    def _ensure_alike(self, shard: Shard) -> None:
        """Refuse a shard whose columns are not the first one's: rows of both could not be joined."""
        found, wanted = shard.widths, self._widths
        for name in sorted({*found, *wanted}):
            if found.get(name) != wanted.get(name):
                shard.close()
                raise BadInputError(
                    f"{shard.path} holds {_told(name, found)}, but {self.shards[0].file} "
                    f"{_told(name, wanted)}; make the folder's dataset again."
                )


class DatasetWriter:
    """Writes a dataset shard by shard; what a run that was cut short has finished is kept by the next.

    ``with DatasetWriter(folder, …) as writer: …`` begins at face `writer.count` and ends with
    ``writer.finish()``. Faces added after the last full shard are lost when the run ends early.

    Parameters
    ----------
    folder : gets ``faces-00000.h5`` … and, last, ``dataset.json``.
    size : side of the crops, pixels.
    model : of the alignment: its "name" and "digest".
    settings : by which the faces are made, plain values for JSON; they tell whether a run goes on.
    shard_size : faces in a shard.

    Raises
    ------
    BadInputError
        When the folder holds a dataset, or a part of one, made with other settings.
    OutputError
        When the folder cannot be written to.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        size: int,
        model: Mapping[str, Any],
        settings: Mapping[str, Any],
        shard_size: int = 512,
    ) -> None:
        if not 0 < shard_size <= MAX_FACES or not 0 < size <= MAX_SIDE:
            raise ValueError(f"expected shard_size 1..{MAX_FACES} and size 1..{MAX_SIDE}")
        self.folder = Path(folder)
        self._size, self._shard_size = size, shard_size
        self._header = plain_values(
            {"size": size, "model": model, "settings": settings, "shard_size": shard_size}
        )
        self._waiting: list[Faces] = []
        self._shards: list[ShardEntry] = []
        self._dataset = self._earlier()
        if self._dataset is None:
            self._begin()
        else:
            self._shards = list(self._dataset.shards)

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting = []

    @property
    def count(self) -> int:
        """How many faces there are: written by this run or an earlier one, or waiting for their shard."""
        return sum(entry.count for entry in self._shards) + sum(map(len, self._waiting))

    @property
    def finished(self) -> bool:
        """Whether the dataset is complete; nothing can be added then."""
        return self._dataset is not None

    def add(self, faces: Faces) -> None:
        """Append faces; full shards are written at once.

        Raises
        ------
        ValueError
            When their crops have another size, or the dataset is finished.
        OutputError
            When the folder cannot be written to.
        """
        if self.finished or faces.size != self._size:
            raise ValueError(f"faces: expected crops of {self._size} pixels for an unfinished dataset")
        self._waiting.append(faces)
        while sum(map(len, self._waiting)) >= self._shard_size:
            joined = Faces.concatenate(self._waiting)
            self._write(joined.take(np.arange(self._shard_size)))
            rest = joined.take(np.arange(self._shard_size, len(joined)))
            self._waiting = [rest] if len(rest) else []

    def finish(self) -> Dataset:
        """Write what is left, and the manifest; return the dataset.

        Raises
        ------
        ValueError
            When it has no face.
        OutputError
            When the folder cannot be written to.
        """
        if self._dataset is None:
            if not self.count:
                raise ValueError("a dataset needs at least one face")
            if self._waiting:
                self._write(Faces.concatenate(self._waiting))
                self._waiting = []
            write_json(self.folder / MANIFEST, {**self._manifest(), "shards": self._shards})
            _partial(self.folder).unlink(missing_ok=True)
            self._dataset = Dataset.open(self.folder)
        return self._dataset

    def _write(self, faces: Faces) -> None:
        name = _shard_name(len(self._shards))
        write_shard(self.folder / name, faces)
        self._shards.append(ShardEntry(name, len(faces)))

    def _manifest(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **self._header}

    def _earlier(self) -> Dataset | None:
        """Return the dataset that is there, if it is finished."""
        if not (self.folder / MANIFEST).exists():
            return None
        dataset = Dataset.open(self.folder)
        ensure_same(self.folder, read_json(self.folder / MANIFEST), self._header)
        return dataset

    def _begin(self) -> None:
        """Keep the full shards of a run with the same settings, or note these settings."""
        if _partial(self.folder).exists():
            ensure_same(self.folder, read_json(_partial(self.folder)), self._header)
            while self._is_full(len(self._shards)):
                self._shards.append(ShardEntry(_shard_name(len(self._shards)), self._shard_size))
        elif (self.folder / _shard_name(0)).exists():
            raise BadInputError(f"{self.folder} holds shards of another dataset; choose another folder.")
        else:
            write_json(_partial(self.folder), self._manifest())

    def _is_full(self, number: int) -> bool:
        with suppress(BadInputError), Shard(self.folder / _shard_name(number)) as shard:
            return len(shard) == self._shard_size and shard.size == self._size
        return False


def _told(name: str, widths: Mapping[str, tuple[int, ...]]) -> str:
    return f"{name} with rows of shape {widths[name]}" if name in widths else f"no {name}"


def _shard_name(number: int) -> str:
    return f"faces-{number:05}.h5"


def _partial(folder: Path) -> Path:
    return folder / "dataset.partial.json"
