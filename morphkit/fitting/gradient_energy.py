"""The paper's whole energy of a look in a photo (Deng et al. 2019, sections 4.1 and 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from morphkit.fitting.gradient_scene import Moved, Scene
from morphkit.fitting.gradient_settings import Attention
from morphkit.fitting.landmark import Observations
from morphkit.fitting.look import tensor
from morphkit.fitting.points import PointModel, landmark_points
from morphkit.losses import (
    EnergyWeights,
    SkinColorModel,
    attention,
    coefficient_loss,
    ibug68_weights,
    landmark_loss,
    monochrome_light_loss,
    own_color_attention,
    perceptual_loss,
    photometric_loss,
    texture_flattening_loss,
)
from morphkit.losses.colors import linear_to_srgb
from morphkit.losses.face_network import FaceNetwork
from morphkit.morphable import MorphableModel
from morphkit.rendering import ImageTransform, Rendering, sample_image


@dataclass(frozen=True, eq=False)
class LandmarkTarget:
    """Points of the model and where the photo shows them.

    Attributes
    ----------
    mean, basis : the model's n points, (n, 3) and (n, 3, i + e), millimetres.
    pixels : (n, 2) where they were seen in the photo.
    whitening : (n, 2, 2), times a pixel error gives millimetres on the face times the square root of the
        point's weight.
    """

    mean: Float[Tensor, "n 3"]
    basis: Float[Tensor, "n 3 k"]
    pixels: Float[Tensor, "n 2"]
    whitening: Float[Tensor, "n 2 2"]

    @classmethod
    def paper(
        cls, model: MorphableModel, points68: Float[np.ndarray, "68 2"], scale: float
    ) -> LandmarkTarget:
        """Return the paper's: 68 points fixed to the skin, of which some weigh 20 (eq. 3).

        Parameters
        ----------
        model : embeds the iBUG-68 landmarks, or some of them.
        points68 : pixels of the photo; NaN where unknown.
        scale : pixels per millimetre on the face.

        Raises
        ------
        ValueError
            When the model embeds none of them.
        """
        if "ibug68" not in model.landmarks:
            raise ValueError(f"model: must embed ibug68 landmarks, embeds {sorted(model.landmarks)}")
        embedding = model.landmarks["ibug68"]
        numbers = np.array([int(name) for name in embedding.names])
        known = np.isfinite(points68[numbers]).all(axis=1)
        roots = ibug68_weights().sqrt().numpy()[numbers[known]] / scale
        points = landmark_points(model, embedding).take(np.flatnonzero(known))
        return cls._of(points, points68[numbers[known]], roots[:, None, None] * np.eye(2))

    @classmethod
    def observed(cls, observations: Observations, scale: float) -> LandmarkTarget:
        """Return the landmark fit's, slid along the outline as they are; their weights have a mean of one.

        Parameters
        ----------
        observations : of the 68 or the 478 points.
        scale : pixels per millimetre on the face.
        """
        square = 0.5 * (observations.whitening**2).sum(axis=(1, 2)).mean()
        whitening = observations.whitening / (scale * np.sqrt(square))
        return cls._of(observations.points, observations.pixels, whitening)

    @classmethod
    def _of(
        cls, points: PointModel, pixels: Float[np.ndarray, "n 2"], whitening: Float[np.ndarray, "n 2 2"]
    ) -> LandmarkTarget:
        basis = np.concatenate([points.identity, points.expression], axis=2)
        return cls(tensor(points.mean), tensor(basis), tensor(pixels), tensor(whitening))

    def loss(self, moved: Moved) -> Float[Tensor, ""]:
        """Return the mean weighted squared distance, mm²."""
        points = self.mean + self.basis @ torch.cat([moved.identity, moved.expression])
        errors = torch.einsum("nij,nj->ni", self.whitening, moved.project(points) - self.pixels)
        return landmark_loss(errors[None], torch.zeros_like(errors)[None], torch.ones(len(errors)))


@dataclass(frozen=True, eq=False)
class Recognition:
    """A face network, where it looks in the window, and what it sees there in the photo.

    Attributes
    ----------
    network : tells people apart.
    chip : from the window's pixels to the network's.
    photo : the embedding of the photo.
    """

    network: FaceNetwork
    chip: ImageTransform
    photo: Float[Tensor, "1 d"]

    @classmethod
    def of(
        cls, network: FaceNetwork, photo: Float[Tensor, "1 s s 3"], points68: Float[Tensor, "1 68 2"]
    ) -> Recognition:
        """Look at a photo's window where the 68 points lie in it."""
        sizes = (photo.shape[2], photo.shape[1]), (network.template.size, network.template.size)
        chip = ImageTransform(network.template.affine(points68), *sizes)
        with torch.no_grad():
            seen = network(sample_image(photo, chip, padding="border"))
        return cls(network, chip, seen)

    def loss(self, srgb: Float[Tensor, "1 s s 3"]) -> Float[Tensor, ""]:
        """Return 1 − cosine between a drawn window and the photo."""
        return perceptual_loss(self.network(sample_image(srgb, self.chip, padding="border")), self.photo)


