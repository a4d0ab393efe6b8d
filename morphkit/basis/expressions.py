"""Who is at rest and who is not: expression offsets from each person's own neutral face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.poses import Poses, fit_poses, read
from morphkit.geometry.similarity import Similarity

NEUTRAL = "neutral"
_ROUNDS = 25  # of reweighting, after the first fit
_NEAR = 0.01  # millimetres: nearer counts no more
OFFSETS = "expression_offsets"  # the data set that streaming writes


@dataclass(frozen=True, eq=False)
class Roles:
    """What each scan is good for.

    Attributes
    ----------
    neutral : (m,) the scans of faces at rest.
    expressive : (e,) the other scans whose person has a neutral one.
    own : for each of those, the places in `neutral` of its person's neutral scans.
    orphans : (o,) the other scans whose person has none.
    orphan_subjects : the persons of those, in order, once.
    """

    neutral: Int[np.ndarray, "m"]
    expressive: Int[np.ndarray, "e"]
    own: tuple[Int[np.ndarray, "_"], ...]
    orphans: Int[np.ndarray, "o"]
    orphan_subjects: tuple[str, ...]


def assign_roles(subjects: Sequence[str] | None, expressions: Sequence[str] | None, n: int) -> Roles:
    """Sort n scans by their labels; without labels, all are neutral.

    Parameters
    ----------
    subjects : n names; every scan is another person when None.
    expressions : n names, `NEUTRAL` for a face at rest; all are when None.

    Raises
    ------
    ValueError
        If there are not n labels.
    """
    for name, labels in (("subjects", subjects), ("expressions", expressions)):
        if labels is not None and len(labels) != n:
            raise ValueError(f"{name} has {len(labels)} labels for {n} shapes")
    persons = [str(i) for i in range(n)] if subjects is None else list(subjects)
    at_rest = [expressions is None or expressions[i] == NEUTRAL for i in range(n)]
    neutral = [i for i in range(n) if at_rest[i]]
    places: dict[str, list[int]] = {}
    for place, i in enumerate(neutral):
        places.setdefault(persons[i], []).append(place)
    expressive = [i for i in range(n) if not at_rest[i] and persons[i] in places]
    orphans = [i for i in range(n) if not at_rest[i] and persons[i] not in places]
    return Roles(
        np.array(neutral, np.int64),
        np.array(expressive, np.int64),
        tuple(np.array(places[persons[i]], np.int64) for i in expressive),
        np.array(orphans, np.int64),
        tuple(dict.fromkeys(persons[i] for i in orphans)),
    )


def expression_offsets(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    roles: Roles,
    aligned: Float[np.ndarray, "m v 3"] | h5py.Dataset,
    similarities: Sequence[Similarity],
    *,
    weights: Float[np.ndarray, "v"] | None = None,
    valid: Bool[np.ndarray, "n v"] | h5py.Dataset | None = None,
    output: h5py.Group | None = None,
) -> Float[np.ndarray, "e v 3"] | h5py.Dataset:
    """Return each expressive scan minus its person's neutral face (the mean of them if there are several).

    A scan is brought onto that neutral rigidly and robustly first, so that what the expression moves has
    little say in where the head is. Where the alignment removed the person's size, so does this.

    Parameters
    ----------
    shapes : (n, v, 3) all scans, millimetres, in any poses.
    roles : of the scans.
    aligned : (m, v, 3) the neutral ones in the model's frame.
    similarities : the m maps that brought them there.
    weights : (v,) how much each vertex says about the pose; uniform when None.
    valid : (n, v) vertices that may be trusted.
    output : an open group that offsets are written to, as the data set `OFFSETS`; needed if `shapes` is a
        data set.

    Raises
    ------
    ValueError
        If `shapes` is a data set and there is no `output`.
    """
    count, v = len(roles.expressive), shapes.shape[1]
    base = np.ones(v) if weights is None else weights.astype(np.float64)
    if isinstance(shapes, np.ndarray):
        offsets = np.empty((count, v, 3), shapes.dtype)
    elif output is None:
        raise ValueError("output: expected an open HDF5 group, since shapes is a data set")
    else:
        offsets = output.create_dataset(OFFSETS, (count, v, 3), shapes.dtype)
    for i, (scan, own) in enumerate(zip(roles.expressive, roles.own, strict=True)):
        neutral = np.mean([np.asarray(aligned[j], np.float64) for j in own], axis=0)
        size = float(np.mean([similarities[j].scale for j in own]))
        shape = size * read(shapes, slice(scan, scan + 1))
        seen = np.ones((1, v), bool) if valid is None else np.asarray(valid[scan : scan + 1])
        offsets[i] = robust_pose(shape, neutral, base, seen).apply(shape)[0] - neutral
    return offsets


def robust_pose(
    shapes: Float[np.ndarray, "c v 3"],
    target: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v"],
    seen: Bool[np.ndarray, "c v"],
) -> Poses:
    """Return the rigid motions of shapes that make the sum of distances to the target least.

    Distances, not their squares: where more than half of a face stays as it was, that half decides.

    Raises
    ------
    ValueError
        If a shape has fewer than three vertices to go by.

    References
    ----------
    Weiszfeld 1937 (the reweighting).
    """
    trust = weights * seen
    if (np.count_nonzero(trust, axis=1) < 3).any():
        raise ValueError("a shape has fewer than three trusted vertices of positive weight")
    poses = fit_poses(shapes, target, trust, False)
    for _ in range(_ROUNDS):
        lengths = np.linalg.norm(poses.apply(shapes) - target, axis=2)
        poses = fit_poses(shapes, target, trust / np.maximum(lengths, _NEAR), False)
    return poses
