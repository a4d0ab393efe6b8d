"""All that says how a network is trained: frozen, checked, from TOML or JSON and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from morphkit.losses.weights import EnergyWeights, Preset
from morphkit.training.settings_tree import SettingError, to_table

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
ScheduleKind = Literal["constant", "step", "cosine"]
NetworkPreset = Literal["deng-paper", "deep3d-tf", "deep3d-pt", "morphkit"]
Balance = Literal["none", "pose", "tone", "both"]


def ensure(holds: bool, name: str, expected: str, value: object) -> None:
    """Raise a `SettingError` unless a condition on a field holds."""
    if not holds:
        raise SettingError(name, expected, value)


def _within(settings: object, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        expected = f"{low:g} to {high:,.10g}" if math.isfinite(high) else f"at least {low:g}"
        ensure(value is None or low <= value <= high, name, expected, value)


def _one_of(settings: object, name: str, kind: Any) -> None:
    value = getattr(settings, name)
    ensure(value in get_args(kind), name, f"one of {', '.join(map(str, get_args(kind)))}", value)


@dataclass(frozen=True)
class DataSettings:
    """Which photos.

    Attributes
    ----------
    train, validation : folders of datasets, as `morphkit prepare` and `morphkit render-dataset` make them;
        rendered ones with truth and photos without may be mixed.
    balance : draw rare poses, rare skin tones or both more often than they come.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    balance: Balance = "none"

    def __post_init__(self) -> None:
        ensure(len(self.train) > 0, "train", "at least one folder", list(self.train))
        _one_of(self, "balance", Balance)


@dataclass(frozen=True)
class ModelSettings:
    """Which morphable model, and how many of its components (None: all).

    Attributes
    ----------
    path : a model file; None takes the embedded head.
    identity, expression, albedo : components of each group.
    """

    path: str | None = None
    identity: int | None = None
    expression: int | None = None
    albedo: int | None = None

    def __post_init__(self) -> None:
        _within(self, 1.0, math.inf, "identity")
        _within(self, 0.0, math.inf, "expression", "albedo")


@dataclass(frozen=True)
class NetworkSettings:
    """The network.

    Attributes
    ----------
    depth : of the ResNet, 18 or 50.
    preset : how its outputs become coefficients.
    size : side of the pictures it sees, pixels; the paper's is 224.
    weights : a torchvision state dict to start from, such as ImageNet's; None starts at random.
    initial : the network of an earlier run to start from: its `weights.pt`, or one of its checkpoints
        (`*.ckpt`), of which the averaged weights are taken where there are any.
    guided : let the network begin at the face that explains the landmarks and look at each of them; for the
        preset "morphkit". None does for that preset; the paper's networks see the picture alone.
    """

    depth: int = 18
    preset: NetworkPreset = "morphkit"
    size: int = 224
    weights: str | None = None
    initial: str | None = None
    guided: bool | None = None

    def __post_init__(self) -> None:
        ensure(self.depth in (18, 50), "depth", "18 or 50", self.depth)
        ensure(
            32 <= self.size <= 1024 and self.size % 8 == 0,
            "size",
            "32 to 1024 and a multiple of 8",
            self.size,
        )
        ensure(
            not (self.weights and self.initial), "initial", "left out where weights are given", self.initial
        )
        _one_of(self, "preset", NetworkPreset)
        ensure(not self.guided or self.preset == "morphkit", "guided", "false for this preset", self.guided)

    @property
    def reads_landmarks(self) -> bool:
        """Whether the network is guided by landmarks."""
        return self.preset == "morphkit" if self.guided is None else self.guided


@dataclass(frozen=True)
class LossSettings:
    """How much each term counts; 0 leaves it out.

    Attributes
    ----------
    preset : published weights, see `morphkit.losses.EnergyWeights`; every one may be overridden.
    photometric … monochrome : in place of the preset's.
    supervised : factor of all terms that know the truth of rendered photos; 0 uses no truth.
    true_identity … true_pose : in place of `morphkit.training.truth.SupervisedWeights`'; true_light is left
        out for the papers' presets, whose light multiplies sRGB codes and not radiance.
    weak_on_truth : compare pictures and landmarks of rows that have truth as well; False trains those by
        their truth alone, with no rendering.
    attention : count pixels by the dataset's attention; False counts all alike.
    network : ArcFace weights for the perceptual term; None takes the network of the extra `perceptual`.
    """

    preset: Preset = "morphkit"
    photometric: float | None = None
    landmark: float | None = None
    perceptual: float | None = None
    identity: float | None = None
    expression: float | None = None
    albedo: float | None = None
    flattening: float | None = None
    monochrome: float | None = None
    supervised: float = 1.0
    true_identity: float | None = None
    true_expression: float | None = None
    true_albedo: float | None = None
    true_light: float | None = None
    true_pose: float | None = None
    weak_on_truth: bool = True
    attention: bool = True
    network: str | None = None

    def __post_init__(self) -> None:
        _one_of(self, "preset", Preset)
        _within(self, 0.0, math.inf, *_TERMS, *_TRUE_TERMS, "supervised")

    @property
    def weights(self) -> EnergyWeights:
        """The preset's weights with what is overridden."""
        given = {f"{name}_weight": getattr(self, name) for name in _TERMS if getattr(self, name) is not None}
        return dataclasses.replace(EnergyWeights.preset(self.preset), **given)


