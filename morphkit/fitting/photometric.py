"""The photometric fit: Gauss–Newton on every coefficient, the camera and the light, through the renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.fitting.colors import PhotometricEnergy, estimate_trust, look_light
from morphkit.fitting.dense import DenseModel
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkEnergy, Observations
from morphkit.fitting.look import Look, Picture, draw
from morphkit.fitting.settings import FitSettings, PhotometricSettings
from morphkit.fitting.window import Window, cut_window
from morphkit.rendering.rasterizer import Rasterizer

_TRIES = 5  # ever more damped steps, before a level ends


@dataclass(frozen=True, eq=False)
class PhotometricFit:
    """Result of `fit_colors`.

    Attributes
    ----------
    look : face, albedo and light.
    energies : after each accepted step, over all levels. Each step believes the colours anew as far as their
        residuals allow, so that energies of different steps do not compare.
    converged : whether the last level ended by its tolerance.
    """

    look: Look
    energies: tuple[float, ...]
    converged: bool


def fit_colors(
    photo: UInt8[np.ndarray, "h w 3"],
    model: DenseModel,
    face: Face,
    observe: Callable[[Face], Observations],
    focal_prior: FocalPrior,
    settings: FitSettings,
    photometric: PhotometricSettings,
    rasterizer: Rasterizer,
) -> PhotometricFit:
    """Refine a landmark fit by the photo's colours.

    Minimises the landmark fit's energy, plus a robust comparison of the rendered with the photographed colour
    of every pixel of the face, plus priors on albedo and light, by damped Gauss–Newton from coarse to fine.
    The derivative of a rendered pixel is its texture's motion (half by the rendered picture's slope, half by
    the photo's; Malis 2004, efficient second-order minimisation), plus the change of its shading, albedo and
    light.

    Parameters
    ----------
    photo : sRGB, upright.
    model : dense arrays.
    face : where to start, from `fit_landmarks`.
    observe : the landmark observations for a face; called once a level.
    focal_prior : what is known of the focal length.
    settings, photometric : weights, sizes and tolerances.
    rasterizer : the backend that draws.
    """
    look = Look(face, np.zeros(model.albedo.shape[2]), np.zeros((9, 3)))
    energies: list[float] = []
    for size in photometric.sizes:
        window = cut_window(photo, face_pixels(model, look.face), size)
        seen = observe(look.face)
        seen = replace(seen, whitening=seen.whitening * photometric.landmark_share**0.5)
        sparse = LandmarkEnergy(seen, focal_prior, settings.landmark)
        level = _Level(model, window, sparse, photometric, rasterizer)
        look, trace, converged = level.descend(look)
        energies += trace
    return PhotometricFit(look, tuple(energies), converged)


def face_pixels(model: DenseModel, face: Face) -> Float[np.ndarray, "n 2"]:
    """Return where a face's compared part lies in its photo."""
    used = np.unique(model.faces[model.attention])
    return face.pose.project(model.vertices(face)[used].astype(np.float64))


@dataclass(frozen=True, eq=False)
class _Level:
    """The descent at one size of the window."""

    model: DenseModel
    window: Window
    sparse: LandmarkEnergy
    settings: PhotometricSettings
    rasterizer: Rasterizer

    def draw(self, look: Look) -> Picture:
        with torch.no_grad():
            return draw(look, self.model, self.window, self.rasterizer)

    def descend(self, look: Look) -> tuple[Look, list[float], bool]:
        """Run damped Gauss–Newton until a step gains little; each judges the colours anew."""
        picture = self.draw(look)
        if not look.light.any():
            look = look_light(look, picture, self.window, self.settings)
            picture = self.draw(look)
        damping, trace = 1e-3, []
        for _ in range(self.settings.iterations):
            trust = estimate_trust(picture, self.window, self.settings)
            problem = PhotometricEnergy(self.model, self.window, self.sparse, self.settings, trust)
            hessian, gradient = problem.normal_equations(look, picture)
            for _ in range(_TRIES):
                step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
                candidate = look.moved(step)
                drawn = self.draw(candidate)
                common = picture.compared & drawn.compared
                energy = problem.energy(look, picture, common)
                lower = problem.energy(candidate, drawn, common)
                if lower < energy:
                    break
                damping *= 10.0
            else:
                return look, trace, True
            look, picture = candidate, drawn
            damping = max(damping / 5.0, 1e-6)
            trace.append(lower)
            if energy - lower <= self.settings.tolerance * energy:
                return look, trace, True
        return look, trace, False
