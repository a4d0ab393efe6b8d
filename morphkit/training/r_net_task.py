"""R-Net as a task of the loop: its data, its loss, and how well it does."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, distributed, nn

from morphkit.archive import resolve_model
from morphkit.errors import BadInputError
from morphkit.losses.face_network import FaceNetwork, load_arcface, load_face_network
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend
from morphkit.training.augmentation import Augmentation
from morphkit.training.batch import Batch
from morphkit.training.config import (
    DataSettings,
    LoopSettings,
    LossSettings,
    ModelSettings,
    TrainConfig,
    digest,
)
from morphkit.training.config_files import ensure_plain
from morphkit.training.data.balance import balanced_weights
from morphkit.training.earlier import checkpointed_network, earlier_run, is_checkpoint
from morphkit.training.loader import JoinedFaces, Loader
from morphkit.training.mirroring import MirrorMap
from morphkit.training.networks.landmark_solve import LandmarkSolve
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet, RNetOutput
from morphkit.training.networks.synced_norm import synced
from morphkit.training.networks.weights import load_network, save_network
from morphkit.training.panels import panel
from morphkit.training.sampler import Order, shared_out
from morphkit.training.scene import FaceScene
from morphkit.training.settings_tree import from_table
from morphkit.training.step import Costs, head_terms, losses, supervised_weights
from morphkit.training.task import Module, StepTerms, Validation
from morphkit.training.truth import TruthMetrics
from morphkit.training.validation import (
    VALIDATION_NAMES,
    IdentityRuler,
    added,
    empty_truth,
    ensure_finite,
    spread_sums,
    summary,
    truth_sums,
)
from morphkit.training.viewing import viewed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Heads(nn.Module):
    """R-Net with nothing but its heads for an answer."""

    def __init__(self, r_net: RNet) -> None:
        super().__init__()
        self.r_net = r_net

    def forward(
        self, images: Float[Tensor, "batch 3 s s"], landmarks: Float[Tensor, "batch 68 2"]
    ) -> dict[str, Tensor]:
        """Return the heads' numbers."""
        found: RNetOutput = self.r_net(images, landmarks)
        return found.heads


@dataclass(frozen=True, eq=False)
class FaceData:
    """A model's faces to train on and to validate with.

    Attributes
    ----------
    model : as it is trained: perhaps with fewer components than its file.
    digest : of the whole model.
    train, held_out : the photos; None without any held out.
    """

    model: MorphableModel
    digest: str
    train: JoinedFaces
    held_out: JoinedFaces | None

    @classmethod
    def open(cls, data: DataSettings, settings: ModelSettings) -> FaceData:
        """Open model and datasets.

        Raises
        ------
        BadInputError
            When one is missing, damaged, or doesn't fit the others.
        """
        whole = resolve_model(settings.path)
        model = truncated(whole, settings)
        groups = (model.identity, model.expression, model.albedo)
        i, e, a = (0 if group is None else group.n_components for group in groups)
        known = whole.digest
        train = JoinedFaces.open(data.train, known, (i, e, a))
        held_out = JoinedFaces.open(data.validation, known, (i, e, a)) if data.validation else None
        return cls(model, known, train, held_out)

    @property
    def identity(self) -> dict[str, str | int]:
        """Digests of all of it."""
        held_out = "" if self.held_out is None else self.held_out.digest
        return {"data": self.train.digest, "validation": held_out, "model": self.digest}


def truncated(model: MorphableModel, settings: ModelSettings) -> MorphableModel:
    """Return the model with the components that are trained.

    Raises
    ------
    BadInputError
        When it has fewer.
    """
    for name in ("identity", "expression", "albedo"):
        group, wanted = getattr(model, name), getattr(settings, name)
        there = 0 if group is None else group.n_components
        if wanted is not None and wanted > there:
            raise BadInputError(f"model.{name} is {wanted}, but the model has {there} components of it.")
    return model.truncate(settings.identity, settings.expression, settings.albedo)


