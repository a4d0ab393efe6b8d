"""Menpo's ``.ljson``, versions 1 to 3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morphkit.io.landmarks.entries import Entry

_ALL = "all"  # our label of all points


def read(source: Path, group: str | None = None) -> list[Entry]:
    """Read an ``.ljson``; `group` chooses one of several."""
    return parse(json.loads(source.read_text("utf-8-sig")), group)


def parse(content: dict[str, Any], group: str | None = None) -> list[Entry]:
    """Return the points of a group; null coordinates are missing points.

    Version 3 has named groups, version 2 a single one, and version 1 a list of labelled parts. A label
    that belongs to one point alone is its name; other points are numbered.
    """
    groups = content.get("groups")
    if isinstance(groups, list):  # version 1
        positions = [item["point"] for part in groups for item in part["landmarks"]]
        return [Entry(str(number), position) for number, position in enumerate(positions)]
    chosen = content if groups is None else _chosen(groups, group)
    positions = chosen["landmarks"]["points"]
    names = _names(chosen.get("labels", []))
    return [Entry(names.get(number, str(number)), position) for number, position in enumerate(positions)]


def write(entries: Sequence[Entry]) -> str:
    """Return version 3 with one group; names other than the numbers become labels of one point each."""
    points = [[None, None, None] if entry.position is None else entry.position for entry in entries]
    labels: list[dict[str, object]] = [{"label": _ALL, "mask": list(range(len(entries)))}]
    for number, entry in enumerate(entries):
        if entry.name != str(number) or len(entries) == 1:
            labels.append({"label": entry.name, "mask": [number]})
    group = {"landmarks": {"points": points, "connectivity": []}, "labels": labels}
    return json.dumps({"version": 3, "groups": {"LJSON": group}}, indent=1, ensure_ascii=False) + "\n"


def _chosen(groups: dict[str, Any], group: str | None) -> dict[str, Any]:
    if group is not None and group not in groups:
        raise ValueError(f"it has no group {group!r}, only {', '.join(groups)}")
    if group is None and len(groups) != 1:
        raise ValueError(
            f"it has {len(groups)} groups ({', '.join(groups)}); keep one, or name it with group=..."
        )
    chosen: dict[str, Any] = groups[group] if group is not None else next(iter(groups.values()))
    return chosen


def _names(labels: Sequence[Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    for item in labels:
        if len(item["mask"]) == 1 and item["label"] != _ALL:
            names[int(item["mask"][0])] = str(item["label"])
    return names if len(set(names.values())) == len(names) else {}
