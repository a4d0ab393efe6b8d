"""Who is at rest and who is not: expression offsets from each person's own neutral face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.poses import Poses, fit_poses, read
from morphkit.geometry.similarity import Similarity

NEUTRAL = "neutral"
_ROUNDS = 6  # of learning what moves
_REWEIGHTINGS = 6  # of vertices within a scan
_NEAR = 0.01  # millimetres: nearer counts no more
_STILL = 0.3  # of the typical motion: what moves less is at rest
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

    neutral: Int[np.ndarray, " m"]
    expressive: Int[np.ndarray, " e"]
    own: tuple[Int[np.ndarray, " _"], ...]
    orphans: Int[np.ndarray, " o"]
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
    weights: Float[np.ndarray, " v"] | None = None,
    valid: Bool[np.ndarray, "n v"] | h5py.Dataset | None = None,
    output: h5py.Group | None = None,
) -> Float[np.ndarray, "e v 3"] | h5py.Dataset:
    """Return each expressive scan minus its person's neutral face (the mean of them if there are several).

    A scan is brought onto that neutral rigidly first, by what moves little in all the expressions given.
    Where the alignment removed the person's size, so does this.

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
    pairs = _Pairs(shapes, roles, aligned, similarities, valid)
    base = np.ones(shapes.shape[1]) if weights is None else weights.astype(np.float64)
    poses = _place(pairs, base)
    size = (len(pairs), *shapes.shape[1:])
    if isinstance(shapes, np.ndarray):
        offsets = np.empty(size, shapes.dtype)
    elif output is None:
        raise ValueError("output: expected an open HDF5 group, since shapes is a data set")
    else:
        offsets = output.create_dataset(OFFSETS, size, shapes.dtype)
    for i, pose in enumerate(poses):
        shape, neutral, _ = pairs.read(i)
        offsets[i] = pose.apply(shape)[0] - neutral
    return offsets


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Expressive scans, each with its person's neutral face."""

    shapes: Any
    roles: Roles
    aligned: Any
    similarities: Sequence[Similarity]
    valid: Any

    def __len__(self) -> int:
        return len(self.roles.expressive)

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a scan (1, v, 3) in its neutral face's size, that face, and what may be trusted (v,)."""
        scan, own = int(self.roles.expressive[i]), self.roles.own[i]
        neutral = np.mean([np.asarray(self.aligned[j], np.float64) for j in own], axis=0)
        size = float(np.mean([self.similarities[j].scale for j in own]))
        seen = np.ones(len(neutral), bool) if self.valid is None else np.asarray(self.valid[scan], bool)
        return size * read(self.shapes, slice(scan, scan + 1)), neutral, seen


def _place(pairs: _Pairs, base: np.ndarray) -> list[Poses]:
    """Return each scan's rigid motion onto its neutral face.

    What moves little in all expressions says where the head is, and how little is learnt from all of them,
    round by round. Within a scan it is the sum of distances that is made least, not of their squares.
    """
    used = np.flatnonzero(base)
    poses: list[Poses] = []
    weights = base[used]
    for _ in range(_ROUNDS):
        squares, counts, poses = np.zeros(len(used)), np.zeros(len(used)), []
        for i in range(len(pairs)):
            shape, neutral, seen = pairs.read(i)
            pose = place_robustly(shape[:, used], neutral[used], weights * seen[used])
            lengths = np.linalg.norm(pose.apply(shape[:, used])[0] - neutral[used], axis=1)
            squares, counts = squares + seen[used] * lengths**2, counts + seen[used]
            poses.append(pose)
        motion = squares / np.maximum(counts, 1)
        least = _STILL**2 * float(np.median(motion)) + _NEAR**2
        weights = base[used] * least / (motion + least)
    return poses


def place_robustly(
    shape: Float[np.ndarray, "1 v 3"], target: Float[np.ndarray, "v 3"], weights: Float[np.ndarray, " v"]
) -> Poses:
    """Return the rigid motion of a shape that makes the weighted sum of distances to the target least.

    Raises
    ------
    ValueError
        If fewer than three vertices have a weight.

    References
    ----------
    Weiszfeld 1937 (the reweighting).
    """
    if np.count_nonzero(weights) < 3:
        raise ValueError("a shape has fewer than three trusted vertices of positive weight")
    pose = fit_poses(shape, target, weights[None], False)
    for _ in range(_REWEIGHTINGS):
        lengths = np.linalg.norm(pose.apply(shape) - target, axis=2)
        pose = fit_poses(shape, target, weights / np.maximum(lengths, _NEAR), False)
    return pose