@dataclass(frozen=True, eq=False)
class RNetTask:
    """What the loop asks of R-Net's training.

    Attributes
    ----------
    config : all settings.
    data : model and photos.
    network : what is trained.
    costs : the loss.
    ruler : of identity.
    loader : this process's batches.
    mirror : for the truth of mirrored photos.
    device : where all happens.
    """

    config: TrainConfig
    data: FaceData
    network: Heads
    costs: Costs
    ruler: IdentityRuler
    loader: Loader
    mirror: MirrorMap | None
    device: torch.device

    @classmethod
    def build(cls, config: TrainConfig, fabric: Fabric) -> RNetTask:
        """Open all that the settings name.

        Raises
        ------
        BadInputError
            When something is missing or doesn't fit.
        """
        data = FaceData.open(config.data, config.model)
        layout = OutputLayout.preset(config.network.preset, data.model, config.network.size)
        network = Heads(_network(config, layout, data))
        if fabric.world_size > 1:
            synced(network, gpu=fabric.device.type == "cuda")
        backend = chosen_rasterizer(config.training, fabric.device)
        scene = FaceScene.from_morphable(data.model, layout, backend, fabric.device)
        return cls(
            config,
            data,
            network.to(fabric.device),
            built_costs(config.losses, scene, data),
            IdentityRuler.of(data.model, fabric.device),
            Loader(data.train, _order(config, data.train, fabric)),
            MirrorMap.of(data.model, fabric.device),
            fabric.device,
        )

    @property
    def identity(self) -> dict[str, str | int]:
        """What must be the same for a run to go on."""
        return {"config": digest(self.config), **self.data.identity}

    @property
    def term_names(self) -> Sequence[str]:
        """All terms that a batch may have."""
        return self.costs.names

    @property
    def validation_names(self) -> Sequence[str]:
        """The numbers of a validation."""
        return () if self.data.held_out is None else (*VALIDATION_NAMES, "total", *self.costs.names)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the photos are seen once."""
        return self.loader.order.steps

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield this process's augmented batches."""
        seed, settings = self.config.training.seed, self.config.augmentation
        for raw in self.loader.batches(start, stop, self.config.training.workers):
            change = Augmentation.draw(settings, seed, raw.epoch, raw.positions.numpy())
            yield viewed(raw.to(self.device), change, self.config.network.size, self.mirror)

    def losses(self, module: Module, batch: Batch) -> StepTerms:
        """Return the terms of a batch."""
        return losses(module, batch, self.costs)

    def describe(self, batch: Batch) -> list[str]:
        """Return the photos of a batch."""
        return [self.data.train.describe(int(place)) for place in batch.places]

    def validation_sums(self, module: Module) -> dict[str, Tensor]:
        """Return sums over this process's share of the held-out photos, as they are."""
        faces = self.data.held_out
        if faces is None:
            return {}
        k = self.network.r_net.head_sizes["identity"]
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        sums = {"count": zero, **empty_truth(k, self.device), **dict.fromkeys(self.costs.names, zero)}
        sums |= {name: zero.expand(k).clone() for name in ("all_found", "all_found_square")}
        for batch in self._held_out(faces):
            heads = module(batch.images.permute(0, 3, 1, 2), batch.shown_landmarks)
            ensure_finite(heads, batch.places, faces.describe)
            terms = head_terms(heads, batch, self.costs)
            more = {name: value.double() * len(batch) for name, value in terms.items()}
            more |= {"count": zero + len(batch), **spread_sums(heads["identity"])}
            known = batch.has_truth
            if batch.truth is not None and bool(known.any()):
                more |= truth_sums(self.ruler, heads["identity"][known], batch.truth.identity[known])
            sums = added(sums, more)
        return sums

    def validation(self, sums: Mapping[str, Tensor]) -> Validation:
        """Return what the sums say."""
        return summary(sums, self.costs.names, by_truth=self.costs.metrics is not None)

    def panels(self, module: Module, count: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return a picture of the first held-out people."""
        faces = self.data.held_out
        if faces is None:
            return None
        batch = self._plain(faces, distinct_people(faces, count))
        heads = module(batch.images.permute(0, 3, 1, 2), batch.shown_landmarks)
        return panel(self.costs.scene, self.costs.scene.decode(heads), batch.photos)

    def save_weights(self, path: Path, config: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        """Write the network for use."""
        deviation = extras.get("identity_deviation")
        network = self.network.r_net
        save_network(path, network, weights_meta(self.config, self.data.digest, config, deviation))

    def _held_out(self, faces: JoinedFaces) -> Iterator[Batch]:
        world, rank = self.loader.order.world, self.loader.order.rank
        mine, size = shared_out(len(faces), world, rank), self.config.training.batch
        for start in range(0, len(mine), size):
            yield self._plain(faces, mine[start : start + size])

    def _plain(self, faces: JoinedFaces, places: np.ndarray) -> Batch:
        """Return faces without augmentation."""
        raw = faces.read(places).to(self.device)
        return viewed(raw, Augmentation.identity(len(raw)), self.config.network.size, None)


def distinct_people(faces: JoinedFaces, count: int) -> np.ndarray:
    """Return the first photo of each of up to `count` people; who is unknown is someone else."""
    people = faces.people
    first = np.unique(people, return_index=True)[1]
    rows = np.union1d(first[people[first] >= 0], np.flatnonzero(people < 0))
    return rows[:count].astype(np.int64)


def chosen_rasterizer(settings: LoopSettings, device: torch.device) -> Backend:
    """Return what draws: what the settings say, or what suits the device."""
    if settings.rasterizer != "auto":
        return settings.rasterizer
    if device.type != "cuda":
        return "numba"
    if find_spec("nvdiffrast") is not None:
        return "nvdiffrast"
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank()):
        warnings.warn(
            "nvdiffrast, faster on a GPU, is not installed: the torch rasterizer draws; install it, "
            "or set training.rasterizer to torch to read this no more",
            stacklevel=2,
        )
    return "torch"


def built_costs(settings: LossSettings, scene: FaceScene, data: FaceData) -> Costs:
    """Return the loss that the settings describe.

    Raises
    ------
    BadInputError
        When no term is left.
    """
    device = scene.bare_skin.device
    weights = settings.weights
    some = any(faces is not None and faces.truth_sizes is not None for faces in (data.train, data.held_out))
    knows = some and settings.supervised > 0
    if not settings.weak_on_truth and not knows:
        raise BadInputError(
            "losses.weak_on_truth is false, and there is no truth to train by; set it to true."
        )
    metrics = TruthMetrics.from_morphable(data.model, scene.layout, device) if knows else None
    network = face_network(settings, device) if weights.perceptual_weight > 0 else None
    supervised = supervised_weights(settings)
    return Costs(scene, metrics, weights, supervised, settings.weak_on_truth, settings.attention, network)


def face_network(settings: LossSettings, device: torch.device) -> FaceNetwork:
    """Return the network of the perceptual term on a device."""
    found = load_face_network() if settings.network is None else load_arcface(settings.network)
    return FaceNetwork(found.network.to(device), found.template)


def _network(config: TrainConfig, layout: OutputLayout, data: FaceData) -> RNet:
    """Return the network to start from."""
    settings = config.network
    if settings.initial is not None:
        return _earlier(Path(settings.initial), config, layout, data.digest)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        network = RNet(settings.depth, layout.heads, guided=settings.reads_landmarks)
    if network.guide is not None:
        sizes = layout.heads["identity"], layout.heads.get("expression", 0)
        network.guide.solve = LandmarkSolve.from_model(data.model, *sizes)
    if settings.weights is not None:
        network.backbone.load_backbone(settings.weights)
    return network


def _earlier(path: Path, config: TrainConfig, layout: OutputLayout, model: str) -> RNet:
    settings, heads = config.network, dict(layout.heads)
    wanted = (settings.depth, settings.preset, settings.reads_landmarks, model)
    other = BadInputError(
        f"{path} was trained with another depth, preset, guide or model than these settings say."
    )
    if is_checkpoint(path):
        run = earlier_run(path, "r_net")
        ensure_plain(run.config, str(path))
        said = from_table(TrainConfig, run.config, str(path)).network
        if (said.depth, said.preset, said.reads_landmarks, run.identity.get("model")) != wanted:
            raise other
        build = partial(RNet, settings.depth, heads, guided=settings.reads_landmarks)
        return checkpointed_network(path, run, "r_net", build)
    network, meta = load_network(path)
    if not isinstance(network, RNet):
        raise BadInputError(f"{path} holds no R-Net; give weights from `morphkit train`.")
    found = (meta["depth"], meta["preset"], meta["guided"], meta["model_digest"])
    if (*found, dict(meta["heads"])) != (*wanted, heads):
        raise other
    return network


def _order(config: TrainConfig, faces: JoinedFaces, fabric: Fabric) -> Order:
    settings, balance = config.training, config.data.balance
    if settings.batch > len(faces):
        raise BadInputError(
            f"training.batch is {settings.batch}, but data.train holds {len(faces)} photos; set it to fewer."
        )
    weights = None
    if balance != "none":
        poses = faces.poses if balance in ("pose", "both") else None
        tones = faces.tones if balance in ("tone", "both") else None
        weights = balanced_weights(poses, tones)
    share = settings.batch, settings.accumulate, fabric.world_size, fabric.global_rank
    return Order(len(faces), settings.seed, *share, weights)


def weights_meta(
    config: TrainConfig, model: str, table: Mapping[str, Any], deviation: np.ndarray | None
) -> dict[str, Any]:
    """Return what goes with the weights."""
    return {
        "preset": config.network.preset,
        "size": config.network.size,
        "model_digest": model,
        "config": json.dumps(table),
        "identity_deviation": None if deviation is None else deviation.tolist(),
    }
