"""The figures of the pages, drawn by morphkit at build into _build/figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw
from sphinx.application import Sphinx

import morphkit
from morphkit.basis import compactness
from morphkit.building import load_template, register_scan
from morphkit.building.synthetic import scan_head
from morphkit.export.build_pictures import portrait, registration_strip
from morphkit.geometry.views import render_view, turn
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.landmarks import detect_faces
from morphkit.losses import SkinColorModel
from morphkit.losses.skin import MONK_TONES
from morphkit.mesh import Mesh
from morphkit.rendering import PerspectiveCamera, Renderer, get_rasterizer
from morphkit.rendering.lighting import ambient_light

_SIZE = 240
_INK = "#777777"  # readable on light and dark pages


def modes() -> np.ndarray:
    """Return the first two modes of the embedded head at -3, 0 and 3 standard deviations."""
    head = morphkit.load_default_model()
    rows = []
    for mode in range(2):
        meshes = [head.mesh(identity=sigma * np.eye(3)[mode]) for sigma in (-3.0, 0.0, 3.0)]
        rows.append(_row([replace(mesh, colors=None) for mesh in meshes]))
    return np.concatenate(rows, axis=1)


def expressions() -> np.ndarray:
    """Return five named expressions at full strength."""
    head = morphkit.load_default_model()
    names = ("jawOpen", "mouthSmileLeft", "mouthPucker", "browInnerUp", "eyeBlinkLeft")
    shown = [
        Mesh(head.instance(expression=head.expression_units.combine({name: 1.0})), head.faces)
        for name in names
    ]
    return _row(shown)


def albedo() -> np.ndarray:
    """Return the mean albedo and the first two modes of it at -1 and 1 standard deviations, unshaded."""
    head = morphkit.load_default_model()
    coefficients = [np.zeros(2), *(sigma * axis for axis in np.eye(2) for sigma in (-1.0, 1.0))]
    meshes = [replace(head.mesh(albedo=c), uv=None) for c in coefficients]
    return np.concatenate([render_view(mesh, size=_SIZE, shading="colored").image for mesh in meshes], axis=1)


def harmonics() -> np.ndarray:
    """Return the embedded head under each of the first nine harmonics of light, beside a constant."""
    light = 0.6 * ambient_light().repeat(9, 1, 1)
    for i in range(1, 9):
        light[i, i] = 1.5
    return _rendered(light, torch.tensor([[0.0, -15.0, 1200.0]]).repeat(9, 1), torch.full((9,), 900.0))


def distances() -> np.ndarray:
    """Return the embedded head from 0.35, 0.7, 1.5 and 5 m, the focal length such that it stays as large."""
    far = torch.tensor([350.0, 700.0, 1500.0, 5000.0])
    shift = torch.stack([torch.zeros(4), torch.full((4,), -15.0), far], dim=1)
    return _rendered(ambient_light().repeat(4, 1, 1) * 0.9 + _lamp(), shift, 0.8 * far)


def registration() -> np.ndarray:
    """Return a simulated scan, the template deformed to it, one over the other, and distances to the scan."""
    rng = np.random.default_rng(3)
    head = morphkit.load_default_model()
    scan = scan_head(head.mesh(rng.standard_normal(80)), head.face_middle, rng).mesh
    path = _folder() / "scan.ply"
    morphkit.write_mesh(path, replace(scan, colors=None))
    result = register_scan(path, load_template())
    distances = np.where(result.valid, result.distances, np.nan)
    return registration_strip(replace(scan, colors=None), result.mesh_mm, distances, result.rotation)


def landmarks() -> np.ndarray:
    """Return the sample photo with the 478 points that a network sees, and the 68 that follow from them."""
    photo = morphkit.read_image(str(files("morphkit") / "data" / "astronaut.jpg"))
    face = detect_faces(photo)[0]
    points = face.points478[:, :2]
    left, top = (points.min(axis=0) - 40).astype(int)
    right, bottom = (points.max(axis=0) + 40).astype(int)
    pictures = []
    for marks in (points, face.points68):
        picture = Image.fromarray(photo).crop((left, top, right, bottom)).resize((440, 480))
        draw, zoom = ImageDraw.Draw(picture), np.array([440 / (right - left), 480 / (bottom - top)])
        for x, y in (marks - [left, top]) * zoom:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill="#ffd23f")
        pictures.append(np.asarray(picture))
    return np.concatenate(pictures, axis=1)


def fitted() -> np.ndarray:
    """Return the sample photo, the fitted face over it, its shape, and two views from the side."""
    morphkit.fit(str(files("morphkit") / "data" / "astronaut.jpg"), _folder() / "fit")
    return morphkit.read_image(_folder() / "fit" / "side_by_side.png")


def compact() -> plt.Figure:
    """Return how much of its variance the first modes of the embedded head hold."""
    shares = compactness(morphkit.load_default_model().identity)
    fig, ax = plt.subplots(figsize=(5.2, 2.8))
    ax.plot(np.arange(1, len(shares) + 1), shares)
    ax.set(xlabel="modes", ylabel="share of the variance", ylim=(0, 1.02), xlim=(0, len(shares)))
    return fig


def skin() -> plt.Figure:
    """Return what the paper's skin model makes of the ten Monk tones."""
    fig, ax = plt.subplots(figsize=(5.2, 2.8))
    ax.bar(range(1, 11), SkinColorModel().by_tone(), color=np.array(MONK_TONES), edgecolor=_INK)
    ax.axhline(0.5, color=_INK, linestyle=":")
    ax.set(xlabel="Monk tone", ylabel="probability of skin", xticks=range(1, 11), ylim=(0, 1))
    return fig


