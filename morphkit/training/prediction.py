"""What a network says of photos, in the photos' own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.errors import MorphkitError
from morphkit.export.camera import PhotoCamera
from morphkit.rendering import PerspectiveCamera
from morphkit.rendering.camera_conventions import upright
from morphkit.rendering.spherical_harmonics import rotate_light
from morphkit.training.networks.outputs import Shading


@dataclass(frozen=True, eq=False)
class Prediction:
    """A photo's face as a network sees it.

    Attributes
    ----------
    photo : (h, w, 3) sRGB, upright.
    source : its file, or None.
    identity, expression, albedo : all of the model's coefficients, standard deviations; zero beyond those
        that the network gives.
    identity_deviations : how far each is off on people whom training did not see, standard deviations; those
        beyond the network's are 1, the model's own. None where that was not measured.
    light : (9, 3) radiance, spherical harmonics in the photo camera's axes.
    shading : whether light multiplies linear colours, or, as the paper has it, sRGB codes ("display").
    camera : of the photo.
    landmarks : (68, 2) iBUG points in the photo, given or found, pixels; NaN where unknown.
    crop : from the photo's pixels to those of the crop that the network saw.
    notes : what the reader should know, one sentence each.
    seconds : by stage; of photos that went through the network together, its time is shared out.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    source: Path | None
    identity: Float[np.ndarray, " i"]
    identity_deviations: Float[np.ndarray, " i"] | None
    expression: Float[np.ndarray, " e"]
    albedo: Float[np.ndarray, " a"]
    light: Float[np.ndarray, "9 3"]
    shading: Shading
    camera: PhotoCamera
    landmarks: Float[np.ndarray, "68 2"]
    crop: Float[np.ndarray, "2 3"]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class PersonPrediction:
    """One person as a network sees them in several photos.

    Attributes
    ----------
    photos : a prediction for each usable photo, in their order; `identity` is the same in all.
    indices : their places among the given ones.
    identity : shared, standard deviations.
    weights : (p,) how far each photo counted: its share of the confidence, the mean over all coefficients;
        they add up to 1.
    failures : (place, why) of the photos that could not be used.
    """

    photos: tuple[Prediction, ...]
    indices: tuple[int, ...]
    identity: Float[np.ndarray, " i"]
    weights: Float[np.ndarray, " p"]
    failures: tuple[tuple[int, MorphkitError], ...]


def photo_view(
    camera: PerspectiveCamera,
    light: Float[torch.Tensor, "1 9 3"],
    crop: Float[np.ndarray, "2 3"],
    width: int,
    height: int,
) -> tuple[PhotoCamera, Float[np.ndarray, "9 3"]]:
    """Return a crop's camera and light as those of its photo.

    A crop that was turned upright turns the photo's camera: K stays upper triangular, the turn goes into R, t
    and the axes of the light.

    Parameters
    ----------
    camera : of the crop, one.
    light : in its axes.
    crop : from the photo's pixels to the crop's.
    width, height : of the photo, pixels.
    """
    to_crop = torch.from_numpy(np.vstack([crop, [0.0, 0.0, 1.0]]))
    K = torch.linalg.solve(to_crop, camera.K.double())
    whole = PerspectiveCamera(K, camera.R.double(), camera.t.double(), width, height)
    turned = upright(whole)
    own_light = rotate_light(light.double(), turned.R @ whole.R.transpose(1, 2))
    K_photo, R, t = (values[0].numpy() for values in (turned.K, turned.R, turned.t))
    return PhotoCamera(K_photo, R, t, width, height), own_light[0].numpy()
