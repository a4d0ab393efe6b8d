"""A model and datasets of drawn faces on disk, and settings to train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training_scene import drawn_faces, symmetric_head

from morphkit.archive import load_model, save_model
from morphkit.training.data.dataset import DatasetWriter
from morphkit.training.data.faces import Faces

SIZE = 32


def write_training_files(folder: Path) -> Path:
    """Write model.h5, train/ (18 photos of 6 people), held-out/ (6 of 2), config.toml; return the last."""
    save_model(folder / "model.h5", symmetric_head())
    digest = load_model(folder / "model.h5").digest
    for name, count, people, seed in (("train", 18, 6, 1), ("held-out", 6, 2, 2)):
        faces = drawn_faces(symmetric_head(), count, seed=seed, size=SIZE, people=people)
        write_dataset(folder / name, faces, digest)
    config = folder / "config.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    (folder / "c-net.toml").write_text(C_NET, encoding="utf-8")
    return config


def write_dataset(folder: Path, faces: Faces, digest: str) -> None:
    model = {"name": "small", "digest": digest}
    with DatasetWriter(folder, size=faces.size, model=model, settings={}, shard_size=8) as writer:
        writer.add(faces.take(np.arange(len(faces))))
        writer.finish()


SETTINGS = f"""
[data]
train = ["train"]
validation = ["held-out"]
[model]
path = "model.h5"
[network]
size = {SIZE}
[losses]
perceptual = 0.0
[training]
steps = 8
batch = 4
learning_rate = 1e-4
ema = 0.9
accelerator = "cpu"
[output]
log_every = 1
checkpoint_every = 5
validate_every = 2
panels = 2
"""

C_NET = """
[data]
train = ["train"]
validation = ["held-out"]
[model]
path = "model.h5"
[network]
r_net = "run/weights.pt"
[sets]
photos = 3
[losses]
perceptual = 0.0
[training]
steps = 2
batch = 2
accelerator = "cpu"
[output]
log_every = 1
panels = 3
"""