def yaw() -> plt.Figure:
    """Return the error of fits by yaw: the table of docs/robustness.md."""
    angles = np.arange(-75, 76, 15)
    median = [0.88, 0.79, 0.75, 0.70, 0.76, 0.84, 0.79, 0.74, 0.81, 0.86, 0.92]
    turned = [7.3, 4.4, 3.7, 2.1, 1.1, 1.9, 2.4, 2.0, 3.1, 4.3, 8.8]
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
    left.plot(angles, median, marker="o")
    left.set(xlabel="yaw, degrees", ylabel="median error, mm", ylim=(0, 1))
    right.plot(angles, turned, marker="o")
    right.set(xlabel="yaw, degrees", ylabel="turned by, degrees", ylim=(0, None))
    return fig


def photos() -> plt.Figure:
    """Return the error of one person by number of photos: the last row of the table in design note 015."""
    fig, ax = plt.subplots(figsize=(5.2, 2.8))
    ax.plot([1, 2, 4, 8], [0.73, 0.65, 0.60, 0.59], marker="o")
    ax.set(xlabel="photos", ylabel="error, mm", ylim=(0, 0.8), xticks=[1, 2, 4, 8])
    return fig


FIGURES: tuple[Callable[[], np.ndarray | plt.Figure], ...] = (
    modes, expressions, albedo, harmonics, distances, registration, landmarks, fitted,
    compact, skin, yaw, photos,
)  # fmt: skip


def draw_all(_app: Sphinx | None = None) -> None:
    """Draw the figures, unless those there are were drawn by this very file."""
    folder, stamp = _folder(), _folder() / "stamp"
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == code:
        return
    for figure in FIGURES:
        drawn = figure()
        if isinstance(drawn, np.ndarray):
            morphkit.write_image(folder / f"{figure.__name__}.png", drawn)
        else:
            _save(drawn, folder / f"{figure.__name__}.svg")
    stamp.write_text(code)


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before pages are read."""
    app.connect("builder-inited", draw_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _folder() -> Path:
    folder = Path(__file__).parents[1] / "_build" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _save(fig: plt.Figure, path: Path) -> None:
    """Write a figure without a background, its ink readable on light and dark pages."""
    for ax in fig.axes:
        ax.tick_params(colors=_INK)
        for part in (ax.xaxis.label, ax.yaxis.label):
            part.set_color(_INK)
        for spine in ax.spines.values():
            spine.set_color(_INK)
        ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(path, transparent=True)
    plt.close(fig)


def _row(meshes: list[Mesh]) -> np.ndarray:
    return np.concatenate([portrait(mesh, turn(yaw=0.25), size=_SIZE) for mesh in meshes], axis=1)


def _lamp() -> torch.Tensor:
    light = torch.zeros(1, 9, 3)
    light[0, 1:4, 0] = torch.tensor([-0.5, -0.7, -0.3])
    light[0, :, 1:] = light[0, :, :1]
    return light


def _rendered(light: torch.Tensor, shift: torch.Tensor, focal: torch.Tensor) -> np.ndarray:
    """Return a picture for each light, side by side."""
    head = morphkit.FaceModel.from_morphable(morphkit.load_default_model())
    count, size = len(light), _SIZE
    camera = PerspectiveCamera.from_parameters(
        focal=focal, axis_angle=torch.zeros(count, 3), translation=shift, width=size, height=size
    )
    face = head.instance(head.layout.split(torch.zeros(count, head.layout.length)))
    white = torch.ones(1, size, size, 3)
    picture = Renderer(head.faces, get_rasterizer("numba"))(face.vertices, face.albedo, light, camera, white)
    return np.concatenate(list(linear_to_srgb_uint8(picture.image.numpy().clip(0, 1))), axis=1)
