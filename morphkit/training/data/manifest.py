"""A dataset's manifest: which shards belong to it, and by which settings they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphkit.errors import BadInputError
from morphkit.training.data.shards import MAX_FACES, MAX_SIDE

MANIFEST = "dataset.json"
FORMAT, VERSION = "morphkit-dataset", 1

_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class ShardEntry:
    """A shard as the manifest lists it: the file's name in the folder, and how many faces it holds."""

    file: str
    count: int


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes
    ----------
    shards : in order.
    size : side of the crops, pixels.
    model : of the alignment: its "name" and "digest".
    settings : by which the faces were made.
    """

    shards: tuple[ShardEntry, ...]
    size: int
    model: Mapping[str, Any]
    settings: Mapping[str, Any]


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    BadInputError
        When there is none, or it is damaged or of another version.
    """
    values = read_json(path)
    if values.get("format") != FORMAT or values.get("version") != VERSION:
        raise BadInputError(f"{path} is no manifest of this version of morphkit; prepare the folder again.")
    try:
        shards = tuple(_entry(shard) for shard in values["shards"])
        size, model, settings = int(values["size"]), dict(values["model"]), dict(values["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    if not shards or not 0 < size <= MAX_SIDE:
        raise _damaged(path)
    return Manifest(shards, size, model, settings)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    BadInputError
        When there is none, or it is damaged.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _damaged(path)
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInputError(
            f"{path.parent} holds no finished dataset ({path.name} is missing); make one with morphkit "
            "prepare or render-dataset."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(values, dict):
        raise _damaged(path)
    return values


def ensure_same(folder: Path, earlier: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Refuse to go on with a dataset that was made by other settings.

    Raises
    ------
    BadInputError
        Naming the first that differs.
    """
    for name, value in header.items():
        if earlier.get(name) != value:
            what = _difference(name, earlier.get(name), value)
            raise BadInputError(
                f"{folder} holds a dataset made otherwise ({what}); choose another folder, or remove it."
            )


def plain_values(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back, to be compared."""
    plain: dict[str, Any] = json.loads(json.dumps(header))
    return plain


def _difference(name: str, earlier: Any, now: Any) -> str:
    """Return what differs, as short as it can be told."""
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        key = next(key for key in [*now, *earlier] if earlier.get(key) != now.get(key))
        return _difference(f"{name}.{key}", earlier.get(key), now.get(key))
    texts = f"{name} was {earlier!r}, is now {now!r}"
    return texts if len(texts) < 120 else name


def _entry(shard: Mapping[str, Any]) -> ShardEntry:
    name, count = str(shard["file"]), int(shard["count"])
    if Path(name).name != name or not 0 < count <= MAX_FACES:
        raise ValueError("a shard lies in its dataset's folder")
    return ShardEntry(name, count)


def _damaged(path: Path) -> BadInputError:
    return BadInputError(f"{path} is damaged; prepare the folder again.")
