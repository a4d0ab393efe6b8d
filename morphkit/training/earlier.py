"""Networks that a run starts from: an earlier run's checkpoint, of which only the network counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from morphkit.errors import BadInputError
from morphkit.training.checkpoint import Checkpoint, load_checkpoint
from morphkit.training.networks.weights import network_of_state

_Network = TypeVar("_Network", bound=nn.Module)
_NEEDED = "the checkpoint of a run whose network these settings describe"


def is_checkpoint(path: Path) -> bool:
    """Return whether a path is named as checkpoints are."""
    return path.suffix == ".ckpt"


def earlier_run(path: Path, name: str) -> Checkpoint:
    """Read a checkpoint whose trained module holds nothing but the network of a name.

    Raises
    ------
    BadInputError
        When the file cannot be used, or is of the training of another kind of network.
    """
    found = load_checkpoint(path)
    if not all(key.startswith(f"{name}.") for key in found.network):
        raise BadInputError(f"{path}: holds another kind of network; {_NEEDED} is needed.")
    return found


def checkpointed_network(path: Path, found: Checkpoint, name: str, build: Callable[[], _Network]) -> _Network:
    """Return the network of a checkpoint, its averaged weights if it has some.

    Parameters
    ----------
    path : for messages.
    found, name : of `earlier_run`.
    build : makes the network.

    Raises
    ------
    BadInputError
        When the checkpoint holds another network.
    """
    state: dict[str, Any] = dict(found.network if found.average is None else found.average["values"])
    state = {key.removeprefix(f"{name}."): value for key, value in state.items()}
    return network_of_state(path, build, state, _NEEDED)