_TRUE_TERMS = ("true_identity", "true_expression", "true_albedo", "true_light", "true_pose")
_TERMS = (
    "photometric",
    "landmark",
    "perceptual",
    "identity",
    "expression",
    "albedo",
    "flattening",
    "monochrome",
)


@dataclass(frozen=True)
class AugmentationSettings:
    """How far each photo is changed, drawn evenly up to these; all zero leaves photos as they are.

    Attributes
    ----------
    shift : pixels of a crop of 224, either way.
    scale : share of the size, either way.
    angle : degrees, either way.
    flip : mirror half of the photos.
    exposure : stops, either way.
    white_balance : stops of red and of blue against green, either way.
    contrast : share, either way.
    saturation : share, either way.
    blur : pixels of a crop of 224, the Gaussian's standard deviation at most, for `rare` of the photos.
    noise : sRGB 0..1, standard deviation, for `rare` of the photos.
    resolution : the smallest share of its resolution that `rare` of the photos are reduced to; 1 keeps them.
    grey : share of photos without colour.
    occlusion : share of photos with patches over them, which count nothing in the comparison of colours.
    rare : share of photos that get blur, noise, or a low resolution, each by itself.
    landmarks : pixels of a crop of 224: how far the landmarks that a guided network is shown are moved, each
        and all together, standard deviations.
    """

    shift: float = 10.0
    scale: float = 0.1
    angle: float = 10.0
    flip: bool = True
    exposure: float = 0.4
    white_balance: float = 0.15
    contrast: float = 0.15
    saturation: float = 0.2
    blur: float = 1.5
    noise: float = 0.03
    resolution: float = 0.4
    grey: float = 0.02
    occlusion: float = 0.15
    rare: float = 0.2
    landmarks: float = 1.0

    def __post_init__(self) -> None:
        _within(self, 0.0, 112.0, "shift")
        _within(self, 0.0, 0.9, "scale", "contrast", "saturation")
        _within(self, 0.0, 180.0, "angle")
        _within(self, 0.0, 10.0, "exposure", "white_balance", "blur", "landmarks")
        _within(self, 0.0, 1.0, "noise", "grey", "occlusion", "rare")
        _within(self, 0.05, 1.0, "resolution")

    @classmethod
    def none(cls) -> AugmentationSettings:
        """Return the settings that leave photos as they are."""
        names = [f.name for f in dataclasses.fields(cls) if f.name not in ("flip", "resolution")]
        return cls(**dict.fromkeys(names, 0.0), flip=False, resolution=1.0)


