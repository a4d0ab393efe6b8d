"""Lightning Fabric: one process or several, on a CPU or GPUs, with the precision asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.training.config import LoopSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

REMEDY = 'install it with pip install "morphkit-3dmm[train]"'


def launched_fabric(settings: LoopSettings) -> Fabric:
    """Return a Fabric whose processes run.

    Under torchrun it takes the processes that are there: NCCL on GPUs, gloo on CPUs.

    Raises
    ------
    MissingDependencyError
        Without Lightning Fabric.
    BadInputError
        When a GPU is asked for and none is there, or 16-mixed on a CPU.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingDependencyError(f"Training needs Lightning Fabric; {REMEDY}.") from error
    accelerator = chosen_accelerator(settings)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells what it was asked to do
    fabric = Fabric(accelerator=accelerator, precision=settings.precision, **_processes(settings))
    fabric.launch()
    return fabric


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let tiny numbers count as zero: tiny weights of a long run would make a CPU many times slower.

    Only meanwhile: it is the whole thread's affair, and LAPACK and others need them.
    """
    before = bool((torch.tensor([1e-310], dtype=torch.float64) * 1.0).item() == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def chosen_accelerator(settings: LoopSettings) -> str:
    """Return "cpu" or "cuda".

    Raises
    ------
    BadInputError
        When it isn't there, or can't do the precision.
    """
    there = torch.cuda.is_available()
    chosen = settings.accelerator if settings.accelerator != "auto" else ("cuda" if there else "cpu")
    if chosen == "cuda" and not there:
        raise BadInputError("training.accelerator is cuda, but torch sees no CUDA GPU here; use cpu or auto.")
    if chosen == "cpu" and settings.precision == "16-mixed":
        raise BadInputError("training.precision 16-mixed needs a GPU; use bf16-mixed or 32-true on a CPU.")
    return chosen


def _processes(settings: LoopSettings) -> dict[str, Any]:
    """Return Fabric's devices, nodes and strategy."""
    world, here = (int(os.environ.get(name, 0)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world and here:
        return {"devices": here, "num_nodes": world // here, "strategy": "ddp" if world > 1 else "auto"}
    return {"devices": settings.devices, "strategy": "ddp" if settings.devices > 1 else "auto"}
