"""The gradient fit: the paper's whole energy, descended by Adam through the renderer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.export.comparison import bare_skin
from morphkit.fitting.gradient_energy import (
    GradientEnergy,
    LandmarkTarget,
    Recognition,
    photo_attention,
    seen_faces,
)
from morphkit.fitting.gradient_scene import Moved, Scene
from morphkit.fitting.gradient_settings import GradientSettings
from morphkit.fitting.look import Look, tensor
from morphkit.fitting.window import Window
from morphkit.losses.colors import linear_to_srgb
from morphkit.losses.face_network import FaceNetwork
from morphkit.model import FaceModel
from morphkit.morphable import MorphableModel
from morphkit.rendering import Rasterizer, Renderer

_ROTATION = 0.01  # what a step of one unit means: radians,
_SHIFT = 1.0  # pixels of the window,
_SCALE = 0.01  # logarithm of the scale,
_FOCAL = 0.0  # logarithm of the focal length: it stays,
_LIGHT = 0.1  # and share of the light's mean; coefficients count in standard deviations


@dataclass(frozen=True, eq=False)
class GradientFit:
    """Result of `refine`.

    Attributes
    ----------
    look : the best look met.
    energies : by term, its weighted value before each step and at the end; they sum to the energy.
    """

    look: Look
    energies: Mapping[str, tuple[float, ...]]

    @property
    def total(self) -> Float[np.ndarray, " steps"]:
        """The energy before each step and at the end."""
        return np.sum(list(self.energies.values()), axis=0)


def refine(energy: GradientEnergy, *, steps: int, rate: float) -> GradientFit:
    """Refine a look by the gradient of its energy.

    Adam (Kingma & Ba 2015) on pose, identity, expression, albedo and light at once; only the focal length
    stays, which a single photo hardly shows. The best step met is returned, so the energy never rises.

    Parameters
    ----------
    energy : of steps from the look, see `prepare_energy`.
    steps, rate : as in `GradientSettings`.
    """
    units = _units(energy.scene.look, energy.scene.window)
    unitless = torch.zeros_like(units, requires_grad=True)
    optimizer = torch.optim.Adam([unitless], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    descent = _Descent()
    for _ in range(steps):
        terms = energy.terms(units * unitless)
        descent.meet(unitless, terms)
        (unitless.grad,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), unitless)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        descent.meet(unitless, energy.terms(units * unitless))
    step = (units * descent.best).double().numpy()
    look = energy.scene.look.moved(step)
    return GradientFit(look, {name: tuple(values) for name, values in descent.trace.items()})


@dataclass
class _Descent:
    """What a descent has met: the terms at each place, and the place of the least energy."""

    trace: dict[str, list[float]] = field(default_factory=dict)
    least: float = float("inf")
    best: Tensor = field(default_factory=lambda: torch.zeros(0))

    def meet(self, place: Float[Tensor, " p"], terms: Mapping[str, Tensor]) -> None:
        values = {name: float(value.detach()) for name, value in terms.items()}
        for name, value in values.items():
            self.trace.setdefault(name, []).append(value)
        if sum(values.values()) < self.least:
            self.least, self.best = sum(values.values()), place.detach().clone()


def prepare_energy(
    look: Look,
    window: Window,
    model: MorphableModel,
    compared: Bool[np.ndarray, " f"],
    landmarks: LandmarkTarget,
    settings: GradientSettings,
    rasterizer: Rasterizer,
    network: FaceNetwork | None = None,
) -> GradientEnergy:
    """Return the paper's energy of steps from a look.

    Parameters
    ----------
    look : where steps start; its light must be known.
    window : the part of the photo that is compared.
    model : has albedo.
    compared : the triangles whose colour is compared, `DenseModel.attention`.
    landmarks : what the landmark term compares.
    settings : weights, attention.
    rasterizer : any backend.
    network : for the perceptual term; needed exactly when it has a weight.

    Raises
    ------
    BadInputError
        When the perceptual term has a weight and the model embeds no iBUG-68 points to align faces by.
    ValueError
        When it has a weight and there is no network, the look's light is zero, or the model has no albedo.
    """
    if not look.light[0].any():
        raise ValueError("look: its light must be known, got zeros; `look_light` finds it")
    if settings.weights.perceptual_weight > 0 and network is None:
        raise ValueError("network: the perceptual term has a weight and needs a face network")
    face_model = FaceModel.from_morphable(model)
    scene = Scene(look, window, face_model, Renderer(face_model.faces, rasterizer))
    photo = linear_to_srgb(tensor(window.image))[None]
    faces = torch.from_numpy(compared)
    with torch.no_grad():
        seen = seen_faces(scene.draw(Moved.by(look, torch.zeros_like(_units(look, window)))), faces)
    usable = torch.from_numpy(window.usable)[None]
    weights = photo_attention(settings.attention, photo, seen & usable) * usable
    recognition = None
    if network is not None and settings.recognizes:
        recognition = Recognition.of(network, photo, _points68(look, window, model))
    skin = torch.from_numpy(bare_skin(model))
    return GradientEnergy(scene, photo, landmarks, settings.weights, faces, weights, skin, recognition)


def _points68(look: Look, window: Window, model: MorphableModel) -> Float[Tensor, "1 68 2"]:
    """Return where a look's own 68 points lie in the window."""
    embedding = model.landmarks.get("ibug68")
    if embedding is None or len(embedding.names) < 68:
        raise BadInputError(
            "the model does not embed all ibug68 landmarks, by which the perceptual term aligns faces: build "
            "it with --template-landmarks, or leave the perceptual term out"
        )
    vertices = model.instance(look.face.identity, look.face.expression if model.expression else None)
    marks = embedding.landmarks(vertices.astype(np.float64), model.faces)
    order = np.argsort([int(name) for name in marks.names])
    pixels = look.face.pose.project(marks.points[order])
    return tensor(window.zoom * (pixels - [window.left, window.top]))[None]


def _units(look: Look, window: Window) -> Float[Tensor, " p"]:
    """Return what a step of one means in each variable of `Look.moved`."""
    pose = [_ROTATION] * 3 + [_SHIFT / window.zoom] * 2 + [_SCALE, _FOCAL]
    coefficients = len(look.face.identity) + len(look.face.expression) + len(look.albedo)
    light = _LIGHT * float(np.abs(look.light[0]).mean())
    return torch.tensor(pose + [1.0] * coefficients + [light] * look.light.size)
