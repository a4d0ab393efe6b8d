"""eos ``.bin``, the layout of the Surrey Face Model (Huber et al. 2016): a binary archive of cereal's.

    version : uint32, 1 to 4; all little endian
    shape, colour : PCA models; a missing colour is empty (0×1, 0×0, 0×1, no triangles)
    version >= 2: uint8 "there is none", else int32 kind and, 0, a PCA model or, 1, blendshapes
    version >= 3: uint8 "there is none", else uint64 count, and (text, int32 vertex) for each landmark
    uint64 count, and double[2] texture coordinates, v down
    version >= 4: uint64 count, and int32[3] corners of the faces in them

A PCA model is mean, basis and eigenvalues (variances), each int32 rows, int32 columns and float32, column by
column, then uint64 count and int32[3] triangles. Text is uint64 length and bytes; blendshapes are uint64
count, and for each its name and its deformation as such a matrix.

The Surrey Face Model's blendshapes are in a file of their own, such a list called
``expression_blendshapes_3448.bin`` after the number of vertices; where it lies beside a model without
expressions, it is read, too.

The formula is ``mean + basis · (√eigenvalues ⊙ c)``, for shape, colour and expression; blendshapes are added
as they are. Lengths are millimetres; only a model of an absurd size in these is taken to be in another unit,
which a note says. Landmarks "ibug_1".."ibug_68" are the set "ibug68",
counted from one as eos's users do; others come as the set "eos". (Names of digits only would do no good: eos
takes these for vertices.)

Written is version 4 with a PCA expression model. What the layout has no place for stays behind: noise
variances, named expression units, masks, mirror map, provenance, all landmarks but the 68, which move to the
nearest vertices. Colours are written as they are, linear in most of morphkit's models.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from morphkit.archive.layouts._blendshapes import ensure_few, unit_group
from morphkit.archive.layouts._columns import points, real, scaled_group, shown, triangles, vertex_embedding
from morphkit.archive.layouts._units import guess_unit, in_millimetres
from morphkit.archive.source import ModelSource
from morphkit.directions import NamedDirections
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

_VERSION = 4
_PCA, _BLENDSHAPES = 0, 1
_BESIDE = "expression_blendshapes_{}.bin"
_SET, _IBUG = "eos", "ibug68"
_NAME = re.compile(r"ibug_([1-9]|[1-5][0-9]|6[0-8])")

# --- reading ---------------------------------------------------------------------------------------------


def recognises(source: ModelSource) -> bool:
    """Whether it starts with a version and a mean that fits into the file."""
    if source.is_folder or len(source.start) < 12:
        return False
    version, rows, columns = struct.unpack("<Iii", source.start[:12])
    return 1 <= version <= _VERSION and columns == 1 and rows > 0 and rows % 3 == 0


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    return _read(_cursor(source))


def _cursor(source: ModelSource) -> _Cursor:
    with source.path.open("rb") as file:
        return _Cursor(source, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


class _Cursor:
    """A place in the file; nothing is taken that is not there."""

    def __init__(self, source: ModelSource, data: memoryview) -> None:
        self.source, self.data, self.at = source, data, 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise self.source.bad(
                f"it claims {count} bytes more at byte {self.at} of {len(self.data)}: truncated or damaged"
            )
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def table(self, dtype: str, width: int) -> np.ndarray:
        """Return the rows of a list that its length precedes, a view of the file."""
        count = self.number("<Q")
        data = self.take(count * width * np.dtype(dtype).itemsize)
        return np.frombuffer(data, dtype).reshape(count, width)

    def matrix(self) -> np.ndarray:
        """Return a matrix of float32, column by column, a view of the file."""
        rows, columns = self.number("<i"), self.number("<i")
        if rows < 0 or columns < 0:
            raise self.source.bad(f"it claims a matrix of {rows} times {columns}: it is damaged")
        return np.frombuffer(self.take(4 * rows * columns), "<f4").reshape((rows, columns), order="F")

    def text(self) -> str:
        return bytes(self.take(self.number("<Q"))).decode("utf-8", "replace")

    def is_there(self) -> bool:
        return self.number("<B") == 0


def _read(cursor: _Cursor) -> MorphableModel:
    source = cursor.source
    version = cursor.number("<I")
    shape, faces = _read_pca(cursor, "shape")
    if shape is None:
        raise source.bad("it has no shape model")
    color, _ = _read_pca(cursor, "colour")
    expression, units = None, None
    if version >= 2 and cursor.is_there():
        expression, units = _read_expression(cursor, shape.mean.size)
    notes = []
    beside = source.path.with_name(_BESIDE.format(len(shape.mean)))
    if expression is None and beside.is_file():
        expression, units = _read_blendshapes(_cursor(ModelSource(beside)), shape.mean.size)
        notes.append(f"the expressions are those of {beside.name}, beside it")
    named = _read_landmarks(cursor) if version >= 3 and cursor.is_there() else {}
    faces = triangles(source, faces, len(shape.mean), "the triangle list")
    uv = _read_uv(cursor, faces, version)
    if cursor.at != len(cursor.data):
        raise source.bad(f"{len(cursor.data) - cursor.at} bytes follow the model: it is damaged")
    for name, group in (("colour", color), ("expression", expression)):
        if group is not None and len(group.mean) != len(shape.mean):
            raise source.bad(f"its {name} has {len(group.mean)} vertices, its shape {len(shape.mean)}")
    unit = guess_unit(shape.mean, "millimetres")
    if unit != "millimetres":
        notes.append(f"by its size the model is in {unit}, and was brought to millimetres")
    return MorphableModel(
        faces=faces,
        identity=in_millimetres(shape, unit),
        expression=None if expression is None else in_millimetres(expression, unit),
        albedo=color,
        expression_units=units,
        uv=uv,
        landmarks=_embeddings(source, named, faces, len(shape.mean)),
        provenance={
            "source": source.path.name,
            "layout": "eos",
            "unit": unit,
            "albedo_color_space": "not stated; used as if it were linear",
            **({"read_notes": notes} if notes else {}),
        },
    )


def _read_pca(cursor: _Cursor, what: str) -> tuple[LinearModel | None, np.ndarray]:
    """Return a PCA model (None if it is empty) and its triangles, unchecked."""
    mean, basis, variances = cursor.matrix(), cursor.matrix(), cursor.matrix()
    faces = cursor.table("<i4", 3)
    if not mean.size and not basis.size:
        return None, faces
    if basis.shape != (mean.size, variances.size):
        raise cursor.source.bad(
            f"its {what} basis is {basis.shape[0]}×{basis.shape[1]}; a mean of {mean.size} numbers and "
            f"{variances.size} eigenvalues need {mean.size}×{variances.size}"
        )
    eigenvalues = real(cursor.source, variances.reshape(-1), f"the {what} eigenvalues").astype(np.float64)
    if (eigenvalues < 0).any():
        raise cursor.source.bad(f"the {what} eigenvalues are negative: it is damaged")
    vertices = points(cursor.source, mean.reshape(-1), f"the {what} mean")
    columns = real(cursor.source, basis, f"the {what} basis")
    return _orthonormal(LinearModel(vertices, columns, np.sqrt(eigenvalues))), faces


def _orthonormal(group: LinearModel) -> LinearModel:
    """Return a group as it is if its columns have unit length, as they should; else σ makes up for it."""
    if group.is_orthonormal:
        return group
    return scaled_group(group.mean, group.basis, group.standard_deviations)


def _read_expression(cursor: _Cursor, size: int) -> tuple[LinearModel | None, NamedDirections | None]:
    kind = cursor.number("<i")
    if kind == _PCA:
        return _read_pca(cursor, "expression")[0], None
    if kind != _BLENDSHAPES:
        raise cursor.source.bad(f"its expression model is of the unknown kind {kind}: it is damaged")
    return _read_blendshapes(cursor, size)


def _read_blendshapes(cursor: _Cursor, size: int) -> tuple[LinearModel | None, NamedDirections | None]:
    """Return a list of blendshapes, of `size` numbers each, as named units."""
    count = cursor.number("<Q")
    ensure_few(cursor.source, count, size)
    names: list[str] = []
    views: list[np.ndarray] = []
    for _ in range(count):
        names.append(cursor.text())
        views.append(cursor.matrix().reshape(-1))
        if len(views[-1]) != size:
            raise cursor.source.bad(
                f"the blendshape {shown(names[-1])} has {len(views[-1])} numbers, the shape {size}"
            )
    if not views:
        return None, None
    if len(set(names)) != len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    offsets = np.empty((len(views), len(views[0])), np.float32)
    for row, view in zip(offsets, views, strict=True):
        row[:] = real(cursor.source, view, "a blendshape")
    return unit_group(names, offsets)


def _read_landmarks(cursor: _Cursor) -> dict[str, int]:
    return {cursor.text(): cursor.number("<i") for _ in range(cursor.number("<Q"))}


def _read_uv(cursor: _Cursor, faces: np.ndarray, version: int) -> np.ndarray | None:
    """Return uv for each corner, v up."""
    coordinates = cursor.table("<f8", 2)
    corners = cursor.table("<i4", 3) if version >= 4 else faces
    if not len(coordinates):
        return None
    if not len(corners):
        corners = faces
    if len(corners) != len(faces):
        raise cursor.source.bad(f"it has texture coordinates for {len(corners)} of {len(faces)} triangles")
    corners = triangles(cursor.source, corners, len(coordinates), "the texture triangles")
    upright = np.stack([coordinates[:, 0], 1.0 - coordinates[:, 1]], axis=1)
    uv: np.ndarray = real(cursor.source, upright, "the texture coordinates")[corners]
    return uv


def _embeddings(
    source: ModelSource, named: dict[str, int], faces: np.ndarray, vertex_count: int
) -> dict[str, LandmarkEmbedding]:
    if not named:
        return {}
    numbers = {name: int(found[1]) for name in named if (found := _NAME.fullmatch(name))}
    numbered = len(numbers) == len(named)
    names = sorted(named, key=lambda name: (numbers.get(name, 0), name))
    vertices = np.array([named[name] for name in names], np.int64)
    if not 0 <= vertices.min() <= vertices.max() < vertex_count:
        raise source.bad(f"its landmarks lie beyond the {vertex_count} vertices: it is damaged")
    if numbered:
        return {_IBUG: vertex_embedding(tuple(str(numbers[n] - 1) for n in names), vertices, faces)}
    return {_SET: vertex_embedding(tuple(names), vertices, faces)}


# --- writing ---------------------------------------------------------------------------------------------


def write(path: Path, model: MorphableModel) -> None:
    """Write a model, version 4; see `morphkit.archive.save_model`."""
    with path.open("wb") as file:
        file.write(struct.pack("<I", _VERSION))
        _write_pca(file, model.identity, model.faces)
        _write_pca(file, model.albedo, model.faces)
        file.write(struct.pack("<B", model.expression is None))
        if model.expression is not None:
            file.write(struct.pack("<i", _PCA))
            _write_pca(file, model.expression, model.faces)
        _write_landmarks(file, model)
        _write_uv(file, model.uv)


def _write_pca(file: BinaryIO, group: LinearModel | None, faces: np.ndarray) -> None:
    if group is None:
        for rows, columns in ((0, 1), (0, 0), (0, 1)):
            file.write(struct.pack("<ii", rows, columns))
        file.write(struct.pack("<Q", 0))
        return
    _write_matrix(file, [group.mean.reshape(-1)], group.mean.size)
    _write_matrix(file, group.basis.T, group.mean.size)
    _write_matrix(file, [group.standard_deviations**2], group.n_components)
    _write_table(file, faces, "<i4")


def _write_matrix(file: BinaryIO, columns: Iterable[np.ndarray], rows: int) -> None:
    """Write a matrix, a column at a time."""
    columns = list(columns)
    file.write(struct.pack("<ii", rows, len(columns)))
    for column in columns:
        file.write(np.ascontiguousarray(column, "<f4").tobytes())


def _write_table(file: BinaryIO, rows: np.ndarray, dtype: str) -> None:
    file.write(struct.pack("<Q", len(rows)) + np.ascontiguousarray(rows, dtype).tobytes())


def _write_landmarks(file: BinaryIO, model: MorphableModel) -> None:
    """Write the iBUG landmarks at the nearest corners of their triangles, counted from one."""
    embedding = model.landmarks.get(_IBUG)
    file.write(struct.pack("<B", embedding is None))
    if embedding is None:
        return
    nearest = embedding.barycentrics.argmax(axis=1)
    vertices = model.faces[embedding.face_indices, nearest]
    file.write(struct.pack("<Q", len(vertices)))
    for name, vertex in zip(embedding.names, vertices.tolist(), strict=True):
        text = f"ibug_{int(name) + 1}".encode()
        file.write(struct.pack("<Q", len(text)) + text + struct.pack("<i", vertex))


def _write_uv(file: BinaryIO, uv: np.ndarray | None) -> None:
    if uv is None:
        file.write(struct.pack("<QQ", 0, 0))
        return
    flat = np.ascontiguousarray(uv.reshape(-1, 2), np.float32)
    _, first, index = np.unique(flat.view(np.int64)[:, 0], return_index=True, return_inverse=True)
    coordinates = flat[first].astype(np.float64)
    coordinates[:, 1] = 1.0 - coordinates[:, 1]
    _write_table(file, coordinates, "<f8")
    _write_table(file, index.reshape(-1, 3), "<i4")
