"""FLAME ``.pkl`` and ``.npz`` (Li et al. 2017), and what has the same layout: SMPL, SMPL-X.

The layout's own formula at rest, in metres, is ``v_template + shapedirs · c``, its columns scaled by the
standard deviations. Millimetres here; the frame is ours already: y up, the face towards +z.

Identity and expression lie side by side in ``shapedirs``; which column is which the file does not say. The
rule is that of the authors' loader: of more than 300 columns the first 300 are identity and the rest
expression (FLAME: 300 + 100); exactly 20 are 10 + 10; any other number is identity only, which a note says.

Read is the linear part, with all joints at rest. Joints, skinning weights and pose correctives (and with
them jaw and eyeballs that turn) are left out; a note says so. Pickles are followed without unpickling:
nothing in them runs, and chumpy need not be installed.

T. Li et al., "Learning a model of facial shape and expression from 4D scans", ACM Trans. Graph. 36(6), 2017.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from morphkit.archive.layouts._columns import points, real, scaled_group, shown, triangles
from morphkit.archive.layouts._npy import Arrays, open_arrays
from morphkit.archive.layouts._pickle import array, read_pickle
from morphkit.archive.layouts._pickle_machine import Recorded
from morphkit.archive.source import ModelSource
from morphkit.morphable import LinearModel, MorphableModel

_NEEDED = ("v_template", "shapedirs", "f")
_LEFT_OUT = ("posedirs", "J_regressor", "J", "kintree_table", "weights", "hands_meanl", "hands_meanr")
_METRES = 1000.0
_IDENTITY = 300
_PICKLE = re.compile(rb"\x80[\x01-\x05]|\((dp|lp|d\n|c)|[}]q|c[a-z_A-Z.]+\n[A-Za-z_]+\n[(pq]")
_LICENCE = "FLAME's licence is that of its release (2023 Open: CC BY 4.0; others: non-commercial research)"


@dataclass(frozen=True)
class _Parts:
    """The arrays by name, however they are stored."""

    names: frozenset[str]
    array: Callable[[str], np.ndarray]


def recognises(source: ModelSource) -> bool:
    """Whether it is a pickle (no other layout is one), or an ``.npz`` with FLAME's names."""
    if {"v_template.npy", "shapedirs.npy"} <= source.zip_names:
        return True
    return _PICKLE.match(source.start) is not None


def read(source: ModelSource) -> MorphableModel:
    """Return the linear part of the model; see `morphkit.archive.load_model`."""
    if source.zip_names:
        with open_arrays(source) as arrays:
            return _model(source, _Parts(frozenset(arrays.names), arrays.array), _uv(source, arrays))
    with source.path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        content = read_pickle(source, data)
        if isinstance(content, Recorded) and isinstance(content.state, dict):
            content = content.state
        if not isinstance(content, dict):
            raise source.bad("the pickle holds no table of arrays, hence no FLAME model")
        names = frozenset(str(name) for name in content)
        return _model(source, _Parts(names, lambda name: array(source, content[name], name)), None)


def _model(source: ModelSource, parts: _Parts, uv: np.ndarray | None) -> MorphableModel:
    missing = [name for name in _NEEDED if name not in parts.names]
    if missing:
        raise source.bad(f"{missing[0]} is missing, which FLAME models have; it holds {shown(*parts.names)}")
    mean = points(source, parts.array("v_template"), "v_template", _METRES)
    shapes = parts.array("shapedirs")
    if shapes.ndim != 3 or shapes.shape[:2] != mean.shape:
        raise source.bad(
            f"shapedirs has the shape {shapes.shape}; a template of {mean.shape} needs (v, 3, k)"
        )
    columns = shapes.reshape(mean.size, -1)
    count = _identity_count(columns.shape[1])
    notes = _notes(parts, columns.shape[1], count)
    expression = None
    if count < columns.shape[1]:
        expression = _group(source, np.zeros_like(mean), columns[:, count:])
    faces = triangles(source, parts.array("f"), len(mean), "f")
    return MorphableModel(
        faces=faces,
        identity=_group(source, mean, columns[:, :count]),
        expression=expression,
        uv=uv if uv is not None and uv.shape == (len(faces), 3, 2) else None,
        provenance={
            "source": source.path.name,
            "layout": "flame",
            "unit": "metres",
            "licence": _LICENCE,
            "read_notes": notes,
        },
    )


def _group(source: ModelSource, mean: np.ndarray, columns: np.ndarray) -> LinearModel:
    wanted = np.empty(columns.shape, np.float32, order="F")
    for j in range(columns.shape[1]):
        wanted[:, j] = real(source, columns[:, j], "shapedirs", _METRES)
    return scaled_group(mean, wanted)


def _identity_count(columns: int) -> int:
    """Return how many columns are identity, as the authors' loader has it."""
    if columns > _IDENTITY:
        return _IDENTITY
    return 10 if columns == 20 else columns


def _notes(parts: _Parts, columns: int, identity: int) -> list[str]:
    left_out = [name for name in _LEFT_OUT if name in parts.names]
    notes = []
    if left_out:
        notes.append(
            f"joints at rest: joints, pose correctives and skinning ({', '.join(left_out)}) left out"
        )
    if identity == columns:
        notes.append(f"all {columns} columns of shapedirs were taken for identity: no expressions")
    return notes


def _uv(source: ModelSource, arrays: Arrays) -> np.ndarray | None:
    """Return uv per corner where the archive has vt and ft, as SMPL-X's does."""
    if "vt" not in arrays or "ft" not in arrays:
        return None
    coordinates = real(source, arrays.array("vt"), "vt")
    if coordinates.ndim != 2 or coordinates.shape[1] < 2:
        raise source.bad(f"vt has the shape {coordinates.shape}, not (n, 2)")
    corners = triangles(source, arrays.array("ft"), len(coordinates), "ft")
    uv: np.ndarray = coordinates[corners, :2]
    return uv
