"""Trained networks in files: tensors and plain values, never code."""

from __future__ import annotations

import hashlib
import os
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import torch
from torch import nn

from morphkit.errors import BadInputError
from morphkit.torch_file import ensure_fits, read_torch_file, write_torch_file
from morphkit.training.checkpoint import FORMAT as CHECKPOINT
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.outputs import LayoutName
from morphkit.training.networks.r_net import RNet

R_NET, C_NET, VERSION = "morphkit-r-net", "morphkit-c-net", 2
_NEEDED = "a network that `morphkit train` or `morphkit train-cnet` wrote"
_META = ("preset", "size", "model_digest", "config", "identity_deviation", "r_net_digest")
_MOST = 100_000  # numbers of a head, channels of features

_Network = TypeVar("_Network", bound=nn.Module)


def network_digest(network: nn.Module) -> str:
    """Return 64 hexadecimal digits that change with any weight or buffer of a network."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        plain = value.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def save_network(path: str | os.PathLike[str], network: RNet | CNet, meta: Mapping[str, Any]) -> None:
    """Write a network, atomically.

    Parameters
    ----------
    path : usually ``*.pt``.
    network : its weights are written from whatever device they are on.
    meta : plain values: ``preset``, the name of the output layout; ``size``, side of the crop in pixels;
        ``model_digest`` of the morphable model; ``config``, JSON of the run; ``identity_deviation``, how far
        each identity coefficient is off on held-out people, in standard deviations, or None. Of a C-Net,
        those of the R-Net whose features it reads, and ``r_net_digest``, that network's `network_digest`.

    Raises
    ------
    ValueError
        If `meta` has other entries, or other kinds of them.
    OutputError
        If the file cannot be written.
    """
    meta = {"r_net_digest": None, **meta}
    if set(meta) != set(_META):
        raise ValueError(f"meta must hold {', '.join(_META)}, got {', '.join(sorted(meta))}")
    odd = _odd_meta(meta, isinstance(network, CNet))
    if odd:
        raise ValueError(f"meta: {odd}")
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    write_torch_file(path, {"version": VERSION, **_structure(network), **meta, "state": state})


def load_network(path: str | os.PathLike[str]) -> tuple[RNet | CNet, dict[str, Any]]:
    """Read a network, ready to use (`eval`), and what was written with it.

    Returns
    -------
    The network, and `save_network`'s meta with ``depth``, ``heads`` and ``guided`` of an R-Net, or
    ``channels`` and ``k`` of a C-Net.

    Raises
    ------
    BadInputError
        When the file is missing, cut off, or anything else than such a network.
    """
    values = read_torch_file(path, _NEEDED)
    if isinstance(values, dict) and values.get("format") == CHECKPOINT:
        raise BadInputError(
            f"{path} is a checkpoint, for --resume; give weights.pt or best.pt from the run's folder."
        )
    if not isinstance(values, dict) or values.get("format") not in (R_NET, C_NET):
        raise BadInputError(f"{path}: no network of morphkit; {_NEEDED} is needed.")
    if values.get("version") != VERSION:
        raise BadInputError(
            f"{path}: written by another version of morphkit, with format {_shown(values.get('version'))} of "
            f"which this one reads {VERSION}; train it anew, or install that version."
        )
    shape = ("depth", "heads", "guided") if values["format"] == R_NET else ("channels", "k")
    odd = _odd_entries(values, {"format", "version", "state", *_META, *shape})
    if odd:
        raise BadInputError(f"{path}: damaged, {odd}; {_NEEDED} is needed.")

    def build() -> RNet | CNet:
        if values["format"] == R_NET:
            return RNet(values["depth"], values["heads"], guided=values["guided"])
        return CNet(values["k"], *values["channels"])

    network = network_of_state(path, build, values["state"], _NEEDED)
    return network, {name: values[name] for name in (*_META, *shape)}


def network_of_state(
    path: str | os.PathLike[str], build: Callable[[], _Network], state: object, needed: str
) -> _Network:
    """Return a network, ready to use (`eval`), that takes all its weights from a file's state dict.

    Parameters
    ----------
    path, needed : for messages, as of `read_torch_file`.
    build : makes the network.
    state : its names, shapes and kinds of numbers must be the network's.

    Raises
    ------
    BadInputError
        Naming the first that doesn't fit.
    """
    with torch.device("meta"):  # no memory, no random numbers: all values come from the file
        network = build()
    found = ensure_fits(path, state, network.state_dict(), needed)
    # each with memory of its own: a file may hold one number for a whole tensor
    network.load_state_dict({name: value.contiguous() for name, value in found.items()}, assign=True)
    for module in network.modules():
        if isinstance(module, RNet):
            module.backbone.remember_colors()  # no file holds them
    nn.Module.float(network)
    return network.eval()


def _structure(network: RNet | CNet) -> dict[str, Any]:
    if isinstance(network, RNet):
        guided = network.guide is not None
        return {"format": R_NET, "depth": network.depth, "heads": network.head_sizes, "guided": guided}
    return {"format": C_NET, "channels": list(network.channels), "k": network.k}


def _odd_entries(values: Mapping[str, Any], wanted: set[str]) -> str | None:
    """Return what is wrong with a file's plain values, None if nothing."""
    if set(values) != wanted:
        first = sorted(set(values) ^ wanted, key=str)[0]
        return f"{_shown(first)} is {'missing' if first in wanted else 'unknown'}"
    if "depth" in wanted and values["depth"] not in (18, 50):
        return f"depth is {_shown(values['depth'])}"
    if "heads" in wanted and not _are_heads(values["heads"]):
        return f"heads are {_shown(values['heads'])}"
    if "guided" in wanted and not _may_be_guided(values["guided"], values["preset"]):
        return f"guided is {_shown(values['guided'])} of a network with the layout {_shown(values['preset'])}"
    if "k" in wanted and not (_is_count(values["k"]) and _are_channels(values["channels"])):
        return f"k and channels are {_shown((values['k'], values['channels']))}"
    return _odd_meta(values, "k" in wanted)


def _odd_meta(meta: Mapping[str, Any], of_c_net: bool) -> str | None:
    if meta["preset"] not in get_args(LayoutName):
        return f"preset must be one of {', '.join(get_args(LayoutName))}, got {_shown(meta['preset'])}"
    if not _is_count(meta["size"]):
        return f"size must be a number of pixels, got {_shown(meta['size'])}"
    for name in ("model_digest", "config"):
        if not isinstance(meta[name], str):
            return f"{name} must be a text, got {_shown(meta[name])}"
    deviation = meta["identity_deviation"]
    if deviation is not None and not (
        isinstance(deviation, list) and all(isinstance(x, float) and 0 <= x < 1e6 for x in deviation)
    ):
        return f"identity_deviation must be a list of positive numbers or None, got {_shown(deviation)}"
    r_net = meta["r_net_digest"]
    if not (isinstance(r_net, str) if of_c_net else r_net is None):
        return f"r_net_digest must be a text of a C-Net, and None of an R-Net, got {_shown(r_net)}"
    return None


def _are_heads(heads: object) -> bool:
    return (
        isinstance(heads, dict)
        and 0 < len(heads) < 100
        and all(isinstance(name, str) and name.isidentifier() and _is_count(n) for name, n in heads.items())
    )


def _may_be_guided(guided: object, preset: object) -> bool:
    return guided is False or (guided is True and preset == "morphkit")


def _are_channels(channels: object) -> bool:
    return isinstance(channels, list) and len(channels) == 2 and all(map(_is_count, channels))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < _MOST


def _shown(value: object) -> str:
    return reprlib.repr(value)[:60]
