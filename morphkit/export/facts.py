"""Nested facts, such as a model's provenance, as rows for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from morphkit.morphable import MorphableModel


def fact_rows(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts whole, as (dotted key, text) rows; lists of facts or sentences have a row an item.

    Parameters
    ----------
    facts : mappings, lists and plain values, as JSON has them.
    prefix : of the keys.
    """
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += fact_rows(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping | str):
            rows += [(f"{prefix}{key}.{i}", _text(item)) for i, item in enumerate(value, start=1)]
        else:
            rows.append((f"{prefix}{key}", _text(value)))
    return rows


def model_origin(model: MorphableModel) -> list[str]:
    """Return what a model says it was made from, in a few words each, and not when."""
    told = model.provenance
    template, count = told.get("template"), told.get("scan_count")
    words = {"name": "{}", "source": "read from {}", "licence": "licence: {}"}
    return [
        *(form.format(told[key]) for key, form in words.items() if isinstance(told.get(key), str)),
        *([f"made of {count} scans"] if isinstance(count, int) else []),
        *([f"template: {template['file']}"] if isinstance(template, Mapping) and "file" in template else []),
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    return "".join(letter if letter.isprintable() else " " for letter in str(value))  # no terminal's codes
