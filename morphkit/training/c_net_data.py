"""Sets of photos of a person, some of them spoilt on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.training.augmentation import PATCHES, Augmentation
from morphkit.training.batch import RawBatch
from morphkit.training.c_net_config import SetAugmentationSettings
from morphkit.training.loader import JoinedFaces
from morphkit.training.randomness import keyed_generator
from morphkit.training.sampler import Order

CORRUPTIONS = ("blur", "dark", "noise", "occlusion", "resolution")


@dataclass(frozen=True, eq=False)
class RawSets:
    """Photos of several people, set after set.

    Attributes
    ----------
    faces : (sets * m) rows.
    change : what happens to each.
    corrupted : which are spoilt.
    photos : m, to a set.
    """

    faces: RawBatch
    change: Augmentation
    corrupted: Bool[Tensor, " batch"]
    photos: int


@dataclass(frozen=True, eq=False)
class PeopleSets:
    """Draws sets of the people of a table.

    Attributes
    ----------
    faces : the table.
    members : the rows of each person who has two photos at least.
    photos : to a set.
    corrupted : share of photos that are spoilt.
    seed : of all that is drawn.
    """

    faces: JoinedFaces
    members: tuple[Int[np.ndarray, " n"], ...]
    photos: int
    corrupted: float
    seed: int

    @classmethod
    def of(cls, faces: JoinedFaces, photos: int, corrupted: float, seed: int) -> PeopleSets:
        """Group a table by person.

        Raises
        ------
        BadInputError
            When nobody has two photos.
        """
        people = faces.people
        order = np.argsort(people, kind="stable")
        order = order[people[order] >= 0]
        ends = np.flatnonzero(np.diff(people[order])) + 1
        groups = tuple(group for group in np.split(order, ends) if len(group) > 1)
        if not groups:
            folders = ", ".join(str(dataset.folder) for dataset in faces.datasets)
            raise BadInputError(
                f"{folders}: nobody is known to have two photos; group the photos by person, or render "
                "several of each."
            )
        return cls(faces, groups, photos, corrupted, seed)

    def batches(
        self, order: Order, start: int, stop: int, augmentation: SetAugmentationSettings
    ) -> Iterator[RawSets]:
        """Yield a process's sets of steps `start` to `stop`; positions in the order count people."""
        for number in range(start * order.accumulate, stop * order.accumulate):
            step, micro = divmod(number, order.accumulate)
            epoch, inner = divmod(step, order.steps)
            positions = order.positions(inner, micro)
            yield self.sets(order.epoch(epoch)[positions], epoch, positions, augmentation)

    def sets(
        self,
        people: Int[np.ndarray, " sets"],
        epoch: int,
        positions: Int[np.ndarray, " sets"],
        augmentation: SetAugmentationSettings,
    ) -> RawSets:
        """Return one set of each of some people, drawn by the keys of epoch and position."""
        rows = [self._drawn(int(who), epoch, int(p)) for who, p in zip(people, positions, strict=True)]
        keys = (positions[:, None] * self.photos + np.arange(self.photos)).reshape(-1)
        change = Augmentation.draw(augmentation, self.seed, epoch, keys)
        change, spoilt = self._spoilt(change, epoch, keys)
        return RawSets(self.faces.read(np.concatenate(rows)), change, spoilt, self.photos)

    def _drawn(self, who: int, epoch: int, position: int) -> np.ndarray:
        """Return rows of a person's photos: different ones as far as they go."""
        generator = keyed_generator("sets", self.seed, epoch, position)
        mine = self.members[who]
        return np.resize(generator.permutation(mine), self.photos)

    def _spoilt(
        self, change: Augmentation, epoch: int, keys: np.ndarray
    ) -> tuple[Augmentation, Bool[Tensor, " batch"]]:
        values: dict[str, Any] = {name: getattr(change, name).clone() for name in _SPOILT}
        spoilt = torch.zeros(len(keys), dtype=torch.bool)
        for row, key in enumerate(keys):
            generator = keyed_generator("corruption", self.seed, epoch, int(key))
            if generator.random() < self.corrupted:
                spoilt[row] = True
                _spoil(values, row, CORRUPTIONS[generator.integers(len(CORRUPTIONS))], generator)
        return replace(change, **values), spoilt


_SPOILT = ("blur", "gain", "noise", "patches", "patch_colors", "resolution", "landmark_noise")


def _spoil(values: dict[str, Tensor], row: int, kind: str, generator: np.random.Generator) -> None:
    """Make a photo much worse than augmentation does, in one way, and with it what a detector sees in it."""
    strength = generator.random()
    values["landmark_noise"][row] = (3.0 + 5.0 * strength) / 224.0
    if kind == "blur":
        values["blur"][row] = (5.0 + 5.0 * strength) / 224.0
    elif kind == "dark":
        values["gain"][row] *= 2.0 ** -(3.0 + 2.0 * strength)
    elif kind == "noise":
        values["noise"][row] = 0.2 + 0.2 * strength
    elif kind == "resolution":
        values["resolution"][row] = 0.08 + 0.06 * strength
    else:
        left, top = generator.uniform(0.15, 0.3, (2, PATCHES))
        right, bottom = generator.uniform(0.6, 0.85, (2, PATCHES))
        boxes = np.stack([left, top, right, bottom], axis=1)[:1].repeat(PATCHES, 0)
        values["patches"][row] = torch.from_numpy(boxes).float()
        values["patch_colors"][row] = torch.from_numpy(generator.random(3)).float()
