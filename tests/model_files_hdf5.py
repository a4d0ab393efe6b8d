"""Model files in the Basel/statismo layout and its kin, written as others write them, from raw arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np


@dataclass(frozen=True, eq=False)
class RawGroup:
    """One group of statistics in a file's own units: orthonormal (3v, k) columns and variances, float64."""

    mean: np.ndarray
    basis: np.ndarray
    variances: np.ndarray

    def instance(self, coefficients: np.ndarray) -> np.ndarray:
        """The layout's formula: mean + U (√λ ⊙ c), as (v, 3)."""
        return (self.mean + self.basis @ (np.sqrt(self.variances) * coefficients)).reshape(-1, 3)

    def reordered(self, order: np.ndarray) -> RawGroup:
        return replace(self, basis=self.basis[:, order], variances=self.variances[order])


def strip(columns: int, rows: int = 5) -> np.ndarray:
    """Return the (f, 3) faces of a grid of vertices, counter-clockwise seen from +z."""
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    corners = (i, i + 1, i + columns + 1), (i, i + columns + 1, i + columns)
    return np.concatenate([np.stack(corner, axis=1) for corner in corners]).astype(np.int32)


def grid(columns: int, rows: int = 5) -> np.ndarray:
    """Return the (v, 3) points of that grid, 10 mm apart, a little bent."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([10 * x, 10 * y, np.cos(x) + np.sin(y)], axis=-1).reshape(-1, 3).astype(np.float64)


def raw_group(
    rng: np.random.Generator, mean: np.ndarray, k: int, scale: float, *, unsorted: bool = False
) -> RawGroup:
    """Return k components that move a vertex by about `scale`."""
    basis = np.linalg.qr(rng.standard_normal((mean.size, k)))[0]
    variances = (scale**2 * len(mean.reshape(-1, 3))) * 0.7 ** np.arange(k, dtype=np.float64)
    group = RawGroup(mean.reshape(-1), basis, variances)
    return group.reordered(rng.permutation(k)) if unsorted else group


def write_group(
    file: h5py.Group, path: str, group: RawGroup, *, scaled: bool = False, kind: type = np.float32
) -> None:
    """Write the statistics under `path`; `scaled` is version 0.8's basis U √λ."""
    basis = group.basis * np.sqrt(group.variances) if scaled else group.basis
    target = file.require_group(path) if path else file
    target["model/mean"] = group.mean.astype(kind)
    target["model/pcaBasis"] = basis.astype(kind)
    target["model/pcaVariance"] = group.variances.astype(kind)
    target["model/noiseVariance"] = np.array([0.25], kind)
    target["modelinfo/build-time"] = np.bytes_(b"Mon Jan 01 00:00:00 CET 2018\0")
    target["modelinfo/scores"] = np.zeros((1, 1), np.float32)


def write_representer(
    file: h5py.Group, path: str, points: np.ndarray, faces: np.ndarray, *, kind: type = np.int32
) -> None:
    """Write the reference mesh as scalismo does."""
    target = file.require_group(f"{path}/representer".lstrip("/"))
    target.attrs["name"] = "gravis::MeshShapeRepresenter"
    target.attrs["datasetType"] = "POLYGON_MESH"
    target["points"] = points.T.astype(np.float32)
    target["cells"] = faces.T.astype(kind)


def write_version(file: h5py.Group, path: str, version: tuple[int, int]) -> None:
    target = file.require_group(f"{path}/version".lstrip("/"))
    target["majorVersion"] = np.array([version[0]], np.int32)
    target["minorVersion"] = np.int32(version[1])


def write_catalog(file: h5py.File, names: dict[str, str]) -> None:
    """Write the catalogue with the terminating NULs of C++."""
    for name, path in names.items():
        file[f"catalog/{name}/modelPath"] = np.bytes_(path.encode() + b"\0")
        file[f"catalog/{name}/modelType"] = np.bytes_(b"POLYGON_MESH_MODEL\0")


def write_basel(
    path: Path,
    groups: dict[str, RawGroup],
    faces: np.ndarray,
    *,
    points: np.ndarray | None = None,
    version: tuple[int, int] = (0, 9),
    kind: type = np.float32,
) -> Path:
    """Write a file as scalismo-faces does: a group each, with version, representer and catalogue."""
    shape = groups["shape"]
    reference = shape.mean.reshape(-1, 3) if points is None else points
    with h5py.File(path, "w") as file:
        write_version(file, "", version)
        write_catalog(file, {f"MorphableModel.{name}": f"/{name}" for name in groups})
        for name, group in groups.items():
            write_group(file, name, group, scaled=version < (0, 9), kind=kind)
            write_version(file, name, version)
            write_representer(file, name, reference, faces, kind=np.uint32)
            if name != "shape":
                file[name]["representer/colorspace"] = np.bytes_(b"RGB\0")
    return path
