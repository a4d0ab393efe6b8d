"""Frozen dataclasses of settings from a table of plain values, and back; every slip is one sentence.

What a field may hold is read from its annotation: bool, int, float, str, a `Literal` of strings, one of these
or None, a tuple of strings, or another such dataclass.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from morphkit.errors import BadInputError

_Tree = TypeVar("_Tree")


class SettingError(ValueError):
    """A value that a setting cannot have; `__post_init__` raises it with what it must be."""

    def __init__(self, name: str, expected: str, value: object) -> None:
        super().__init__(f"{name} must be {expected}, got {value!r}")


def from_table(kind: type[_Tree], table: Mapping[str, Any], source: str) -> _Tree:
    """Return the settings that a table of plain values holds; what it leaves out keeps its default.

    Parameters
    ----------
    kind : the dataclass.
    table : as from TOML or JSON.
    source : what the sentence calls the table: a file's name.

    Raises
    ------
    BadInputError
        On an unknown key, naming the nearest known one, or on a value of another kind or out of range.
    """
    return _read(kind, table, source, "")


def to_table(settings: object) -> dict[str, Any]:
    """Return settings as plain values that JSON can hold; `from_table` undoes it."""
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        raise ValueError(f"settings must be a dataclass, got {type(settings).__name__}")
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_table(value)
    return list(value) if isinstance(value, tuple) else value


def _read(kind: type[_Tree], table: Any, source: str, prefix: str) -> _Tree:
    where = f"[{prefix.rstrip('.')}]" if prefix else "the file"
    if not isinstance(table, Mapping):
        raise BadInputError(f"{source}: {where} must be a table of settings, got {table!r}.")
    hints = _hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            raise BadInputError(
                f"{source}: unknown key {prefix}{key}; {_nearest(str(key), list(hints), prefix)}"
            )
        values[key] = _value(hints[key], value, source, prefix + key)
    try:
        return kind(**values)
    except SettingError as error:
        raise BadInputError(f"{source}: {prefix}{error}.") from None
    except TypeError:
        missing = [name for name in required(kind) if name not in values]
        raise BadInputError(f"{source}: {prefix}{missing[0]} is missing.") from None


def required(kind: type) -> list[str]:
    """Return the names of the fields that have no default."""
    nothing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    return [f.name for f in fields if f.default is nothing and f.default_factory is nothing]


def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _nearest(key: str, known: list[str], prefix: str) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(known)}."


def _value(hint: Any, value: Any, source: str, name: str) -> Any:
    """Return a value as a field holds it; a whole number may stand for a float."""
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)  # noqa: S101 - tells mypy
        return _read(hint, value, source, f"{name}.")
    for choice in _choices(hint):
        taken, made = _taken(choice, value)
        if taken:
            return made
    raise BadInputError(f"{source}: {name} must be {_words(hint)}, got {value!r}.")


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _taken(choice: Any, value: Any) -> tuple[bool, Any]:
    """Return whether a field of this one kind takes a value, and what it becomes."""
    if choice is type(None):
        return value is None, None
    if get_origin(choice) is Literal:
        return value in get_args(choice), value
    if get_origin(choice) is tuple:
        fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        return fits, tuple(value) if fits else None
    if choice is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return fits, float(value) if fits else None
    return type(value) is choice, value


def _words(hint: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        type(None): "left out",
    }
    words = []
    for choice in _choices(hint):
        if get_origin(choice) is Literal:
            words.append(f"one of {', '.join(map(str, get_args(choice)))}")
        else:
            words.append("a list of texts" if get_origin(choice) is tuple else names[choice])
    return " or ".join(words)
