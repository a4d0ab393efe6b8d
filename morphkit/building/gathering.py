"""Registered scans in one HDF5 file, for statistics that never hold all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from morphkit.building.outcome import RegisteredScan
from morphkit.building.store import load_registered
from morphkit.mesh import Mesh

_FILE = ".gathered.h5"


@dataclass(frozen=True, eq=False)
class Gathered:
    """Registered scans, one a row, in the order of their names.

    Attributes
    ----------
    names : of the n scans.
    shapes : (n, v, 3) float32 data set, millimetres, roughly upright, about the origin.
    valid : (n, v) boolean data set.
    colors : (n, v, 3) float32 data set, linear RGB, NaN where unknown; None when no scan has any.
    output : a group of the same file for what is computed from them.
    """

    names: tuple[str, ...]
    shapes: h5py.Dataset
    valid: h5py.Dataset
    colors: h5py.Dataset | None
    output: h5py.Group


@contextmanager
def gathered(folder: Path, names: Sequence[str], template: Mesh) -> Iterator[Gathered]:
    """Write the registered scans of a folder into a file, and yield it open; it is removed in the end.

    Raises
    ------
    BadInputError
        When a registered scan is missing or damaged.
    """
    path = folder.absolute() / _FILE
    try:
        # unlocked, so that workers may read what has been flushed
        with h5py.File(path, "w", locking=False) as file:
            yield _written(file, folder, names, template)
    finally:
        path.unlink(missing_ok=True)


def _written(file: h5py.File, folder: Path, names: Sequence[str], template: Mesh) -> Gathered:
    size = (len(names), len(template.vertices))
    shapes = file.create_dataset("shapes", (*size, 3), np.float32)
    valid = file.create_dataset("valid", size, bool)
    colors = None
    for row, name in enumerate(names):
        scan = load_registered(folder, name, template)
        shapes[row], valid[row] = _centred(scan), scan.valid
        if scan.mesh.colors is not None:
            if colors is None:
                colors = file.create_dataset("colors", (*size, 3), np.float32, fillvalue=np.nan)
            colors[row] = scan.mesh.colors
    return Gathered(tuple(names), shapes, valid, colors, file.create_group("statistics"))


def _centred(scan: RegisteredScan) -> np.ndarray:
    """Return the shape near the origin, where float32 is exact to a hundred-thousandth of a millimetre."""
    upright = scan.mesh_mm.vertices @ scan.rotation.T
    return upright - upright.mean(axis=0)
