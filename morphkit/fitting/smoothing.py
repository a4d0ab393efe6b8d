"""A sequence of Gaussian observations, smoothed forwards and backwards at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

from morphkit.fitting.pose import cross_matrices

_CURVATURE = (1.0, -2.0, 1.0)
_LEAST = 1e-9  # of the mean precision, which every frame has


def smoothed(
    values: Float[np.ndarray, "t n"],
    precisions: Float[np.ndarray, "t n n"],
    known: Bool[np.ndarray, " t"],
    cutoff: float,
) -> Float[np.ndarray, "t n"]:
    """Return the likeliest smooth sequence.

    Minimises ``Σ (x_t − z_t)ᵀ H_t (x_t − z_t) + Σ a_tᵀ P a_t``, with ``a_t = x_{t+1} − 2 x_t + x_{t−1}``: the
    maximum a posteriori of states whose velocities walk at random, which a Kalman filter and a
    Rauch–Tung–Striebel pass would find; here as one banded system. Since past and future count alike, nothing
    lags behind. P is the mean precision, scaled so that a motion of frequency `cutoff` is halved in every
    direction; slower ones pass, faster ones go. A frame that is surer than most is followed more closely, and
    gaps are bridged.

    Parameters
    ----------
    values : observations; those of frames that are not known are not looked at.
    precisions : of each observation.
    known : which frames were observed.
    cutoff : cycles per frame, below 0.5.

    Raises
    ------
    ValueError
        When no frame is known, or the cutoff is not in (0, 0.5).
    """
    if not known.any():
        raise ValueError("known: no frame is")
    if not 0.0 < cutoff < 0.5:
        raise ValueError(f"cutoff: expected cycles per frame between 0 and 0.5, got {cutoff}")
    frames, count = values.shape
    if frames < 3:
        return values.copy()
    usual = precisions[known].mean(axis=0)
    stiffness = usual / (2.0 - 2.0 * np.cos(2.0 * np.pi * cutoff)) ** 2
    observed = np.where(known[:, None, None], precisions, 0.0) + _LEAST * usual
    right = np.einsum("tij,tj->ti", np.where(known[:, None, None], precisions, 0.0), np.nan_to_num(values))
    banded = _banded(observed, stiffness)
    return solveh_banded(banded, right.ravel(), lower=True).reshape(frames, count)


def _banded(
    observed: Float[np.ndarray, "t n n"], stiffness: Float[np.ndarray, "n n"]
) -> Float[np.ndarray, "b m"]:
    """Return the system's lower diagonals: row k holds the elements k below the main diagonal."""
    frames, count = observed.shape[:2]
    blocks = np.zeros((3, frames, count, count))  # of each frame against itself, the next and the one after
    blocks[0] = observed
    for first, second in itertools.combinations_with_replacement(range(3), 2):
        product = _CURVATURE[first] * _CURVATURE[second]
        blocks[second - first, first : first + frames - 2] += product * stiffness
    bands = np.zeros((3 * count, frames, count))
    for column in range(count):
        bands[: count - column, :, column] = blocks[0, :, column:, column].T
        for apart in (1, 2):
            start = apart * count - column
            bands[start : start + count, :, column] = blocks[apart, :, :, column].T
    return bands.reshape(3 * count, frames * count)


def rotation_vector(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return the axis of a rotation times its angle in radians, the inverse of `rotation_matrix`."""
    skew = 0.5 * (rotation - rotation.T)
    sine_axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    sine, cosine = float(np.linalg.norm(sine_axis)), 0.5 * (float(np.trace(rotation)) - 1.0)
    angle = float(np.arctan2(sine, cosine))
    if sine > 1e-6:
        return sine_axis * (angle / sine)
    if cosine > 0.0:
        return sine_axis
    outer = 0.5 * (rotation + np.eye(3))
    column = outer[:, int(np.argmax(np.diag(outer)))]
    axis: np.ndarray = np.pi * column / np.linalg.norm(column)
    return axis


def left_jacobian(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return J with ``rotation_matrix(r + d) ≈ rotation_matrix(J d) @ rotation_matrix(r)`` for small d."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-6:
        return np.eye(3) + 0.5 * cross_matrices(vector[None])[0]
    k = cross_matrices(vector[None] / angle)[0]
    jacobian: np.ndarray = (
        np.eye(3) + (1.0 - np.cos(angle)) / angle * k + (1.0 - np.sin(angle) / angle) * (k @ k)
    )
    return jacobian


def middle_rotation(rotations: Sequence[Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation nearest to the mean of the matrices."""
    u, _, vt = np.linalg.svd(np.mean(rotations, axis=0))
    return u @ np.diag([1.0, 1.0, float(np.linalg.det(u @ vt))]) @ vt
