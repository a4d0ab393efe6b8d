"""The gradient fit as a stage of a photo's fit, after the photometric one."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.errors import BadInputError
from morphkit.export.comparison import compared_faces
from morphkit.fitting.gradient_energy import LandmarkTarget
from morphkit.fitting.gradient_fit import GradientFit, prepare_energy, refine
from morphkit.fitting.gradient_settings import GradientSettings
from morphkit.fitting.landmark import Observations
from morphkit.fitting.look import Look
from morphkit.fitting.settings import FitSettings
from morphkit.fitting.window import cut_window
from morphkit.losses.face_network import FaceNetwork, load_arcface, load_face_network
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Rasterizer


def polish_look(
    photo: UInt8[np.ndarray, "h w 3"],
    look: Look,
    model: MorphableModel,
    observations: Observations,
    points68: Float[np.ndarray, "68 2"],
    settings: GradientSettings,
    rasterizer: Rasterizer,
) -> GradientFit:
    """Refine a photometric fit's look by the gradient of the paper's energy, see `refine`.

    Parameters
    ----------
    photo : sRGB, upright.
    look : of `fit_colors`.
    model : has albedo.
    observations : the landmark fit's for this look's face.
    points68 : where the 68 were seen or given, pixels; NaN where unknown. Only for ``landmarks="paper"``.
    settings : weights, steps, attention.
    rasterizer : any backend.

    Raises
    ------
    BadInputError
        When the perceptual term has a weight and the model embeds no iBUG-68 points to align faces by.
    MissingDependencyError
        When it has a weight and no face network is installed or given.
    """
    pose, compared = look.face.pose, compared_faces(model)
    vertices = model.instance(look.face.identity, look.face.expression if model.expression else None)
    window = cut_window(photo, pose.project(vertices[np.unique(model.faces[compared])]), settings.size)
    if settings.landmarks == "paper":
        target = LandmarkTarget.paper(model, points68, pose.scale)
    else:
        target = LandmarkTarget.observed(observations, pose.scale)
    network = face_network(settings)
    energy = prepare_energy(look, window, model, compared, target, settings, rasterizer, network)
    return refine(energy, steps=settings.steps, rate=settings.rate)


def ensure_can_polish(settings: FitSettings, model: MorphableModel) -> None:
    """Refuse a polish that cannot be, before time is spent on what comes first.

    Raises
    ------
    ValueError
        When the settings leave out the photometric fit, at whose end the polish begins.
    BadInputError
        When the model lacks the landmarks that the energy compares, or a file of weights cannot be used.
    MissingDependencyError
        When the perceptual term has a weight and no face network is installed or given.
    """
    gradient = settings.gradient
    if gradient is None or model.albedo is None:
        return
    if settings.photometric is None:
        raise ValueError(
            "settings: gradient refines what photometric has found; expected settings for it, got None"
        )
    known = len(model.landmarks["ibug68"].names) if "ibug68" in model.landmarks else 0
    if known == 0 and gradient.landmarks == "paper":
        raise BadInputError(
            "the model embeds no ibug68 landmarks, which this preset of the polish compares; "
            'choose the preset "morphkit", or another model'
        )
    if known < 68 and gradient.recognizes:
        raise BadInputError(
            f"the model embeds {known} of the 68 ibug68 landmarks, by all of which the perceptual term "
            "aligns faces; leave that term out, or choose another model"
        )
    face_network(gradient)


def face_network(settings: GradientSettings) -> FaceNetwork | None:
    """Return the network of the perceptual term, read once a file; None where the term has no weight.

    Raises
    ------
    MissingDependencyError
        When none is given, and the extra `perceptual` is not installed.
    BadInputError
        When its file cannot be used.
    """
    if not settings.recognizes:
        return None
    if settings.network is None:
        return _network(None, None)
    return _network(os.fspath(settings.network), _state(settings.network))


@lru_cache(maxsize=1)
def _network(path: str | None, state: tuple[int, int] | None) -> FaceNetwork:  # noqa: ARG001 - part of the key
    return load_face_network() if path is None else load_arcface(path)


def _state(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return what changes when a file is written anew; None for one that is not there, as its reader says."""
    with suppress(OSError):
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size
    return None
