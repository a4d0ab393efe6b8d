"""C-Net as a task of the loop: R-Net frozen, sets of photos, and whether trust beats plain averages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.training.augmentation import Augmentation
from morphkit.training.c_net_config import CNetConfig, SetAugmentationSettings
from morphkit.training.c_net_data import PeopleSets, RawSets
from morphkit.training.c_net_step import Confidences, SetBatch, aggregated, set_losses
from morphkit.training.config import AugmentationSettings, digest
from morphkit.training.earlier import checkpointed_network, earlier_run, is_checkpoint
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import load_network, network_digest, save_network
from morphkit.training.panels import panel
from morphkit.training.r_net_task import FaceData, built_costs, chosen_rasterizer
from morphkit.training.sampler import Order, shared_out
from morphkit.training.scene import FaceScene
from morphkit.training.step import Costs, head_terms
from morphkit.training.task import Module, StepTerms, Validation
from morphkit.training.truth import SupervisedWeights
from morphkit.training.validation import IdentityRuler, added, ensure_finite
from morphkit.training.viewing import viewed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SET_NAMES = (
    "aggregate_error_mm",
    "average_error_mm",
    "single_error_mm",
    "mean_face_error_mm",
    "aggregate_ratio",
    "average_ratio",
    "single_ratio",
    "confidence_clean",
    "confidence_corrupted",
)
_HELD_OUT_EPOCH = 2**40  # a key that no epoch of training has


@dataclass(frozen=True, eq=False)
class CNetTask:
    """What the loop asks of C-Net's training.

    Attributes
    ----------
    config : all settings.
    data : model and photos.
    network : what is trained.
    r_net : what stays.
    meta : of R-Net's weights, with their own digest as a C-Net's file has it.
    costs : the loss.
    ruler : of identity.
    sets, held_out : of people to train on, and of others; None without any.
    order : of people.
    device : where all happens.
    """

    config: CNetConfig
    data: FaceData
    network: Confidences
    r_net: RNet
    meta: Mapping[str, Any]
    costs: Costs
    ruler: IdentityRuler
    sets: PeopleSets
    held_out: PeopleSets | None
    order: Order
    device: torch.device

    @classmethod
    def build(cls, config: CNetConfig, fabric: Fabric) -> CNetTask:
        """Open all that the settings name.

        Raises
        ------
        BadInputError
            When something is missing or doesn't fit.
        """
        data = FaceData.open(config.data, config.model)
        r_net, meta = _frozen(Path(config.network.r_net), data)
        layout = OutputLayout.preset(meta["preset"], data.model, int(meta["size"]))
        if dict(layout.heads) != r_net.head_sizes:
            raise BadInputError(
                f"{config.network.r_net} was trained with other components; set [model] as it was then."
            )
        scene = FaceScene.from_morphable(
            data.model, layout, chosen_rasterizer(config.training, fabric.device), fabric.device
        )
        c_net = _network(config, r_net, meta)
        settings, seed = config.sets, config.training.seed
        sets = PeopleSets.of(data.train, settings.photos, settings.corrupted, seed)
        if config.training.batch > len(sets.members):
            raise BadInputError(
                f"training.batch is {config.training.batch}, but data.train shows {len(sets.members)} people "
                "with two photos or more; set it to fewer."
            )
        held = data.held_out
        share = config.training.batch, config.training.accumulate, fabric.world_size, fabric.global_rank
        return cls(
            config,
            data,
            Confidences(c_net).to(fabric.device),
            r_net.to(fabric.device).eval().requires_grad_(False),
            meta,
            _costs(config, scene, data),
            IdentityRuler.of(data.model, fabric.device),
            sets,
            None if held is None else PeopleSets.of(held, settings.photos, settings.corrupted, seed),
            Order(len(sets.members), seed, *share),
            fabric.device,
        )

    @property
    def identity(self) -> dict[str, str | int]:
        """What must be the same for a run to go on."""
        return {"config": digest(self.config), **self.data.identity, "r_net": self.meta["r_net_digest"]}

    @property
    def term_names(self) -> Sequence[str]:
        """All terms that a batch may have."""
        return self.costs.names

    @property
    def validation_names(self) -> Sequence[str]:
        """The numbers of a validation."""
        return () if self.held_out is None else (*SET_NAMES, "total", *self.costs.names)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each person is seen once."""
        return self.order.steps

    def batches(self, start: int, stop: int) -> Iterator[SetBatch]:
        """Yield this process's sets."""
        for raw in self.sets.batches(self.order, start, stop, self.config.augmentation):
            yield self._seen(raw)

    def losses(self, module: Module, batch: SetBatch) -> StepTerms:
        """Return the terms of sets."""
        return set_losses(self.r_net, module, batch, self.costs)

    def describe(self, batch: SetBatch) -> list[str]:
        """Return the photos of sets."""
        return [self.data.train.describe(int(place)) for place in batch.faces.places]

    def validation_sums(self, module: Module) -> dict[str, Tensor]:
        """Return sums over this process's share of held-out people, a set each."""
        if self.held_out is None:
            return {}
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        names = ("aggregate", "average", "single", "mean_face", "known", "clean", "corrupted")
        counts = ("count", "clean_count", "corrupted_count")
        sums = dict.fromkeys((*names, *counts, *self.costs.names), zero)
        mine, size = (
            shared_out(len(self.held_out.members), self.order.world, self.order.rank),
            self.order.batch,
        )
        for start in range(0, len(mine), size):
            people = mine[start : start + size]
            sums = added(sums, self._set_sums(module, self.held_out, people))
        return sums

    def validation(self, sums: Mapping[str, Tensor]) -> Validation:
        """Return mean errors, and the mean confidence of clean and spoilt photos, of the set's mean."""
        found = {name: float(value) for name, value in sums.items()}
        values = {name: found[name] / found["count"] for name in self.costs.names}
        values["total"] = sum(values.values())
        for kind in ("clean", "corrupted"):
            if found[f"{kind}_count"]:
                values[f"confidence_{kind}"] = found[kind] / found[f"{kind}_count"]
        if not found["known"]:
            return Validation(values, values["total"])
        for kind in ("aggregate", "average", "single", "mean_face"):
            values[f"{kind}_error_mm"] = found[kind] / found["known"]
            if kind != "mean_face":
                values[f"{kind}_ratio"] = found[kind] / found["mean_face"]
        by_truth = self.costs.metrics is not None  # a run that uses no truth must not choose by it
        return Validation(values, values["aggregate_ratio"] if by_truth else values["total"])

    def panels(self, module: Module, count: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the photos of the first held-out sets, drawn with their sets' identities."""
        if self.held_out is None:
            return None
        people = np.arange(min(len(self.held_out.members), max(1, count // self.config.sets.photos)))
        batch = self._held_out_sets(self.held_out, people)
        found = aggregated(self.r_net, module, batch)
        shared = found.identity.repeat_interleave(batch.photos, dim=0)
        decoded = self.costs.scene.decode({**found.heads, "identity": shared})
        return panel(self.costs.scene, decoded, batch.faces.images)

    def save_weights(self, path: Path, config: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        """Write the network for use."""
        del extras  # C-Net has no coefficients of its own
        names = ("preset", "size", "model_digest", "identity_deviation", "r_net_digest")
        meta = {name: self.meta[name] for name in names} | {"config": json.dumps(dict(config))}
        save_network(path, self.network.c_net, meta)

    def _set_sums(self, module: Module, held_out: PeopleSets, people: np.ndarray) -> dict[str, Tensor]:
        batch = self._held_out_sets(held_out, people)
        found = aggregated(self.r_net, module, batch)
        told = {"confidence": batch_rows(found.confidence), "identity": batch_rows(found.single)}
        ensure_finite(told, batch.faces.places, held_out.faces.describe)
        shared = found.identity.repeat_interleave(batch.photos, dim=0)
        terms = head_terms({**found.heads, "identity": shared}, batch.faces, self.costs)
        sets = float(len(found.identity))
        one = torch.ones((), dtype=torch.float64, device=self.device)
        sums = {name: value.double() * sets for name, value in terms.items()} | {"count": one * sets}
        relative = found.confidence / found.confidence.mean(dim=1, keepdim=True)
        trust = relative.double().mean(dim=2).flatten()
        for kind, rows in (("clean", ~batch.corrupted), ("corrupted", batch.corrupted)):
            sums |= {kind: trust[rows].sum(), f"{kind}_count": one * float(rows.sum())}
        if batch.faces.truth is None or not bool(batch.faces.has_truth.all()):
            return sums
        truth = batch.faces.truth.identity
        first = truth[:: batch.photos]
        singles = self.ruler.errors(batch_rows(found.single), truth)
        return sums | {
            "known": one * sets,
            "aggregate": self.ruler.errors(found.identity, first).sum(),
            "average": self.ruler.errors(found.single.mean(dim=1), first).sum(),
            "single": singles.sum() / batch.photos,
            "mean_face": self.ruler.errors(torch.zeros_like(found.identity), first).sum(),
        }

    def _held_out_sets(self, sets: PeopleSets, people: np.ndarray) -> SetBatch:
        plain = SetAugmentationSettings(**vars(AugmentationSettings.none()))
        return self._seen(sets.sets(people, _HELD_OUT_EPOCH, people, plain))

    def _seen(self, raw: RawSets) -> SetBatch:
        change: Augmentation = raw.change
        faces = viewed(raw.faces.to(self.device), change, int(self.meta["size"]), None)
        return SetBatch(faces, raw.corrupted.to(self.device), raw.photos)


def batch_rows(values: Tensor) -> Tensor:
    """Return (sets, m, k) as (sets * m, k)."""
    return values.reshape(-1, values.shape[-1])


def _costs(config: CNetConfig, scene: FaceScene, data: FaceData) -> Costs:
    """Return the single-image loss, of whose supervised terms only that of identity can teach C-Net."""
    found = built_costs(config.losses, scene, data)
    only = SupervisedWeights(
        identity=found.supervised.identity, expression=0.0, albedo=0.0, light=0.0, pose=0.0
    )
    return replace(found, supervised=only)


def _frozen(path: Path, data: FaceData) -> tuple[RNet, Mapping[str, Any]]:
    network, meta = load_network(path)
    if not isinstance(network, RNet):
        raise BadInputError(f"{path} holds no R-Net; give weights from `morphkit train`.")
    if meta["model_digest"] != data.digest:
        raise BadInputError(f"{path} was trained with another model; give that one as model.path.")
    return network, {**meta, "r_net_digest": network_digest(network)}


def _network(config: CNetConfig, r_net: RNet, meta: Mapping[str, Any]) -> CNet:
    """Return the C-Net to start from."""
    k, channels = r_net.head_sizes["identity"], (r_net.backbone.shallow_channels, r_net.deep_channels)
    if config.network.initial is not None:
        return _earlier(Path(config.network.initial), k, channels, meta["r_net_digest"])
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        return CNet(k, *channels)


def _earlier(path: Path, k: int, channels: tuple[int, int], r_net: str) -> CNet:
    other = BadInputError(f"{path} was trained on the features of another R-Net than network.r_net.")
    if is_checkpoint(path):
        run = earlier_run(path, "c_net")
        if run.identity.get("r_net") != r_net:
            raise other
        return checkpointed_network(path, run, "c_net", lambda: CNet(k, *channels))
    network, meta = load_network(path)
    if not isinstance(network, CNet):
        raise BadInputError(f"{path} holds no C-Net; give weights from `morphkit train-cnet`.")
    if (meta["r_net_digest"], network.k, network.channels) != (r_net, k, channels):
        raise other
    return network
