"""One step of R-Net's training by part: how much of it is drawing and losses, beside the network itself.

The embedded head and rendered photos; truth and weak terms together, so that everything is drawn. CPU time of
one thread; `pytest -s` prints each part per photo and its share. What a bare ResNet needs for the same
pictures, forward and backward, is the peer: no other trainer of this kind runs without a GPU.
MORPHKIT_BENCHMARK_DEVICE=cuda measures ResNet-50, batch 32 and bf16 on a GPU, in wall time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

import morphkit
from morphkit.training.augmentation import Augmentation
from morphkit.training.config import DataSettings, LossSettings, NetworkSettings, TrainConfig
from morphkit.training.config import LoopSettings as Loop
from morphkit.training.devices import flushed_denormals, launched_fabric
from morphkit.training.networks.resnet import ResNet
from morphkit.training.r_net_task import RNetTask
from morphkit.training.step import head_terms
from morphkit.training.viewing import viewed

ON_GPU = os.environ.get("MORPHKIT_BENCHMARK_DEVICE", "cpu") == "cuda"
BATCH, STEPS = (32, 20) if ON_GPU else (16, 3)
CASES = (
    [(50, 224, 0.0), (50, 224, 0.2)]
    if ON_GPU
    else [(18, 112, 0.0), (18, 112, 0.2), (18, 224, 0.0), (50, 224, 0.0)]
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    morphkit.render_dataset(folder, 4 * BATCH, seed=1)
    return folder


def clock() -> float:
    """Return seconds: of the processor, or of the wall once a GPU is done."""
    if not ON_GPU:
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def task_of(photos: Path, depth: int, size: int, perceptual: float) -> RNetTask:
    losses = LossSettings(perceptual=perceptual)
    loop = Loop(steps=1, batch=BATCH, accelerator="cuda" if ON_GPU else "cpu")
    data, network = DataSettings(train=[str(photos)]), NetworkSettings(depth=depth, size=size)
    config = TrainConfig(data=data, network=network, losses=losses, training=loop)
    return RNetTask.build(config, launched_fabric(config.training))


def one_step(task: RNetTask, number: int) -> dict[str, float]:
    """Take a step; return each part's seconds."""
    seconds, last = {}, clock()

    def done(part: str) -> None:
        nonlocal last
        now = clock()
        seconds[part], last = now - last, now

    raw = task.loader[number]
    done("reading")
    change = Augmentation.draw(task.config.augmentation, 0, 0, raw.positions.numpy())
    batch = viewed(raw.to(task.device), change, task.config.network.size, task.mirror)
    done("augmentation")
    with torch.autocast("cuda", torch.bfloat16, enabled=ON_GPU):
        heads = task.network(batch.images.permute(0, 3, 1, 2), batch.shown_landmarks)
    done("network, forward")
    told = {name: head.detach().float().requires_grad_() for name, head in heads.items()}
    torch.stack(list(head_terms(told, batch, task.costs).values())).sum().backward()
    done("drawing and losses")
    torch.autograd.backward(list(heads.values()), [told[name].grad.to(head) for name, head in heads.items()])
    done("network, backward")
    return seconds


def bare(task: RNetTask) -> Callable[[], float]:
    """Return what measures a bare backbone on a batch of such pictures."""
    size, depth = task.config.network.size, task.config.network.depth
    network = ResNet(depth).to(task.device, memory_format=torch.channels_last)
    pictures = torch.rand(BATCH, 3, size, size, device=task.device)
    pictures = pictures.contiguous(memory_format=torch.channels_last)

    def step() -> float:
        begun = clock()
        with torch.autocast("cuda", torch.bfloat16, enabled=ON_GPU):
            deep = network(pictures).deep
        deep.float().square().sum().backward()
        return clock() - begun

    return step


@pytest.mark.parametrize(("depth", "size", "perceptual"), CASES)
@pytest.mark.benchmark(group="one step of R-Net's training")
def test_step(benchmark, photos, depth, size, perceptual):
    if ON_GPU and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    if perceptual:
        pytest.importorskip("face_recognition_models")
    task = task_of(photos, depth, size, perceptual)
    task.network.to(memory_format=torch.channels_last)
    backbone, parts = bare(task), []
    with flushed_denormals(), one_thread():
        one_step(task, 0), backbone()
        benchmark.pedantic(lambda: parts.append(one_step(task, len(parts) % 4)), rounds=STEPS)
        alone = float(np.median([backbone() for _ in range(STEPS)]))
    medians = {name: float(np.median([part[name] for part in parts])) for name in parts[0]}
    whole = sum(medians.values())
    print(f"\nResNet-{depth}, {size} pixels, {'with' if perceptual else 'without'} the perceptual term")
    for name, seconds in medians.items():
        print(f"  {name}: {1000 * seconds / BATCH:.1f} ms a photo, {seconds / whole:.0%}")
    print(f"  all: {1000 * whole / BATCH:.0f} ms, {whole / alone:.2f} times a bare ResNet")
    benchmark.extra_info["share of drawing and losses"] = medians["drawing and losses"] / whole
    benchmark.extra_info["times a bare ResNet"] = whole / alone


@contextmanager
def one_thread() -> Iterator[None]:
    """Let everything run on one thread, so that CPU time is what one core takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
