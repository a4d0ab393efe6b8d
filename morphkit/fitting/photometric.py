"""The photometric fit: Gauss–Newton on every coefficient, the camera and the light, through the renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.fitting.colors import PhotometricEnergy, look_light
from morphkit.fitting.dense import DenseModel
from morphkit.fitting.initial import InitialFace
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkEnergy, Observations
from morphkit.fitting.look import Look, Picture, draw
from morphkit.fitting.settings import FitSettings, PhotometricSettings
from morphkit.fitting.trust import estimate_trust, judge_pixels
from morphkit.fitting.window import Window, cut_window
from morphkit.rendering.rasterizer import Rasterizer

_LEAST_COMPARED = 50  # pixels of a level that tell a face's colours
_DAMPED = 1e2  # beyond which no smaller step is tried, and a level ends


@dataclass(frozen=True, eq=False)
class PhotometricFit:
    """Result of `fit_colors`.

    Attributes
    ----------
    look : face, albedo and light.
    energies : after each accepted step, over all levels. Each step believes the colours anew as far as their
        residuals allow, so that energies of different steps do not compare.
    converged : whether the last level ended by its tolerance.
    precision : (p, p) the curvature JᵀWJ that the last step used, over (pose, identity, expression, albedo,
        light), priors included.
    attention : (h, w) in the photo, 0..1: less where it shows something before the face; 1 where nothing was
        compared.
    """

    look: Look
    energies: tuple[float, ...]
    converged: bool
    precision: Float[np.ndarray, "p p"]
    attention: Float[np.ndarray, "h w"]


def fit_colors(
    photo: UInt8[np.ndarray, "h w 3"],
    model: DenseModel,
    face: Face,
    observe: Callable[[Face], Observations],
    focal_prior: FocalPrior,
    settings: FitSettings,
    photometric: PhotometricSettings,
    rasterizer: Rasterizer,
    initial: InitialFace | None = None,
) -> PhotometricFit | None:
    """Refine a landmark fit by the photo's colours; None where it shows next to nothing usable.

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
    initial : with all of the model's coefficients, see `LandmarkEnergy`.
    """
    look = Look(face, np.zeros(model.albedo.shape[2]), np.zeros((9, 3)))
    energies: list[float] = []
    for size in photometric.sizes:
        window = cut_window(photo, face_pixels(model, look.face), size)
        seen = observe(look.face)
        seen = replace(seen, whitening=seen.whitening * photometric.landmark_share**0.5)
        sparse = LandmarkEnergy(seen, focal_prior, settings.landmark, initial=initial)
        colors = Colors(model, window, photometric, rasterizer)
        picture = colors.draw(look)
        if len(picture.row) < _LEAST_COMPARED:
            return None
        end = _descend(colors, sparse, *colors.lit(look, picture))
        look, energies = end.look, energies + end.energies
    shown = judge_pixels(end.picture, window, photometric.outlier).shown
    attention = window.spread(shown, photo.shape[0], photo.shape[1])
    return PhotometricFit(look, tuple(energies), end.converged, end.precision, attention)


def face_pixels(model: DenseModel, face: Face) -> Float[np.ndarray, "n 2"]:
    """Return where a face's compared part lies in its photo."""
    used = np.unique(model.faces[model.attention])
    return face.pose.project(model.vertices(face)[used].astype(np.float64))


@dataclass(frozen=True, eq=False)
class Colors:
    """A photo's window, and how it is drawn and believed."""

    model: DenseModel
    window: Window
    settings: PhotometricSettings
    rasterizer: Rasterizer

    def draw(self, look: Look) -> Picture:
        """Return the drawn look."""
        with torch.no_grad():
            return draw(look, self.model, self.window, self.rasterizer)

    def lit(self, look: Look, picture: Picture) -> tuple[Look, Picture]:
        """Return a drawn look and its picture, under the light that explains the photo if it has none yet."""
        if look.light.any():
            return look, picture
        look = look_light(look, picture, self.window, self.settings)
        return look, self.draw(look)

    def energy(self, sparse: LandmarkEnergy, look: Look, picture: Picture) -> PhotometricEnergy:
        """Return the energy, trust estimated from a drawn look."""
        trust = estimate_trust(look, picture, self.model, self.window, self.settings)
        return PhotometricEnergy(self.model, self.window, sparse, self.settings, trust)


@dataclass(frozen=True, eq=False)
class _Descent:
    """Where a level's descent ended: its look, drawn, and what `PhotometricFit` tells of it."""

    look: Look
    picture: Picture
    energies: list[float]
    converged: bool
    precision: Float[np.ndarray, "p p"]


def _descend(colors: Colors, sparse: LandmarkEnergy, look: Look, picture: Picture) -> _Descent:
    """Run damped Gauss–Newton until a step gains little; each judges the colours anew."""
    trace: list[float] = []
    damping, hessian = 1e-3, np.zeros((0, 0))
    for _ in range(colors.settings.iterations):
        problem = colors.energy(sparse, look, picture)
        hessian, gradient = problem.normal_equations(look, picture)
        while damping < _DAMPED:
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            candidate = look.moved(step)
            drawn = colors.draw(candidate)
            common = picture.compared & drawn.compared
            energy = problem.energy(look, picture, common)
            lower = problem.energy(candidate, drawn, common)
            if lower < energy:
                break
            damping *= 10.0
        else:
            return _Descent(look, picture, trace, True, hessian)
        look, picture = candidate, drawn
        damping = max(damping / 10.0, 1e-5)
        trace.append(lower)
        if energy - lower <= colors.settings.tolerance * energy:
            return _Descent(look, picture, trace, True, hessian)
    return _Descent(look, picture, trace, False, hessian)
