"""A group of statistics from arrays that say only half of what they are."""

from __future__ import annotations

import numpy as np

from morphkit.archive.layouts._columns import column_lengths, points, real, scaled_group, shown
from morphkit.archive.layouts._npy import Arrays
from morphkit.morphable import LinearModel

_ALIKE = 0.02  # of lengths, to call columns unit or scaled


def read_group(
    arrays: Arrays, names: dict[str, str], group: str, mean_size: int | None = None
) -> tuple[LinearModel, list[str]]:
    """Return a group in the file's unit, and notes about what had to be concluded.

    Parameters
    ----------
    arrays : the archive.
    names : role to name.
    group : its name, for messages.
    mean_size : numbers in a shape, when the group may lack a mean (offsets from the neutral face).

    Raises
    ------
    BadInputError
        If it is ambiguous; the message says what was seen and what is needed.
    """
    source = arrays.source
    if "basis" not in names:
        raise source.bad(f"it has a mean of the {group} but no basis; it holds {shown(*arrays.names)}")
    if "mean" in names:
        mean = points(source, arrays.array(names["mean"]), names["mean"])
    elif mean_size is not None:
        mean = np.zeros((mean_size // 3, 3), np.float32)
    else:
        raise source.bad(f"it has a basis of the {group} but no mean; it holds {shown(*arrays.names)}")
    deviations = _deviations(arrays, names)
    count = None if deviations is None else len(deviations)
    columns = read_columns(arrays, names["basis"], mean.size, count)
    noise = arrays.number(names["noise_variance"], 0.0) if "noise_variance" in names else 0.0
    if noise < 0:
        raise source.bad(f"{names['noise_variance']} is negative")
    lengths = column_lengths(columns)
    unit = bool(np.allclose(lengths, 1.0, atol=_ALIKE))
    if deviations is None:
        if unit and len(lengths):
            raise source.bad(
                f"the columns of {names['basis']} have length one, and nothing says how far people go along "
                "them: add standard_deviations or eigenvalues (the variances)"
            )
        note = f"{group}: no deviations are given; the columns were taken to be scaled by them"
        return scaled_group(mean, columns, None, noise), [note]
    if unit:
        return scaled_group(mean, columns, deviations, noise), []
    if np.allclose(lengths, deviations, rtol=_ALIKE, atol=_ALIKE * deviations.max(initial=0.0)):
        note = f"{group}: the columns are scaled by the standard deviations already"
        return scaled_group(mean, columns, None, noise), [note]
    raise source.bad(
        f"the columns of {names['basis']} have lengths {lengths.min():.3g}..{lengths.max():.3g}, neither one "
        f"nor the deviations {deviations.min():.3g}..{deviations.max():.3g}; if these are variances, call "
        "them eigenvalues, if they are not, standard_deviations"
    )


def read_columns(arrays: Arrays, name: str, size: int, count: int | None) -> np.ndarray:
    """Return a basis as (3v, k) float32 columns, however it lies in the file."""
    values = arrays.array(name)
    shape = values.shape
    if values.ndim == 3 and shape[0] * shape[1] == size and shape[1] == 3:
        columns = values.reshape(size, shape[2])  # (v, 3, k)
    elif values.ndim == 3 and shape[1] * shape[2] == size and shape[2] == 3:
        columns = values.reshape(shape[0], size).T  # (k, v, 3)
    elif values.ndim == 2 and shape[0] == size and shape[1] != size:
        columns = values
    elif values.ndim == 2 and shape[1] == size and shape[0] != size:
        columns = values.T  # menpo and scikit-learn: a component is a row
    else:
        raise arrays.source.bad(
            f"{name} has the shape {shape}; a mean of {size} numbers needs ({size}, k) or (k, {size})"
        )
    if columns.shape[1] > size:
        raise arrays.source.bad(f"{name} has {columns.shape[1]} components of {size} numbers: it is damaged")
    if count is not None and columns.shape[1] != count:
        raise arrays.source.bad(f"{name} has {columns.shape[1]} components, of which {count} have deviations")
    return real(arrays.source, columns, name)


def _deviations(arrays: Arrays, names: dict[str, str]) -> np.ndarray | None:
    """Return the standard deviations, float64, from whichever form is there."""
    found = {
        role: _positive(arrays, names[role])
        for role in ("deviations", "variances", "singular_values")
        if role in names
    }
    if "variances" in found:
        root = np.sqrt(found["variances"])
        if "deviations" in found and (
            len(root) != len(found["deviations"]) or not np.allclose(root, found["deviations"], rtol=1e-3)
        ):
            raise arrays.source.bad(
                f"{names['variances']} are not the squares of {names['deviations']}: leave one of them out"
            )
        return found.get("deviations", root)
    if "deviations" in found:
        return found["deviations"]
    if "singular_values" in found:
        if "samples" not in names or arrays.number(names["samples"], 0.0) < 2:
            raise arrays.source.bad(
                f"{names['singular_values']} need n_samples, the number of faces they come from; "
                "or add standard_deviations"
            )
        return found["singular_values"] / np.sqrt(arrays.number(names["samples"], 0.0) - 1)
    return None


def _positive(arrays: Arrays, name: str) -> np.ndarray:
    values = arrays.array(name)
    if values.dtype.kind not in "fiu":
        raise arrays.source.bad(f"{name} holds {values.dtype}, not numbers")
    values = values.reshape(-1).astype(np.float64)
    if not (values >= 0).all() or (values > 1e18).any():
        raise arrays.source.bad(f"{name} has numbers that are negative, not finite or beyond any face")
    return values
