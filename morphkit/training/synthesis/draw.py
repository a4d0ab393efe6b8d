"""One rendered photo: what is drawn where, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from morphkit.training.synthesis.backgrounds import Backgrounds
from morphkit.training.synthesis.body import Body, Rim, draw_body
from morphkit.training.synthesis.fields import Layer, Picture
from morphkit.training.synthesis.hair import Hair, Skull, draw_hair
from morphkit.training.synthesis.head import Head
from morphkit.training.synthesis.occluders import Scene, draw_coverings
from morphkit.training.synthesis.optics import photographed
from morphkit.training.synthesis.props import DrawnProps, draw_props
from morphkit.training.synthesis.settings import SynthesisSettings
from morphkit.training.synthesis.skin import gloss, skin_detail
from morphkit.training.synthesis.views import View


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person before the camera.

    Attributes
    ----------
    vertices, albedo : (v, 3) millimetres and linear RGB.
    landmarks : (68, 3) millimetres, head frame.
    pose : pitch, yaw and roll against the line of sight, radians.
    seeds : of hair and body, the background, what is in front, the skin, and the camera.
    """

    vertices: Float[torch.Tensor, "v 3"]
    albedo: Float[torch.Tensor, "v 3"]
    landmarks: Float[np.ndarray, "68 3"]
    pose: Float[np.ndarray, "3"]
    seeds: tuple[np.random.SeedSequence, ...]


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture as a camera makes it.

    Attributes
    ----------
    image : (h, w, 3) sRGB.
    attention : (h, w) 255 where the head is seen, 0 where it is covered, or isn't.
    """

    image: UInt8[np.ndarray, "h w 3"]
    attention: UInt8[np.ndarray, "h w"]


def draw_picture(
    head: Head, sitter: Sitter, view: View, settings: SynthesisSettings, backgrounds: Backgrounds
) -> Shown:
    """Draw a person in a view."""
    rngs = [np.random.default_rng(seed) for seed in sitter.seeds]
    camera = head.camera(view.K, view.R, view.t, view.grid.width, view.grid.height)
    light = view.light.coefficients
    drawn = head.draw(sitter.vertices, sitter.albedo, light, camera)
    face, mask = drawn.image[0].clamp_min(0).cpu().numpy(), drawn.mask[0].cpu().numpy()
    if settings.skin_detail:
        face = face * skin_detail(rngs[3], view.grid, settings.skin_detail)
    if settings.gloss:
        face = face + gloss(rngs[3], drawn.normals[0].cpu().numpy(), view.light, settings.gloss)
    props = draw_props(head, _surfaces(rngs[0], head, sitter, view, settings), light, camera)
    depth = drawn.depth[0].cpu().numpy()
    depth = np.where(depth > 0, depth, np.float32(np.inf))
    picture, seen = _composed(backgrounds.draw(rngs[1], view.grid), face, mask, depth, props)
    scene = Scene(view.grid, view.grid.millimetres(view.project(sitter.landmarks)))
    for covering in draw_coverings(rngs[2], scene, settings):
        picture, seen = covering.over(picture), seen * (1 - covering.opacity)
    image = photographed(rngs[4], picture.astype(np.float32), view.detail, settings)
    return Shown(image, np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8))


def _composed(
    background: Picture, face: Picture, mask: Layer, depth: np.ndarray, props: DrawnProps | None
) -> tuple[Picture, Layer]:
    """Return the layers laid over each other, and how much of the head each pixel shows."""
    if props is None:
        return face + (1 - mask)[..., None] * background, mask
    nearer = (props.depth < depth).astype(np.float32)
    front, behind = props.opacity * nearer, props.opacity * (1 - nearer)
    edge = (mask > 0) & ~np.isfinite(depth)  # antialiased pixels beside the head: hair there is behind it
    front, behind = np.where(edge, 0.0, front), np.where(edge, props.opacity, behind)
    picture = background * (1 - behind)[..., None] + props.image * behind[..., None]
    picture = face + (1 - mask)[..., None] * picture
    picture = picture * (1 - front)[..., None] + props.image * front[..., None]
    return picture, mask * (1 - front)


def _surfaces(
    rng: np.random.Generator, head: Head, sitter: Sitter, view: View, settings: SynthesisSettings
) -> list[Hair | Body]:
    """Return the hair and the body that a head has."""
    found: list[Hair | Body] = []
    vertices = sitter.vertices.double().cpu().numpy()
    has_hair, has_body = rng.random(2) < [settings.hair, settings.body]
    skull = Skull.of(sitter.landmarks, vertices, head.scalp)
    hair = draw_hair(rng, skull, view.R, view.t)
    if has_hair:
        found.append(hair)
    if has_body:
        skin = sitter.albedo[head.rim if len(head.rim) else head.measured].mean(dim=0)
        rim = Rim.of(sitter.landmarks, vertices[head.rim])
        found.append(draw_body(rng, rim, skin.double().cpu().numpy(), view.R, view.t, sitter.pose))
    return found
