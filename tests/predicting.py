"""A network that sees the small head in photos drawn of it, for the tests of predicting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fitting_head import small_head
from torch import nn

from morphkit.archive import save_model
from morphkit.fitting.dense import dense_model
from morphkit.fitting.landmark import Face
from morphkit.fitting.look import Look, draw
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.window import Window
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.io.images import write_image
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import get_rasterizer
from morphkit.training.networks.landmark_solve import LandmarkSolve
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import save_network

SIZE = 240  # pixels of a photo
LIGHT = np.zeros((9, 3))
LIGHT[0], LIGHT[1], LIGHT[2], LIGHT[3] = [4.2, 4.0, 3.8], -0.9, -1.4, 0.7


def shot(head: MorphableModel, seed: int = 5, roll: float = 0.3) -> tuple[np.ndarray, np.ndarray, Look]:
    """Return a photo of someone, the 68 points in it, and the truth."""
    rng = np.random.default_rng(seed)
    rotation = rotation_matrix(np.array([0.08, -0.25, roll])) @ np.diag([1.0, -1.0, -1.0])
    pose = Pose(rotation, np.array([14.0, -9.0]), 0.85, 1.4 * SIZE, np.array([SIZE / 2, SIZE / 2]))
    face = Face(pose, rng.normal(size=12), 0.5 * rng.normal(size=4))
    look = Look(face, rng.normal(size=6), LIGHT)
    wall = Window(np.full((SIZE, SIZE, 3), 0.2, np.float32), np.ones((SIZE, SIZE), bool), 0.0, 0.0, 1.0)
    with torch.no_grad():
        picture = draw(look, dense_model(head), wall, get_rasterizer("numba"))
    vertices = head.instance(face.identity, face.expression).astype(np.float64)
    points = pose.project(head.landmarks["ibug68"].landmarks(vertices, head.faces).points)
    return linear_to_srgb_uint8(picture.image), points, look


def write_weights(
    path: Path,
    head: MorphableModel,
    *,
    size: int = 64,
    guided: bool = True,
    preset: str = "morphkit",
    deviation: float | None = 0.5,
    digest: str | None = None,
) -> Path:
    """Write an untrained network whose heads nonetheless say something of every picture.

    Parameters
    ----------
    head : the model, or the part of it that training was told to use.
    digest : of the whole model.
    """
    layout = OutputLayout.preset(preset, head, size)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = RNet(18, layout.heads, guided=guided)
        for name, linear in network.heads.items():
            # a guided network stands where the landmarks are: it says little beyond them
            nn.init.normal_(linear.weight, std=0.005 if name == "rotation" else 0.02)
        if network.guide is not None:
            network.guide.solve = LandmarkSolve.from_model(
                head, layout.heads["identity"], layout.heads["expression"]
            )
        network(torch.rand(4, 3, size, size), size * torch.rand(4, 68, 2) if guided else None)
    meta = {
        "preset": preset,
        "size": size,
        "model_digest": head.digest if digest is None else digest,
        "config": "{}",
        "identity_deviation": None if deviation is None else [deviation] * layout.heads["identity"],
    }
    save_network(path, network.eval(), meta)
    return path


def write_shots(folder: Path, head: MorphableModel, count: int) -> Path:
    """Write photos of one scene with their points beside them, and the head; return its file."""
    folder.mkdir(parents=True)
    for number in range(count):
        photo, points, _ = shot(head, seed=5 + number, roll=0.1 * number)
        write_image(folder / f"{number}.png", photo)
        rows = "\n".join(f"{x} {y}" for x, y in points)
        (folder / f"{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    save_model(folder.parent / "head.h5", head)
    return folder.parent / "head.h5"


__all__ = ["LIGHT", "SIZE", "shot", "small_head", "write_shots", "write_weights"]
