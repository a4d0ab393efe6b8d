"""From coefficients to pictures of faces in their crops, for many at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.export.comparison import bare_skin, compared_faces
from morphkit.export.expectation import faded
from morphkit.losses.colors import linear_to_srgb
from morphkit.model import FaceModel, ShapeMap
from morphkit.morphable import MorphableModel
from morphkit.rendering import Rasterizer, get_rasterizer
from morphkit.rendering.lighting import shade
from morphkit.rendering.normals import vertex_normals
from morphkit.rendering.rasterizer import Backend
from morphkit.training.networks.outputs import Decoded, OutputLayout

_LEAST_ALBEDO = 1e-3
_BORDER = 2  # rings of triangles drawn beyond the face, so that its own border's normals are right
_LANDMARKS = tuple(str(i) for i in range(68))


@dataclass(frozen=True, eq=False)
class FacePicture:
    """Faces as their crops would show them.

    Attributes
    ----------
    srgb : sRGB, antialiased over the background; may lie beyond 0..1 where the light is too strong.
    mask : how much of each pixel the face covers, 0..1, antialiased.
    seen : the pixels whose colour is compared with a photo's.
    landmarks : the 68 iBUG points, pixels of the crop.
    albedo : linear RGB of the drawn vertices.
    vertices : the drawn vertices, mm, in the model's frame.
    """

    srgb: Float[Tensor, "batch s s 3"]
    mask: Float[Tensor, "batch s s"]
    seen: Bool[Tensor, "batch s s"]
    landmarks: Float[Tensor, "batch 68 2"]
    albedo: Float[Tensor, "batch v 3"]
    vertices: Float[Tensor, "batch v 3"]


@dataclass(frozen=True, eq=False)
class FaceScene:
    """A model ready to be drawn in crops.

    Of the model only what a crop compares is drawn: the face with its eyes, and a border. Light is reckoned
    at the vertices, and the colours between them interpolated, as the paper's public implementations do.

    Attributes
    ----------
    layout : what R-Net's numbers mean, and the crop's size.
    model : of the drawn part.
    points : the 68 landmarks as a function of the coefficients.
    rasterizer : draws.
    drawn : (v,) which of the whole model's vertices are drawn.
    compared : (f + 1,) whether a triangle's colour is compared; the first entry stands for no triangle.
    bare_skin : (n,) the drawn vertices whose albedo is taken to be even.
    antialias : blend outlines, which gives them a gradient.
    """

    layout: OutputLayout
    model: FaceModel
    points: ShapeMap
    rasterizer: Rasterizer
    drawn: Int[Tensor, " v"]
    compared: Bool[Tensor, " f1"]
    bare_skin: Int[Tensor, " n"]
    antialias: bool = True

    @classmethod
    def from_morphable(
        cls,
        model: MorphableModel,
        layout: OutputLayout,
        rasterizer: Backend = "numba",
        device: torch.device | str = "cpu",
        *,
        whole: bool = False,
        antialias: bool = True,
    ) -> FaceScene:
        """Prepare a model.

        Parameters
        ----------
        model : with an albedo group, and all 68 landmarks embedded.
        layout : made for this model.
        rasterizer : backend, see `get_rasterizer`.
        device : where to draw; "numba" draws on the CPU.
        whole : draw the whole model, hair, ears and neck, as a panel may want it.
        antialias : blend outlines, which gives them a gradient.

        Raises
        ------
        BadInputError
            If the model has no albedo or not all landmarks.
        """
        if model.albedo is None:
            raise BadInputError(
                "The model has no albedo group, so that its colours cannot be compared with a photo's; "
                "choose another model."
            )
        numbers = np.flatnonzero(np.ones(model.n_vertices, bool) if whole else _drawn(model))
        part = model.marginal(numbers)
        position = np.full(model.n_vertices, -1)
        position[numbers] = np.arange(len(numbers))
        kept = (position[model.faces] >= 0).all(axis=1)
        compared = np.concatenate([[False], compared_faces(model)[kept]])
        skin = np.flatnonzero(bare_skin(model)[numbers])
        return cls(
            layout,
            FaceModel.from_morphable(part, device=device),
            _landmark_points(model, device),
            get_rasterizer(rasterizer),
            torch.from_numpy(numbers).to(device),
            torch.from_numpy(compared).to(device),
            torch.from_numpy(skin).to(device),
            antialias,
        )

    def decode(self, heads: Mapping[str, Float[Tensor, "batch _"]]) -> Decoded:
        """Return what R-Net's numbers mean, see `OutputLayout.decode`."""
        return self.layout.decode(heads)

    def landmarks(self, decoded: Decoded) -> Float[Tensor, "batch 68 2"]:
        """Return where the 68 points lie in the crop, without drawing it."""
        c = decoded.coefficients
        return decoded.landmark_camera.project(self.points(c.identity, c.expression))

    def display_skin(self, picture: FacePicture) -> Float[Tensor, "batch n 3"]:
        """Return the sRGB albedo of the bare skin alone."""
        return linear_to_srgb(picture.albedo[:, self.bare_skin])

    def draw(
        self, decoded: Decoded, background: Float[Tensor, "backgrounds s s 3"] | None = None
    ) -> FacePicture:
        """Draw faces, over sRGB pictures or black; differentiable in all that is decoded."""
        c, faces = decoded.coefficients, self.model.faces
        vertices = self.model.vertices(c.identity, c.expression)
        albedo = self._albedo(c.albedo)
        vertices_camera = decoded.camera.to_camera(vertices)
        vertices_clip = decoded.camera.to_clip(vertices_camera)
        colors = self._lit(albedo, vertex_normals(vertices_camera, faces), c.light)
        rast = self.rasterizer.rasterize(vertices_clip, faces, (self.layout.size, self.layout.size))
        color = self.rasterizer.interpolate(colors, rast, faces)
        covered = (rast[..., 3:] > 0).to(color)
        if background is not None:
            color = color + (1 - covered) * background
        layers = torch.cat([color, covered], dim=-1)
        if self.antialias:
            layers = self.rasterizer.antialias(layers, rast, vertices_clip, faces)
        srgb, mask = torch.split(layers, [3, 1], dim=-1)
        seen = self.compared[rast[..., 3].long()]
        return FacePicture(srgb, mask[..., 0], seen, self.landmarks(decoded), albedo, vertices)

    def _albedo(self, coefficients: Float[Tensor, "batch a"]) -> Float[Tensor, "batch v 3"]:
        if self.model.albedo is None:
            raise ValueError("model must have an albedo group")
        return self.model.albedo(coefficients).clamp_min(_LEAST_ALBEDO)

    def _lit(
        self,
        albedo: Float[Tensor, "batch v 3"],
        normals: Float[Tensor, "batch v 3"],
        light: Float[Tensor, "batch 9 3"],
    ) -> Float[Tensor, "batch v 3"]:
        """Return the sRGB colours of the vertices."""
        if self.layout.shading == "display":
            return shade(linear_to_srgb(albedo), normals, light)
        return linear_to_srgb(shade(albedo, normals, light))


def _drawn(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    """Return the face, its eyes, and some rings of triangles around them."""
    region = model.face_mask | model.masks.get("eyes", np.zeros(model.n_vertices, dtype=bool))
    near: np.ndarray = faded(region, model.faces, _BORDER) > 0
    return near


def _landmark_points(model: MorphableModel, device: torch.device | str) -> ShapeMap:
    embedding = model.landmarks.get("ibug68")
    names = () if embedding is None else embedding.names
    if embedding is None or not set(_LANDMARKS) <= set(names):
        raise BadInputError(
            f"The model embeds {len(set(_LANDMARKS) & set(names))} of the 68 ibug68 landmarks, which training"
            " compares with the photos'; build it with --template-landmarks, or choose another model."
        )
    order = [names.index(name) for name in _LANDMARKS]
    corners = torch.from_numpy(model.faces[embedding.face_indices[order]].astype(np.int64))
    weights = torch.from_numpy(embedding.barycentrics[order]).float()
    shape = FaceModel.from_morphable(model).vertices.at(corners, weights)
    points = type(shape.points)(shape.points.mean.to(device), shape.points.basis.to(device))
    return ShapeMap(points, shape.n_identity)
