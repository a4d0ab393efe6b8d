"""From a mesh, its albedo, a light and a camera to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering.camera import PerspectiveCamera
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


def render(
    vertices: Float[Tensor, "batch v 3"],
    faces: Int[Tensor, "f 3"],
    albedo: Float[Tensor, "instances v 3"],
    sh_coefficients: Float[Tensor, "batch 9 3"],
    camera: PerspectiveCamera,
    rasterizer: Rasterizer,
    background: Float[Tensor, "backgrounds h w 3"] | None = None,
) -> Rendering:
    """Render matte meshes of one topology; differentiable in all but `faces`.

    Parameters
    ----------
    vertices : world coordinates, millimetres; faces counter-clockwise seen from outside, vertices welded.
    albedo : linear RGB per vertex; one instance may serve the whole batch.
    sh_coefficients : the radiance around the head **in camera coordinates**, so that it stays where it is
        when the head turns (`morphkit.rendering.lighting`).
    camera : one camera per mesh.
    background : linear RGB behind the mesh, one or one each, row 0 at the top; black if None.
    """
    vertices_camera = camera.to_camera(vertices)
    vertices_clip = camera.to_clip(vertices_camera)
    vertex_attributes = torch.cat([vertex_normals(vertices_camera, faces), vertices_camera[..., 2:]], dim=-1)

    rast = rasterizer.rasterize(vertices_clip, faces, (camera.height, camera.width))
    surface = rasterizer.interpolate(vertex_attributes, rast, faces)
    normals, depth = unit(surface[..., :3]), surface[..., 3]
    color = shade(rasterizer.interpolate(albedo, rast, faces), normals, sh_coefficients)

    covered = rast[..., 3:] > 0
    behind = torch.zeros_like(color) if background is None else background.expand_as(color)
    layers = torch.cat([torch.where(covered, color, behind), covered.to(color)], dim=-1)
    blended = rasterizer.antialias(layers, rast, vertices_clip, faces)
    return Rendering(blended[..., :3], blended[..., 3], depth, normals, rast[..., 3].long() - 1)
