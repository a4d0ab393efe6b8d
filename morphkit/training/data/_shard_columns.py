"""What a shard of faces holds: names, types and shapes of its datasets, and whether a file has just these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np

from morphkit.errors import BadInputError

MAX_FACES = 1 << 16  # in a shard
MAX_SIDE = 4096  # of a crop, pixels
MARK = b"morphkit-faces-1"
NAMES = "sources"  # all paths as UTF-8, each ended by a NUL: nothing in a shard has a variable length

_MAX_WIDTH = 1 << 16  # of a row of anything but a picture
_MAX_NAME = 1 << 12  # bytes of a source's path, on average


@dataclass(frozen=True)
class Column:
    """What a dataset must be: its type, its shape after the first axis, and whether NaN is a value."""

    dtype: str
    shape: tuple[int | str, ...] = ()
    nan: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether each row is a chunk of its own."""
        return "s" in self.shape


FACES: Mapping[str, Column] = MappingProxyType(
    {
        "images": Column("u1", ("s", "s", 3)),
        "attention": Column("u1", ("s", "s")),
        "landmarks": Column("<f4", (68, 2), nan=True),
        "crops": Column("<f8", (2, 3)),
        "sizes": Column("<i4", (2,)),
        "numbers": Column("<i4"),
        "people": Column("<i8"),
        "poses": Column("<f4", (3,)),
        "tones": Column("<f4", nan=True),
        "embeddings": Column("<f4", ("d",)),
    }
)
TRUTH: Mapping[str, Column] = MappingProxyType(
    {
        "identity": Column("<f4", ("i",)),
        "expression": Column("<f4", ("e",)),
        "albedo": Column("<f4", ("a",)),
        "light": Column("<f4", (9, 3)),
        "K": Column("<f8", (3, 3)),
        "R": Column("<f8", (3, 3)),
        "t": Column("<f8", (3,)),
    }
)
COLUMNS = {**FACES, **{f"truth/{name}": column for name, column in TRUTH.items()}}


def checked_columns(file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    """Return a shard's datasets by name, found to be what they should be; nothing large is read.

    Raises
    ------
    BadInputError
        When one is missing, unknown, of another shape or type, or lies elsewhere.
    """
    _ensure_known(file, path)
    columns = {name: plain_dataset(file, name, path) for name in COLUMNS if name in file}
    needed = set(FACES) - {"embeddings"}
    if any(name.startswith("truth/") for name in columns):
        needed |= set(COLUMNS) - {"embeddings"}
    missing = sorted(needed - set(columns))
    if missing:
        raise bad(path, f"lacks {', '.join(missing)}")
    shape: tuple[int, ...] = columns["images"].shape or ()
    if len(shape) != 4 or not 0 < shape[0] <= MAX_FACES or not 0 < shape[1] <= MAX_SIDE:
        raise bad(path, f"claims pictures of shape {shape}")
    for name, dataset in columns.items():
        _ensure_fits(path, name, dataset, shape[0], shape[1])
    return columns


def checked_names(file: h5py.File, path: Path, count: int) -> tuple[str, ...]:
    """Return the sources of so many faces.

    Raises
    ------
    BadInputError
        When there are more or fewer, or they claim to be huge.
    """
    dataset = plain_dataset(file, NAMES, path)
    if len(dataset.shape or ()) != 1 or dataset.dtype != np.uint8 or dataset.size > count * _MAX_NAME:
        raise bad(path, f"claims names of shape {dataset.shape}")
    if not _is_written(dataset):
        raise bad(path, "holds names in parts that are missing")
    names = tuple(dataset[()].tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1])
    if len(names) != count:
        raise bad(path, f"names {len(names)} photos for {count} faces")
    return names


def plain_dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return a dataset whose values lie in this file, in no other and in no unusual form.

    Raises
    ------
    BadInputError
        When it is missing or something else.
    """
    if name not in file:
        raise bad(path, f"lacks {name}")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise bad(path, f"links {name} elsewhere")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise bad(path, f"keeps {name} elsewhere")
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    picture = name in COLUMNS and COLUMNS[name].is_picture
    if filters != [h5py.h5z.FILTER_DEFLATE] * picture:
        raise bad(path, f"keeps {name} in an unknown encoding")
    return dataset


def bad(path: Path, what: str) -> BadInputError:
    """Return an error about a shard."""
    return BadInputError(f"{path} {what}; remove it and prepare its folder again.")


def _ensure_known(file: h5py.File, path: Path) -> None:
    """Refuse what a shard never holds, before any of it is opened."""
    for name in file:  # a link that leads nowhere is listed, too
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise bad(path, f"links {name!r} elsewhere")
    truth = file.get("truth", {})
    if not isinstance(truth, h5py.Group | dict):
        raise bad(path, "holds no group of truth")
    found = {*(name for name in file if name != "truth"), *(f"truth/{name}" for name in truth)}
    unknown = sorted(found - set(COLUMNS) - {NAMES, "format"})
    if unknown:
        raise bad(path, f"holds unknown data ({unknown[0]!r})")
    mark = plain_dataset(file, "format", path)
    if mark.shape != (len(MARK),) or mark.dtype != np.uint8 or mark[()].tobytes() != MARK:
        raise bad(path, "is no shard of faces, or one of another version of morphkit")


def _ensure_fits(path: Path, name: str, dataset: h5py.Dataset, count: int, side: int) -> None:
    column, shape = COLUMNS[name], dataset.shape or ()
    wanted = (count, *(side if length == "s" else length for length in column.shape))
    fits = len(shape) == len(wanted) and all(
        have <= _MAX_WIDTH if isinstance(want, str) else have == want
        for have, want in zip(shape, wanted, strict=True)
    )
    if not fits or dataset.dtype != np.dtype(column.dtype):
        raise bad(path, f"holds {name} of shape {shape} and type {dataset.dtype}")
    if column.is_picture:
        whole = dataset.chunks == (1, *wanted[1:]) and dataset.id.get_num_chunks() == count
    else:
        whole = _is_written(dataset)
    if not whole:
        raise bad(path, f"holds {name} in parts that are missing or of unknown shape")


def _is_written(dataset: h5py.Dataset) -> bool:
    """Return whether all values of a plain, unchunked dataset are in the file."""
    return dataset.chunks is None and dataset.id.get_storage_size() == dataset.size * dataset.dtype.itemsize
