"""All that says how C-Net is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from morphkit.training.config import (
    AugmentationSettings,
    DataSettings,
    LoopSettings,
    LossSettings,
    ModelSettings,
    OutputSettings,
    ScheduleKind,
    ensure,
)


@dataclass(frozen=True)
class FrozenNetwork:
    """The R-Net whose features C-Net reads.

    Attributes
    ----------
    r_net : its weights, from `morphkit train`.
    initial : the C-Net of an earlier run on the same R-Net to start from: its `weights.pt`, or one of its
        checkpoints (`*.ckpt`).
    """

    r_net: str
    initial: str | None = None


@dataclass(frozen=True)
class SetSettings:
    """The sets of photos of a person.

    Attributes
    ----------
    photos : to a set; who has fewer shows some twice, who has one is left out.
    corrupted : share of photos that are made bad on purpose, so that it is learnt what not to trust.
    """

    photos: int = 5
    corrupted: float = 0.3

    def __post_init__(self) -> None:
        ensure(2 <= self.photos <= 64, "photos", "2 to 64", self.photos)
        ensure(0.0 <= self.corrupted < 1.0, "corrupted", "0 to below 1", self.corrupted)


@dataclass(frozen=True)
class SetAugmentationSettings(AugmentationSettings):
    """How each photo is changed; none is mirrored, since the photos of a set share one face."""

    flip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure(not self.flip, "flip", "false for sets, whose photos share one face", self.flip)


@dataclass(frozen=True)
class SetLoopSettings(LoopSettings):
    """How long, how fast: Deng et al. 2019's by default. `batch` counts sets."""

    batch: int = 5
    learning_rate: float = 2e-5
    schedule: ScheduleKind = "constant"

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure(self.workers == 0, "workers", "0 for sets, which are read in place", self.workers)


@dataclass(frozen=True)
class CNetConfig:
    """Everything that `morphkit train-cnet` needs to know."""

    data: DataSettings
    network: FrozenNetwork
    training: SetLoopSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    sets: SetSettings = field(default_factory=SetSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    augmentation: SetAugmentationSettings = field(default_factory=SetAugmentationSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        ensure(self.data.balance == "none", "data.balance", "none for sets of people", self.data.balance)