@dataclass(frozen=True, eq=False)
class GradientEnergy:
    """The energy of a step from a look, by its terms.

    Attributes
    ----------
    scene : the look, its window and how it is drawn.
    photo : the window's sRGB colours.
    landmarks : what the landmark term compares.
    weights : of the terms.
    compared : (f,) the triangles whose colour is compared.
    attention : how much each pixel counts where such a triangle is seen.
    bare_skin : (v,) the vertices whose albedo is to be even.
    recognition : for the perceptual term; None leaves it out.
    """

    scene: Scene
    photo: Float[Tensor, "1 s s 3"]
    landmarks: LandmarkTarget
    weights: EnergyWeights
    compared: Bool[Tensor, " f"]
    attention: Float[Tensor, "1 s s"]
    bare_skin: Bool[Tensor, " v"]
    recognition: Recognition | None

    def terms(self, step: Float[Tensor, " p"]) -> dict[str, Float[Tensor, ""]]:
        """Return the weighted terms after a step in (pose, identity, expression, albedo, light).

        Their sum is the energy. Those of weight zero are left out.
        """
        moved = Moved.by(self.scene.look, step)
        drawn = self.scene.draw(moved)
        srgb = linear_to_srgb(drawn.image)
        w = self.weights
        terms = {"coefficient": self._coefficient_loss(moved)}
        if w.photometric_weight > 0:
            terms["photometric"] = w.photometric_weight * self._photometric_loss(drawn, srgb)
        if w.landmark_weight > 0:
            terms["landmark"] = w.landmark_weight * self.landmarks.loss(moved)
        if w.perceptual_weight > 0 and self.recognition is not None:
            terms["perceptual"] = w.perceptual_weight * self.recognition.loss(srgb)
        if w.flattening_weight > 0:
            terms["flattening"] = w.flattening_weight * self._flattening_loss(moved)
        if w.monochrome_weight > 0:
            terms["monochrome"] = w.monochrome_weight * monochrome_light_loss(moved.light[None])
        return terms

    def _photometric_loss(self, drawn: Rendering, srgb: Float[Tensor, "1 s s 3"]) -> Float[Tensor, ""]:
        return photometric_loss(srgb, self.photo, self.attention * seen_faces(drawn, self.compared))

    def _coefficient_loss(self, moved: Moved) -> Float[Tensor, ""]:
        w = self.weights
        groups = moved.identity[None], moved.expression[None], moved.albedo[None]
        return coefficient_loss(*groups, w.identity_weight, w.expression_weight, w.albedo_weight)

    def _flattening_loss(self, moved: Moved) -> Float[Tensor, ""]:
        return texture_flattening_loss(linear_to_srgb(self.scene.albedo(moved)), self.bare_skin)


def seen_faces(drawn: Rendering, faces: Bool[Tensor, " f"]) -> Bool[Tensor, "batch h w"]:
    """Return the pixels that see one of some triangles."""
    seen: Tensor = (drawn.face_ids >= 0) & faces[drawn.face_ids.clamp_min(0)]
    return seen


def photo_attention(
    kind: Attention, srgb: Float[Tensor, "1 s s 3"], face: Bool[Tensor, "1 s s"]
) -> Float[Tensor, "1 s s"]:
    """Return how much each pixel of a photo counts.

    Parameters
    ----------
    kind : "own" goes by the face's own colours; "skin" by the paper's model of skin, which is biased against
        dark skin, and its threshold; "skin-probability" by that model alone; "all" takes all alike.
    srgb : the photo, 0..1.
    face : where the face is drawn.
    """
    if kind == "own":
        return own_color_attention(srgb, face)
    if kind == "all":
        return torch.ones_like(srgb[..., 0])
    probability = SkinColorModel()(srgb)
    return attention(probability) if kind == "skin" else probability
