"""Rendered faces by their number: each a function of the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.morphable import MorphableModel
from morphkit.rendering import ImageTransform, sample_image
from morphkit.rendering.rasterizer import Backend
from morphkit.training.data.alignment import FaceFrame, align, cut
from morphkit.training.data.faces import Faces, Truth
from morphkit.training.synthesis.backgrounds import Backgrounds
from morphkit.training.synthesis.complexion import tone
from morphkit.training.synthesis.detections import detected, noisy_landmarks
from morphkit.training.synthesis.draw import Shown, Sitter, draw_picture
from morphkit.training.synthesis.head import Head
from morphkit.training.synthesis.lights import Light, draw_light
from morphkit.training.synthesis.people import Drawn, Population
from morphkit.training.synthesis.settings import SynthesisSettings
from morphkit.training.synthesis.shots import Shot, draw_shot
from morphkit.training.synthesis.skin import brightness
from morphkit.training.synthesis.views import View, crop_view, photo_view

BLOCK = 16  # faces made together, always whole: sums must not depend on how many are asked for
_PERSON, _EXPRESSION, _CAMERA, _LIGHT, _LANDMARKS, _LOOKS = range(6)  # streams of random numbers
_LOOK_STREAMS = 5
_EXPOSURE = 0.3  # natural logarithm, standard deviation
_AROUND = 0.3  # of the crop, that the landmark network sees beyond it


@dataclass(frozen=True, eq=False)
class Photo:
    """A whole photo with what was drawn.

    Attributes
    ----------
    image : (h, w, 3) sRGB.
    landmarks : (68, 2) true, photo pixels.
    shot : its camera.
    light : in the camera's axes.
    points : (68, 3) the landmarks in the model's frame, millimetres.
    neutral, vertices : (v, 3) the person at rest, and as photographed; model's frame, millimetres.
    """

    image: UInt8[np.ndarray, "h w 3"]
    landmarks: Float[np.ndarray, "68 2"]
    shot: Shot
    light: Light
    points: Float[np.ndarray, "68 3"]
    neutral: Float[np.ndarray, "v 3"]
    vertices: Float[np.ndarray, "v 3"]


@dataclass(frozen=True, eq=False)
class Studio:
    """A model before a camera.

    Attributes
    ----------
    head : the model, drawn.
    population : whom it can show.
    frame : by which crops are aligned.
    settings : how photos vary.
    seed : of all of it.
    people : how many persons there are; None: each photo shows another.
    backgrounds : where they come from.
    with_photos : whether whole photos are drawn, and the crops cut from them.
    """

    head: Head
    population: Population
    frame: FaceFrame
    settings: SynthesisSettings
    seed: int
    people: int | None
    backgrounds: Backgrounds
    with_photos: bool

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        settings: SynthesisSettings,
        *,
        seed: int = 0,
        people: int | None = None,
        backgrounds: Backgrounds | None = None,
        with_photos: bool = False,
        rasterizer: Backend = "numba",
    ) -> Studio:
        """Return a studio for a model."""
        head = Head.of(model, rasterizer)
        places = backgrounds or Backgrounds()
        return cls(
            head, Population.of(model), FaceFrame.of(model), settings, seed, people, places, with_photos
        )

    def block(self, start: int, count: int) -> tuple[Faces, tuple[Photo, ...]]:
        """Return `count` faces from `start` on, a multiple of `BLOCK`, and their photos if they are drawn."""
        if start % BLOCK or not 0 < count <= BLOCK:
            raise ValueError(
                f"start must be a multiple of {BLOCK} and count 1..{BLOCK}, got {start}, {count}"
            )
        numbers = range(start, start + BLOCK)
        drawn = [self._draw(number) for number in numbers]
        groups = [[getattr(one, name) for one in drawn] for name in ("identity", "expression", "albedo")]
        vertices, colors, points = self.head.instances(*(np.array(group) for group in groups))
        made = [self._face(numbers[i], drawn[i], vertices[i], colors[i], points[i]) for i in range(count)]
        photos = tuple(photo for _, photo in made if photo is not None)
        return Faces.concatenate([face for face, _ in made]), photos

    def _draw(self, number: int) -> Drawn:
        """Return whom a photo shows, and with which expression."""
        person = self.population.draw_person(self._rng(self._person(number), _PERSON), self.settings)
        rng, strength = self._rng(number, _EXPRESSION), self.settings.expressions
        return Drawn(person.identity, self.population.draw_expression(rng, strength), person.albedo)

    def _face(
        self,
        number: int,
        drawn: Drawn,
        vertices: torch.Tensor,
        colors: torch.Tensor,
        points: Float[np.ndarray, "68 3"],
    ) -> tuple[Faces, Photo | None]:
        shot = draw_shot(self._rng(number, _CAMERA), self.frame.origin, self.settings)
        light = self._exposed(number, colors, shot)
        looks = np.random.SeedSequence([self.seed, number, _LOOKS]).spawn(_LOOK_STREAMS)
        sitter = Sitter(vertices, colors, points, shot.pose, tuple(looks))
        size = self.settings.size
        true = _pixels(points, shot)
        seen = self._noisy(number, true, shot)
        if not self.with_photos and self.settings.landmarks == "detected":
            return self._detected(number, drawn, sitter, shot, light, true, seen), None
        crop = align(seen, self.frame, size)
        if not self.with_photos:
            view = crop_view(shot, light, crop, size)
            shown = draw_picture(self.head, sitter, view, self.settings, self.backgrounds)
            return self._row(number, drawn, sitter, shot, view, seen, crop, shown), None
        whole = draw_picture(
            self.head, sitter, photo_view(shot, light, crop, size), self.settings, self.backgrounds
        )
        if self.settings.landmarks == "detected":
            seen = detected(whole.image, true, seen)
            crop = align(seen, self.frame, size)
        shown = Shown(cut(whole.image, crop, size), _cut_attention(whole.attention, crop, size))
        face = self._row(number, drawn, sitter, shot, crop_view(shot, light, crop, size), seen, crop, shown)
        neutral = self.head.neutral(drawn.identity)
        return face, Photo(whole.image, true, shot, light, points, neutral, vertices.cpu().numpy())

    def _detected(
        self,
        number: int,
        drawn: Drawn,
        sitter: Sitter,
        shot: Shot,
        light: Light,
        true: Float[np.ndarray, "68 2"],
        noisy: Float[np.ndarray, "68 2"],
    ) -> Faces:
        """Return a face whose crop follows from what the landmark network sees in a wider one.

        Parameters
        ----------
        true, noisy : landmarks in the photo; the noisy ones stand in where the network sees no face.
        """
        size = self.settings.size
        margin, crop = round(_AROUND * size), align(noisy, self.frame, size)
        view = crop_view(shot, light, crop, size, margin)
        shown = draw_picture(self.head, sitter, view, self.settings, self.backgrounds)
        linear, shift = crop[:, :2], crop[:, 2] + margin
        found = detected(shown.image, true @ linear.T + shift, noisy @ linear.T + shift)
        nearer = align(found, self.frame, size)
        cut_out = Shown(cut(shown.image, nearer, size), _cut_attention(shown.attention, nearer, size))
        whole = np.column_stack([nearer[:, :2] @ linear, nearer[:, :2] @ shift + nearer[:, 2]])
        seen = (found - shift) @ np.linalg.inv(linear).T
        return self._row(
            number, drawn, sitter, shot, crop_view(shot, light, whole, size), seen, whole, cut_out
        )

    def _row(
        self,
        number: int,
        drawn: Drawn,
        sitter: Sitter,
        shot: Shot,
        view: View,
        seen: Float[np.ndarray, "68 2"],
        crop: Float[np.ndarray, "2 3"],
        shown: Shown,
    ) -> Faces:
        """Return one face as a table of one row."""
        truth = Truth(
            identity=drawn.identity[None].astype(np.float32),
            expression=drawn.expression[None].astype(np.float32),
            albedo=drawn.albedo[None].astype(np.float32),
            light=view.light.coefficients[None].astype(np.float32),
            K=view.K[None],
            R=view.R[None],
            t=view.t[None],
        )
        color = sitter.albedo[self.head.measured].mean(dim=0).double().cpu().numpy()
        return Faces(
            images=shown.image[None],
            attention=shown.attention[None],
            landmarks=(seen @ crop[:, :2].T + crop[:, 2])[None].astype(np.float32),
            crops=crop[None],
            sizes=np.array([[shot.width, shot.height]], np.int32),
            sources=(photo_name(number),),
            numbers=np.zeros(1, np.int32),
            people=np.array([self._person(number)]),
            poses=shot.pose[None].astype(np.float32),
            tones=tone(color[None]).astype(np.float32),
            truth=truth,
        )

    def _exposed(self, number: int, colors: torch.Tensor, shot: Shot) -> Light:
        """Return the light of a photo, as bright as a camera would make it."""
        rng = self._rng(number, _LIGHT)
        light = draw_light(rng, self.settings.hard_light)
        albedo = colors[self.head.measured].double().cpu().numpy()
        exposure = float(np.exp(np.clip(rng.normal(0, _EXPOSURE), -0.8, 0.5)))
        return light.scaled(brightness(albedo, self.head.measured_normals @ shot.R.T, light, exposure))

    def _noisy(self, number: int, true: Float[np.ndarray, "68 2"], shot: Shot) -> Float[np.ndarray, "68 2"]:
        if self.settings.landmarks == "true":
            return true
        scale = float(shot.K[0, 0]) / shot.distance
        return noisy_landmarks(self._rng(number, _LANDMARKS), true, scale, self.settings.landmark_noise)

    def _person(self, number: int) -> int:
        return number if self.people is None else number % self.people

    def _rng(self, number: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, stream])


def photo_name(number: int) -> str:
    """Return the name of a photo."""
    return f"photo_{number:06d}.jpg"


def _pixels(points: Float[np.ndarray, "n 3"], shot: Shot) -> Float[np.ndarray, "n 2"]:
    image = (points @ shot.R.T + shot.t) @ shot.K.T
    return image[:, :2] / image[:, 2:]


def _cut_attention(
    attention: UInt8[np.ndarray, "h w"], crop: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "s s"]:
    """Return the crop of an attention; nothing beyond the photo counts."""
    height, width = attention.shape
    transform = ImageTransform(torch.from_numpy(crop)[None].float(), (width, height), (size, size))
    values = torch.from_numpy(attention).float()[None, :, :, None]
    return sample_image(values, transform)[0, ..., 0].round().numpy().astype(np.uint8)
