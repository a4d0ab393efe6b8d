"""Settings from a TOML file and from the command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from morphkit.errors import BadInputError
from morphkit.training.settings_tree import from_table

_Config = TypeVar("_Config")


def read_config(path: str | os.PathLike[str], kind: type[_Config], overrides: Sequence[str] = ()) -> _Config:
    """Return the settings in a TOML file, some of them overridden.

    Paths in the file are taken from the folder in which it lies, but for `output.folder`, which like all
    paths in overrides is taken from the current folder.

    Parameters
    ----------
    path : the file.
    kind : the dataclass to make, such as `TrainConfig`.
    overrides : ``"training.batch=8"`` and the like; the value as TOML has it, or a plain text.

    Raises
    ------
    BadInputError
        With one sentence that names file and key.
    """
    source = Path(path)
    table = _located(_table(source), source.parent)
    for text in overrides:
        _override(table, text)
    return from_table(kind, table, str(source))


def _table(source: Path) -> dict[str, Any]:
    if "\0" in str(source):
        raise BadInputError(
            f"{str(source)!r} holds a NUL character, which no file's name does; check the path."
        )
    try:
        return _parsed(source.read_text(encoding="utf-8"), str(source))
    except FileNotFoundError:
        remedy = "check its name, or print one to start from with `morphkit train --example`"
        raise BadInputError(f"{source}: there is no such file; {remedy}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{source} is not a TOML file: {error}.") from None
    except IsADirectoryError:
        raise BadInputError(f"{source} is a folder; give a TOML file.") from None
    except OSError as error:
        raise BadInputError(f"{source} cannot be read: {error.strerror or error}.") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    """Return what a TOML text says, once it is sure that settings can be made of it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError):  # thousands of digits, thousands of brackets
        raise BadInputError(
            f"{where}: holds a number or nested brackets far beyond what a setting can be; take them out."
        ) from None
    ensure_plain(table, where)
    return table


def ensure_plain(value: Any, where: str) -> None:
    """Refuse what a file may hold and no setting can be: huge numbers, deep nesting, NUL characters.

    Raises
    ------
    BadInputError
        Beginning with `where`.
    """
    waiting = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise BadInputError(f"{where}: settings are nested deeper than {_DEEPEST} levels; flatten them.")
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, int) and abs(value) >= 2**64:
            raise BadInputError(f"{where}: holds a whole number of more than 64 bits; give a smaller one.")
        elif isinstance(value, str) and "\0" in value:
            raise BadInputError(f"{where}: holds a NUL character in {value[:60]!r}; take it out.")


_DEEPEST = 8
_PATHS = {
    "data": ("train", "validation"),
    "model": ("path",),
    "network": ("weights", "initial", "r_net"),
    "losses": ("network",),
}


def _located(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the table with its paths taken from a folder."""
    for section, names in _PATHS.items():
        values = table.get(section)
        for name in names if isinstance(values, dict) else ():
            if isinstance(values, dict) and name in values:
                values[name] = _beside(values[name], folder)
    return table


def _beside(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return str(folder / value)
    if isinstance(value, list):
        return [_beside(item, folder) for item in value]
    return value


def _override(table: dict[str, Any], text: str) -> None:
    """Put ``section.key=value`` into a table."""
    name, equals, value = text.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) != 2 or not all(keys):
        raise BadInputError(f'--set {text}: write it as section.key=value, such as "training.batch=8".')
    section = table.setdefault(keys[0], {})
    if not isinstance(section, dict):
        raise BadInputError(f"--set {text}: {keys[0]} is no section of the file.")
    section[keys[1]] = _toml_value(value.strip(), f"--set {name.strip()}")


def _toml_value(text: str, where: str) -> Any:
    try:
        return _parsed(f"value = {text}", where)["value"]
    except tomllib.TOMLDecodeError:
        ensure_plain(text, where)
        return text  # a path or a word without quotation marks
