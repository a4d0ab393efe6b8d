"""From a mesh, its albedo, a light and a camera to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering.camera import Camera
from morphkit.rendering.lighting import shade
from morphkit.rendering.normals import unit, vertex_normals
from morphkit.rendering.rasterizer import Rasterizer


@dataclass(frozen=True, eq=False)
class Rendering:
    """A batch of pictures; row 0 is the **top**.

    Attributes
    ----------
    image : (batch, h, w, 3) linear RGB, antialiased over the background.
    mask : (batch, h, w) how much of each pixel the mesh covers, 0..1, antialiased: it has a gradient at the
        outline.
    depth : (batch, h, w) millimetres along the camera's z; 0 where nothing is seen.
    normals : (batch, h, w, 3) unit, in camera coordinates (z away from the camera); 0 where nothing is seen.
    face_ids : (batch, h, w) int64, -1 where nothing is seen.
    """

    image: Float[Tensor, "batch h w 3"]
    mask: Float[Tensor, "batch h w"]
    depth: Float[Tensor, "batch h w"]
    normals: Float[Tensor, "batch h w 3"]
    face_ids: Int[Tensor, "batch h w"]


@dataclass(frozen=True, eq=False)
class TexturedAlbedo:
    """Albedo from a picture, in place of one colour per vertex.

    Attributes
    ----------
    texture : (instances, th, tw, 3) **linear** RGB, row 0 at the top; one instance may serve a whole batch.
        Even sizes give mip levels, and with them a face far away does not flicker.
    uv : (f, 3, 2) a coordinate per triangle corner, v up, as in `morphkit.mesh.Mesh`.
    """

    texture: Float[Tensor, "instances th tw 3"]
    uv: Float[Tensor, "f 3 2"]


@dataclass(frozen=True, eq=False)
class Renderer:
    """Draw matte meshes of one topology; differentiable in all but `faces`.

    Attributes
    ----------
    faces : (f, 3) counter-clockwise seen from outside, vertices welded.
    rasterizer : from `get_rasterizer`.
    """

    faces: Int[Tensor, "f 3"]
    rasterizer: Rasterizer

    def __call__(
        self,
        vertices: Float[Tensor, "batch v 3"],
        albedo: Float[Tensor, "instances v 3"] | TexturedAlbedo,
        sh_coefficients: Float[Tensor, "lights k 3"],
        camera: Camera,
        background: Float[Tensor, "backgrounds h w 3"] | None = None,
    ) -> Rendering:
        """Return a picture of each mesh.

        Parameters
        ----------
        vertices : world coordinates, millimetres.
        albedo : linear RGB per vertex, one instance may serve the whole batch; or a texture.
        sh_coefficients : the radiance around the head **in camera coordinates**, so that it stays where it is
            when the head turns (`morphkit.rendering.lighting`); one light may serve the whole batch.
        camera : one camera per mesh.
        background : linear RGB behind the mesh, one or one each, row 0 at the top; black if None.
        """
        vertices_camera = camera.to_camera(vertices)
        vertices_clip = camera.to_clip(vertices_camera)
        normals = vertex_normals(vertices_camera, self.faces)
        attributes = torch.cat([vertices_camera[..., 2:], normals], dim=-1)

        scene = vertices_clip, self.faces, (camera.height, camera.width)
        if isinstance(albedo, TexturedAlbedo):
            rast, slopes = self.rasterizer.rasterize_with_derivatives(*scene)
            base = self._sample(albedo, rast, slopes)
        else:
            rast = self.rasterizer.rasterize(*scene)
            base = self.rasterizer.interpolate(albedo, rast, self.faces)
        surface = self.rasterizer.interpolate(attributes, rast, self.faces)
        depth, normals = torch.split(surface, [1, 3], dim=-1)
        normals = unit(normals)
        color = shade(base, normals, sh_coefficients)

        covered = (rast[..., 3:] > 0).to(color)
        if background is not None:
            color = color + (1 - covered) * background
        layers = torch.cat([color, covered], dim=-1)
        layers = self.rasterizer.antialias(layers, rast, vertices_clip, self.faces)
        image, mask = torch.split(layers, [3, 1], dim=-1)
        return Rendering(image, mask[..., 0], depth[..., 0], normals, rast[..., 3].long() - 1)

    def _sample(self, albedo: TexturedAlbedo, rast: Tensor, slopes: Tensor) -> Tensor:
        """Return the texture's colour at each pixel, zero where nothing is seen."""
        corners = albedo.uv.reshape(1, -1, 2)
        downward = torch.stack([corners[..., 0], 1 - corners[..., 1]], dim=-1)  # row 0 is the texture's top
        own = torch.arange(corners.shape[1], dtype=self.faces.dtype, device=self.faces.device).reshape(-1, 3)
        uv, uv_slopes = self.rasterizer.interpolate_with_derivatives(downward, rast, own, slopes)
        return self.rasterizer.texture(albedo.texture, uv, uv_slopes) * (rast[..., 3:] > 0)


def render(
    vertices: Float[Tensor, "batch v 3"],
    faces: Int[Tensor, "f 3"],
    albedo: Float[Tensor, "instances v 3"] | TexturedAlbedo,
    sh_coefficients: Float[Tensor, "lights k 3"],
    camera: Camera,
    rasterizer: Rasterizer,
    background: Float[Tensor, "backgrounds h w 3"] | None = None,
) -> Rendering:
    """Render matte meshes of one topology: `Renderer` in one line."""
    return Renderer(faces, rasterizer)(vertices, albedo, sh_coefficients, camera, background)
