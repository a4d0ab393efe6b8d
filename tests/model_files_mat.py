"""Model files in MATLAB's formats, as their authors lay them out, from raw arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from model_files_hdf5 import RawGroup

USER_BLOCK = 512


def bfm2009(shape: RawGroup, tex: RawGroup, faces: np.ndarray, kind: type) -> dict[str, Any]:
    """The Basel Face Model 2009's variables; the groups in millimetres and 0..1."""
    return {
        "shapeMU": (1000 * shape.mean)[:, None].astype(kind),
        "shapePC": shape.basis.astype(kind),
        "shapeEV": (1000 * np.sqrt(shape.variances))[:, None].astype(kind),
        "texMU": (255 * tex.mean)[:, None].astype(kind),
        "texPC": tex.basis.astype(kind),
        "texEV": (255 * np.sqrt(tex.variances))[:, None].astype(kind),
        "tl": (faces[:, [0, 2, 1]] + 1).astype(np.float64),
        "segbin": (np.arange(len(shape.mean) // 3)[:, None] % 4 == np.arange(4)).astype(np.float64),
        "segMM": np.zeros((3, 2)),
    }


def deep3d(
    shape: RawGroup, expression: RawGroup, tex: RawGroup, faces: np.ndarray, kind: type
) -> dict[str, Any]:
    """The variables of Deng et al.'s crop: columns times deviations, decimetres, 0..255, counted from one."""
    count = len(shape.mean) // 3
    return {
        "meanshape": shape.mean[None].astype(kind) / kind(100),
        "idBase": (shape.basis * np.sqrt(shape.variances) / 100).astype(kind),
        "exBase": (expression.basis * np.sqrt(expression.variances) / 100).astype(np.float64),
        "meantex": (255 * tex.mean)[None].astype(kind),
        "texBase": (255 * tex.basis * np.sqrt(tex.variances)).astype(kind),
        "tri": (faces + 1).astype(np.int32),
        "keypoints": 1 + (np.arange(68, dtype=np.int32)[None] * 7) % count,
        "skinmask": (np.arange(count)[None] % 2).astype(np.uint8),
        "frontmask2_idx": np.arange(1, 9)[:, None],
    }


def lsfm(shape: RawGroup, faces: np.ndarray, kind: type) -> dict[str, Any]:
    """LSFM's variables, of a cropped model."""
    return {
        "mean": shape.mean[None].astype(kind),
        "components": shape.basis.astype(kind),
        "eigenvalues": shape.variances[None].astype(kind),
        "cumulative_explained_variance": np.cumsum(shape.variances)[None] / shape.variances.sum(),
        "trilist": faces.astype(np.uint32),
        "n_training_samples": np.array([[8888]], np.int64),
        "map_cropped_to_full": np.arange(len(shape.mean) // 3)[None],
        "map_full_to_cropped": np.arange(len(shape.mean) // 3)[None],
    }


def lyhm(shape: RawGroup, tex: RawGroup, faces: np.ndarray, kind: type) -> dict[str, Any]:
    """LYHM's structs; there are more variances than columns."""
    structs = {
        name: {
            "mu": group.mean[None].astype(kind),
            "eigVec": group.basis.astype(kind),
            "eigVal": np.r_[group.variances, 1e-3, 1e-4][:, None].astype(kind),
        }
        for name, group in (("shp", shape), ("tex", tex))
    }
    return {**structs, "tri": {"faces": (faces[:, [0, 2, 1]] + 1).astype(np.float64)}}


def save_level5(path: Path, variables: Mapping[str, Any], *, compressed: bool = True) -> Path:
    """Write as MATLAB does with ``-v7``, or ``-v6`` if not compressed."""
    scipy.io.savemat(path, dict(variables), do_compression=compressed)
    return path


def save_hdf5(path: Path, variables: Mapping[str, Any]) -> Path:
    """Write as MATLAB does with ``-v7.3``: HDF5 after 512 bytes of its own, rows and columns swapped."""
    with h5py.File(path, "w", userblock_size=USER_BLOCK) as file:
        _save_fields(file, variables)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2018 HDF5 schema 1.00 ."
    with path.open("r+b") as raw:
        raw.write(text.ljust(124) + b"\x00\x02IM")
    return path


def _save_fields(group: h5py.Group, variables: Mapping[str, Any]) -> None:
    for name, value in variables.items():
        if isinstance(value, Mapping):
            inner = group.create_group(name)
            inner.attrs["MATLAB_class"] = np.bytes_(b"struct")
            _save_fields(inner, value)
        else:
            group.create_dataset(name, data=value.T, chunks=value.T.shape, compression="gzip")
            group[name].attrs["MATLAB_class"] = np.bytes_(b"double")
