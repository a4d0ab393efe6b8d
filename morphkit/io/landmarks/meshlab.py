"""MeshLab's picked points, ``.pp``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from morphkit.io.landmarks.entries import Entry


def read(source: Path) -> list[Entry]:
    """Read a ``.pp``; inactive points are missing."""
    text = source.read_text("utf-8", "replace")
    if "<!ENTITY" in text:
        raise ValueError("it defines XML entities, which no landmark file needs")
    root = ElementTree.fromstring(text)  # noqa: S314 -- entities are refused above
    entries = []
    for number, node in enumerate(root.iter("point")):
        active = node.get("active", "1") != "0"
        position = [float(node.attrib[axis]) for axis in "xyz"] if active else None
        entries.append(Entry(node.get("name") or str(number), position))
    return entries


def write(entries: Sequence[Entry]) -> str:
    """Return the document; missing points are inactive ones."""
    root = ElementTree.Element("PickedPoints")
    for entry in entries:
        position = [0.0, 0.0, 0.0] if entry.position is None else entry.position
        attributes = {axis: repr(value) for axis, value in zip("xyz", position, strict=True)}
        attributes |= {"active": "0" if entry.position is None else "1", "name": entry.name}
        ElementTree.SubElement(root, "point", attributes)
    ElementTree.indent(root, " ")
    return f"<!DOCTYPE PickedPoints>\n{ElementTree.tostring(root, encoding='unicode')}\n"
