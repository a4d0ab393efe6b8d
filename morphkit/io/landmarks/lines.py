"""Formats of one point a line: ``.tlms`` (scalismo's older one) and ``.pts`` (iBUG's)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from morphkit.io.landmarks.entries import Entry, numbered, positions_in_order

_FIRST_PIXEL = 1.0  # iBUG counts pixels from one, at their centres; here the first centre is at 0.5


def read_tlms(source: Path) -> list[Entry]:
    """Read ``name visible x y z`` lines; invisible points are missing."""
    rows = [line.split() for line in source.read_text("utf-8-sig").splitlines() if line.strip()]
    return [Entry(row[0], [float(x) for x in row[2:]] if row[1] != "0" else None) for row in rows]


def write_tlms(entries: Sequence[Entry]) -> str:
    """Return the lines.

    Raises
    ------
    ValueError
        When a name is empty or has a space in it, which would end it.
    """
    lines = []
    for entry in entries:
        if len(entry.name.split()) != 1 or entry.name != entry.name.strip():
            raise ValueError(f".tlms files keep no names with spaces ({entry.name!r}); write .json instead")
        position = [0.0, 0.0, 0.0] if entry.position is None else entry.position
        visible = "0" if entry.position is None else "1"
        lines.append(" ".join([entry.name, visible, *map(repr, position)]) + "\n")
    return "".join(lines)


def read_pts(source: Path) -> list[Entry]:
    """Read the rows of a ``.pts`` of 3D points, in whatever units; nan where missing."""
    return numbered(_pts_rows(source))


def write_pts(entries: Sequence[Entry]) -> str:
    """Return a ``.pts`` of 3D points."""
    return _pts_text(positions_in_order(entries, ".pts"))


def read_image_pts(source: Path) -> Float[np.ndarray, "n 2"]:
    """Read a ``.pts`` of 2D points in pixels: x right, y down, the image's outer corner at (0, 0).

    In the file the centre of the first pixel is (1, 1), as in iBUG's annotations.
    """
    points = np.array(_pts_rows(source), np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("its points have not two coordinates each")
    return points - (_FIRST_PIXEL - 0.5)


def write_image_pts(points: Float[np.ndarray, "n 2"]) -> str:
    """Return a ``.pts`` of 2D points given in pixels, the image's outer corner at (0, 0)."""
    return _pts_text((points + (_FIRST_PIXEL - 0.5)).tolist())


def _pts_rows(source: Path) -> list[list[Any]]:
    rows = []
    for line in source.read_text("utf-8-sig").splitlines():
        words = line.replace(",", " ").split()
        if words and words[0] not in ("version:", "n_points:", "{", "}") and not line.startswith("#"):
            rows.append([float(word) for word in words])
    return rows


def _pts_text(rows: Sequence[Sequence[Any]]) -> str:
    lines = [" ".join(map(repr, row)) for row in rows]
    return "\n".join(["version: 1", f"n_points: {len(rows)}", "{", *lines, "}"]) + "\n"
