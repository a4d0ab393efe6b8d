"""Models in glTF files that morphkit wrote: statistics from ``extras``, identity from morph targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from morphkit.archive.layouts._columns import column_lengths, points, real, triangles
from morphkit.archive.layouts._gltf_file import GltfFile
from morphkit.directions import NamedDirections
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

KEY, ARRAYS = "morphkit", "arrays"
_VERSION = 1
_DTYPES = ("<f4", "<f8", "<i4", "|u1")
_MILLIMETRES = 1000.0
_ALIKE = 1e-4  # of lengths


def read_own(file: GltfFile, extras: dict[str, Any]) -> MorphableModel:
    """Return a model that `morphkit.archive.layouts.gltf.write` wrote.

    Raises
    ------
    BadInputError
        If it is damaged, or was written by a newer morphkit.
    """
    return _OwnFile(file, extras).model()


class _OwnFile:
    """One file; every error names it."""

    def __init__(self, file: GltfFile, extras: dict[str, Any]) -> None:
        self.file, self.source, self.extras = file, file.source, extras
        self.arrays = self.table(extras[ARRAYS])
        if extras.get("version") != _VERSION:
            raise self.source.bad("written by a newer morphkit, or damaged: upgrade morphkit")

    def model(self) -> MorphableModel:
        mean = points(self.source, self.array("mean"), "mean")
        v = len(mean)
        faces = triangles(self.source, self.array("faces"), v)
        expression = self.group("expression", v) if "expression" in self.extras else None
        return MorphableModel(
            faces,
            self.identity(mean),
            expression,
            self.group("albedo", v) if "albedo" in self.extras else None,
            expression_units=self.units(expression),
            uv=real(self.source, self.array("uv", (len(faces), 3, 2)), "uv") if "uv" in self.arrays else None,
            landmarks=self.landmarks(len(faces)),
            masks=self.masks(v),
            mirror=self.mirror(v),
            provenance=self.table(self.extras.get("provenance", {})),
        )

    def table(self, value: Any) -> dict[str, Any]:
        (found,) = self.file.dicts([value], "extras")
        return found

    def names(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.source.bad("its extras hold no list of names: it is damaged")
        return tuple(value)

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return one of the further arrays, read-only, over the file's bytes."""
        item = self.table(self.arrays.get(name))
        lengths, dtype = item.get("shape"), item.get("dtype")
        if dtype not in _DTYPES or not isinstance(lengths, list):
            raise self.source.bad(f"its extras hold no array {name}: it is damaged")
        data = self.file.view(item.get("bufferView"))
        found = tuple(self.file.whole({"shape": n}, "shape", None) for n in lengths)
        if (shape is not None and found != shape) or math.prod(found) * np.dtype(dtype).itemsize != len(data):
            raise self.source.bad(f"{name} has the shape {found}, which does not fit: it is damaged")
        values = np.frombuffer(data, dtype).reshape(found)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self.source.bad(f"{name} has numbers that are not finite")
        return values

    def statistics(self, name: str) -> tuple[np.ndarray, float]:
        """Return a group's standard deviations and noise variance."""
        item = self.table(self.extras.get(name))
        numbers = item.get("standard_deviations")
        noise = item.get("noise_variance", 0.0)
        if not isinstance(numbers, list) or not all(
            type(x) in (int, float) and 0 <= x < 1e12 for x in [*numbers, noise]
        ):
            raise self.source.bad(f"the {name}'s deviations are damaged")
        return np.array(numbers, np.float64), float(noise)

    def group(self, name: str, vertex_count: int) -> LinearModel:
        deviations, noise = self.statistics(name)
        mean = points(self.source, self.array(f"{name}_mean", (vertex_count, 3)), f"{name}_mean")
        shape = (len(deviations), 3 * vertex_count)
        basis = real(self.source, self.array(f"{name}_basis", shape), f"{name}_basis").T
        self.check_lengths(name, basis)
        return LinearModel(mean, basis, deviations, noise)

    def check_lengths(self, name: str, basis: np.ndarray) -> None:
        """Compare the columns' lengths with those noted, since nothing else would tell a damaged number."""
        noted = self.extras[name].get("lengths")
        found = column_lengths(basis)
        if (
            not isinstance(noted, list)
            or len(noted) != len(found)
            or not all(
                type(x) in (int, float) and abs(x - y) < _ALIKE for x, y in zip(noted, found, strict=True)
            )
        ):
            raise self.source.bad(f"the {name}'s components are damaged")

    def identity(self, mean: np.ndarray) -> LinearModel:
        """Return the identity, its components from the first morph targets."""
        deviations, noise = self.statistics("identity")
        (primitive,) = self.file.dicts(self.file.item("meshes", 0).get("primitives"), "primitives")[:1] or [
            {}
        ]
        targets = self.file.dicts(primitive.get("targets", []), "targets")
        if len(targets) < len(deviations):
            raise self.source.bad(
                f"it has {len(targets)} morph targets, not {len(deviations)}: it is damaged"
            )
        if len(deviations) > mean.size:
            raise self.source.bad(
                f"it has {len(deviations)} components of {mean.size} numbers each: it is damaged"
            )
        self.file.spend(mean.nbytes * len(deviations))  # targets may share their numbers
        places = self.places(len(mean))
        count = int(places.max()) + 1
        basis = np.empty((mean.size, len(deviations)), np.float32, order="F")
        for j, (target, deviation) in enumerate(zip(targets, deviations, strict=False)):
            moves = self.file.accessor(target.get("POSITION"), ("VEC3",))
            if len(moves) < count:
                raise self.source.bad("a morph target moves too few vertices: it is damaged")
            if deviation:
                with np.errstate(all="ignore"):  # damaged numbers: `real` refuses them
                    moved = moves[places].astype(np.float64) * (_MILLIMETRES / deviation)
                basis[:, j] = real(self.source, moved.reshape(-1), "a morph target")
            else:  # nothing moves, and any direction does
                basis[:, j] = 0.0
                basis[0, j] = 1.0
        self.check_lengths("identity", basis)
        return LinearModel(mean, basis, deviations, noise)

    def places(self, vertex_count: int) -> np.ndarray:
        """Return where in the file each vertex is first, since texture seams cut vertices in two."""
        original = self.array("vertices")
        found, first = np.unique(original, return_index=True)
        if original.ndim != 1 or not np.array_equal(found, np.arange(vertex_count)):
            raise self.source.bad("vertices are missing: it is damaged")
        return first

    def units(self, expression: LinearModel | None) -> NamedDirections | None:
        if expression is None or "expression_units" not in self.extras:
            return None
        names = self.names(self.extras["expression_units"])
        coefficients = self.array("expression_units", (len(names), expression.n_components))
        return NamedDirections(names, coefficients.astype(np.float64))

    def masks(self, vertex_count: int) -> dict[str, np.ndarray]:
        if "masks" not in self.extras:
            return {}
        names = self.names(self.extras["masks"])
        masks = self.array("masks", (len(names), vertex_count)).astype(bool)
        return dict(zip(names, masks, strict=True))

    def mirror(self, vertex_count: int) -> np.ndarray | None:
        if "mirror" not in self.arrays:
            return None
        mirror = self.array("mirror", (vertex_count,))
        if mirror.dtype.kind != "i" or not 0 <= mirror.min() <= mirror.max() < vertex_count:
            raise self.source.bad(f"mirror refers to vertices beyond {vertex_count}")
        return mirror.astype(np.int32)

    def landmarks(self, face_count: int) -> dict[str, LandmarkEmbedding]:
        found = {}
        for i, (name, value) in enumerate(self.table(self.extras.get("landmarks", {})).items()):
            names = self.names(value)
            faces = self.array(f"landmarks_{i}_faces", (len(names),))
            weights = self.array(f"landmarks_{i}_barycentrics", (len(names), 3)).astype(np.float64)
            if faces.dtype.kind != "i" or (len(faces) and not 0 <= faces.min() <= faces.max() < face_count):
                raise self.source.bad(f"the landmarks {i} refer to faces beyond {face_count}")
            found[name] = LandmarkEmbedding(names, faces.astype(np.int32), weights)
        return found
