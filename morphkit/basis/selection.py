"""Some rows of arrays and data sets."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

_CHUNK_BYTES = 1 << 26


def select(values: Any, rows: np.ndarray, output: h5py.Group | None, name: str) -> Any:
    """Return some rows of an array or data set; all of them are the thing itself, and None stays None.

    Parameters
    ----------
    values : (n, ...) array, or data set of an open HDF5 file, or None.
    rows : ascending numbers.
    output : an open group that rows of a data set are copied to, as the data set `name`.
    name : of that data set.

    Raises
    ------
    ValueError
        If `values` is a data set and there is no `output`.
    """
    if values is None or len(rows) == len(values):
        return values
    if isinstance(values, np.ndarray):
        return values[rows]
    if output is None:
        raise ValueError("output: expected an open HDF5 group, since the shapes are a data set")
    chosen = output.create_dataset(name, (len(rows), *values.shape[1:]), values.dtype)
    size = int(np.prod(values.shape[1:])) * values.dtype.itemsize
    step = max(_CHUNK_BYTES // max(size, 1), 1)
    for start in range(0, len(rows), step):
        chosen[start : start + step] = values[rows[start : start + step]]
    return chosen
