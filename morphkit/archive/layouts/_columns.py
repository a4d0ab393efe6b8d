"""From what layouts store, columns scaled in some way, to unit columns and deviations; and checks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from morphkit.archive.source import ModelSource
from morphkit.linear import LinearModel
from morphkit.mesh import LandmarkEmbedding

LARGEST = 1e9
"""Millimetres, or whatever else, beyond which a number is damage; far from where float32 ends."""
_SHORTEST = 1e-30  # length of a column that still has a direction in float32


def shown(*names: str, most: int = 8) -> str:
    """Return names from a file for a message: on one line, in ASCII, not too many and none too long."""
    listed = ", ".join(ascii(name)[1:-1][:60] for name in sorted(names)[:most]) or "nothing"
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def real(source: ModelSource, values: np.ndarray, what: str, scale: float = 1.0) -> np.ndarray:
    """Return ``scale · values`` as float32 in the same memory order, after checking that they are finite.

    Writable float32 arrays are taken over, all others copied.

    Raises
    ------
    BadInputError
        If there are NaN, infinities or absurdly large numbers; `what` names the array.
    """
    if values.dtype.kind not in "fiub":
        raise source.bad(f"{what} holds {values.dtype}, not numbers")
    with np.errstate(all="ignore"):
        # an array that may be written to has just been read, and is taken over
        numbers: np.ndarray = values.astype(np.float32, order="K", copy=not values.flags.writeable)
        if scale != 1.0:
            numbers *= np.float32(scale)
        low, high = numbers.min(initial=0.0), numbers.max(initial=0.0)
    if not -LARGEST <= low <= high <= LARGEST:
        raise source.bad(f"{what} has numbers that are not finite or beyond any face: the file is damaged")
    return numbers


def points(source: ModelSource, values: np.ndarray, what: str, scale: float = 1.0) -> np.ndarray:
    """Return (v, 3) float32 points from an array of v rows, or of 3 v numbers, xyz interleaved."""
    if not values.size or (values.shape[-1] != 3 and (values.size % 3 or values.size != max(values.shape))):
        raise source.bad(f"{what} has the shape {values.shape}, not (v, 3) or three numbers for each vertex")
    return np.ascontiguousarray(real(source, values, what, scale).reshape(-1, 3))


def triangles(source: ModelSource, values: np.ndarray, vertex_count: int, what: str = "faces") -> np.ndarray:
    """Return (f, 3) int32 faces after checking that they are whole numbers within the vertices."""
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "iu":
        raise source.bad(f"{what} has the shape {values.shape} of {values.dtype}, not (f, 3) whole numbers")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < vertex_count:
        raise source.bad(f"{what} refers to vertices {values.min()}..{values.max()} of {vertex_count}")
    return np.array(values, dtype=np.int32, order="C")  # a copy: the file may be mapped


def scaled_group(
    mean: Float[np.ndarray, "v 3"],
    columns: Float[np.ndarray, "d k"],
    deviations: Float[np.ndarray, " k"] | None = None,
    noise_variance: float = 0.0,
) -> LinearModel:
    """Return the group whose instance is mean + columns · (deviations ⊙ c), coefficients untouched.

    Parameters
    ----------
    mean : (v, 3) float32.
    columns : (3v, k) float32, of any lengths; the array is taken over and changed.
    deviations : what the coefficients are multiplied with before the columns; None: with one.
    noise_variance : as in `LinearModel`.
    """
    basis = np.asfortranarray(columns, dtype=np.float32)
    lengths = column_lengths(basis)
    for j, length in enumerate(lengths):
        if length > _SHORTEST:
            basis[:, j] /= length
        else:  # a component that does nothing keeps its number, and any direction
            basis[:, j] = 0.0
            basis[0, j], lengths[j] = 1.0, 0.0
    return LinearModel(mean, basis, lengths if deviations is None else lengths * deviations, noise_variance)


def column_lengths(columns: Float[np.ndarray, "d k"]) -> Float[np.ndarray, " k"]:
    """Return the columns' lengths, (k,) float64."""
    squares = [np.einsum("i,i->", column, column, dtype=np.float64) for column in columns.T]
    return np.sqrt(np.array(squares, np.float64))


def vertex_embedding(
    names: tuple[str, ...], vertices: Int[np.ndarray, " n"], faces: Int[np.ndarray, "f 3"]
) -> LandmarkEmbedding:
    """Return landmarks that lie on vertices as an embedding; those without a face are left out."""
    corners = faces.reshape(-1)
    used, first = np.unique(corners, return_index=True)
    place = np.searchsorted(used, vertices)
    there = place < len(used)
    there[there] = used[place[there]] == np.asarray(vertices)[there]
    corner = first[place[there]]
    kept = tuple(name for name, is_there in zip(names, there, strict=True) if is_there)
    return LandmarkEmbedding(kept, (corner // 3).astype(np.int32), np.eye(3)[corner % 3])