@dataclass(frozen=True)
class LoopSettings:
    """How long, how fast, on what.

    Attributes
    ----------
    epochs, steps : how long, whichever is given; a step is one change of the weights.
    batch : photos a process sees at once.
    accumulate : batches whose gradients are summed for a step.
    optimizer : "adam" or "adamw".
    learning_rate : after warm-up.
    weight_decay : of adamw.
    schedule : "constant", "step" (falls to `schedule_factor` of itself at each of `schedule_steps` parts of
        the way), or "cosine" to `schedule_floor` of itself.
    schedule_steps : how many equal parts "step" has.
    warmup : steps over which the rate rises from zero.
    gradient_clip : the largest norm of the gradient; 0 doesn't clip.
    ema : decay of the running average of the weights; 0 keeps none.
    precision : "32-true", "bf16-mixed" or, on a GPU, "16-mixed".
    channels_last : lay pictures out by pixel; None does with mixed precision, where it pays.
    seed : of weights, order and augmentation.
    workers : processes that read ahead; 0 reads in place.
    accelerator : "auto", "cpu" or "cuda".
    devices : processes on this machine. Under torchrun, what it says.
    rasterizer : "numba", "torch", "nvdiffrast"; "auto" takes nvdiffrast on a GPU where it is installed, else
        numba on a CPU and torch on a GPU.
    """

    epochs: int | None = None
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    schedule: ScheduleKind = "cosine"
    schedule_steps: int = 2
    schedule_factor: float = 0.2
    schedule_floor: float = 0.01
    warmup: int = 0
    gradient_clip: float = 0.0
    ema: float = 0.0
    precision: Precision = "32-true"
    channels_last: bool | None = None
    seed: int = 0
    workers: int = 0
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    rasterizer: Literal["auto", "numba", "torch", "nvdiffrast"] = "auto"

    def __post_init__(self) -> None:
        ensure(not (self.epochs and self.steps), "steps", "left out where epochs are given", self.steps)
        ensure(self.epochs is not None or self.steps is not None, "epochs", "given, or steps", None)
        ensure(
            0.0 < self.learning_rate <= 10.0, "learning_rate", "above 0 and at most 10", self.learning_rate
        )
        ensure(0.0 <= self.ema < 1.0, "ema", "0 to below 1", self.ema)
        ensure(0 <= self.seed < 2**63, "seed", "0 to 2^63 - 1", self.seed)
        _within(self, 1.0, 1e9, "steps")
        _within(self, 1.0, 1e6, "epochs", "schedule_steps")
        _within(self, 1.0, 65536.0, "batch", "accumulate")
        _within(self, 1.0, 1024.0, "devices")
        _within(self, 0.0, 1.0, "schedule_factor", "schedule_floor", "weight_decay")
        _within(self, 0.0, 1e9, "warmup")
        _within(self, 0.0, 1024.0, "workers")
        _within(self, 0.0, math.inf, "gradient_clip")
        for name in ("optimizer", "schedule", "precision", "accelerator", "rasterizer"):
            _one_of(self, name, _LITERALS[name])


_LITERALS: dict[str, Any] = {
    "optimizer": Literal["adam", "adamw"],
    "schedule": ScheduleKind,
    "precision": Precision,
    "accelerator": Literal["auto", "cpu", "cuda"],
    "rasterizer": Literal["auto", "numba", "torch", "nvdiffrast"],
}


@dataclass(frozen=True)
class OutputSettings:
    """What is written, and how often.

    Attributes
    ----------
    folder : of the run.
    log_every : steps between rows of metrics.csv.
    checkpoint_every : steps between checkpoints; one is also left at the end and when interrupted.
    validate_every : epochs between validations; one is also made at the end.
    panels : photos of the held-out that panels show; 0 draws none.
    """

    folder: str = "run"
    log_every: int = 10
    checkpoint_every: int = 500
    validate_every: int = 1
    panels: int = 6

    def __post_init__(self) -> None:
        ensure(bool(self.folder), "folder", "a folder's name", self.folder)
        _within(self, 1.0, math.inf, "log_every", "checkpoint_every", "validate_every")
        _within(self, 0.0, 64.0, "panels")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that `morphkit train` needs to know."""

    data: DataSettings
    training: LoopSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    output: OutputSettings = field(default_factory=OutputSettings)


_UNCOUNTED = {
    "training": ("workers", "accelerator", "devices"),
    "data": ("train", "validation"),
    "model": ("path",),
    "network": ("weights", "initial", "r_net"),
    "losses": ("network",),
}


def digest(config: object) -> str:
    """Return 16 hexadecimal digits that change with any setting that changes what is learnt.

    Where results go, how often they are written and how many processes read ahead does not count. Nor do
    paths, which may be spelled in many ways: what data, model and R-Net hold is told by their own digests
    (`Task.identity`), and the weights to start from matter at the start alone.
    """
    table = _counted(to_table(config))
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


def changed_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return which settings of two runs, as tables, make them learn otherwise, as "training.batch"."""
    tables = [_counted(table) for table in (one, other)]
    flat = [
        {f"{section}.{name}": value for section, values in table.items() for name, value in values.items()}
        for table in tables
    ]
    return sorted(name for name in flat[0] | flat[1] if flat[0].get(name) != flat[1].get(name))


def _counted(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change what is learnt."""
    return {
        section: {name: value for name, value in values.items() if name not in _UNCOUNTED.get(section, ())}
        for section, values in table.items()
        if section != "output" and isinstance(values, Mapping)  # of a damaged checkpoint, anything
    }
