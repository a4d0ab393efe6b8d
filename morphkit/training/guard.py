"""Numbers that are no numbers: found before they reach the weights, and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from morphkit.errors import MorphkitError

_NAMED = 8  # photos that a sentence names
_CHANGE = "with a smaller learning rate, gradient clipping or 32-true precision, or without these photos."


class NotFiniteError(MorphkitError):
    """A loss or a gradient that is infinite or not a number.

    Attributes
    ----------
    term : the first that isn't finite.
    step : at which.
    """

    def __init__(self, message: str, term: str, step: int) -> None:
        super().__init__(message, term, step)
        self.term = term
        self.step = step

    def __str__(self) -> str:
        """Return the sentence."""
        return str(self.args[0])


def all_finite(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return, on the device and without waiting for it, whether every entry is finite."""
    sums = [tensor.detach().float().sum() for tensor in tensors.values() if tensor.numel()]
    # a sum of finite numbers can overflow only beyond 3e38, where nothing good is left either
    return torch.isfinite(torch.stack(sums)).all()


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first that has an entry that isn't finite."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor.detach()).all()):
            return name
    return None


def sentence(term: str, step: int, photos: Sequence[str], checkpoint: str) -> str:
    """Return what a person is told of a step."""
    return (
        f"The {term} is not finite at step {step} (photos: {_listed(photos)}); the last good state is in "
        f'{checkpoint}: start another run from it (--set "network.initial={checkpoint}", and another output '
        f"folder) {_CHANGE}"
    )


def held_out_sentence(term: str, photos: Sequence[str]) -> str:
    """Return what a person is told of held-out photos."""
    return (
        f"The {term} is not finite on held-out photos ({_listed(photos)}); start another run from the last "
        f"checkpoint (network.initial, and another output folder) {_CHANGE}"
    )


def _listed(photos: Sequence[str]) -> str:
    return "; ".join(photos[:_NAMED]) + ("; …" if len(photos) > _NAMED else "")
