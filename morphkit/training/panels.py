"""Pictures of how a network does: photo, drawing, drawing over photo, and the shape alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from morphkit.losses.colors import linear_to_srgb
from morphkit.rendering import Renderer, ambient_light
from morphkit.training.networks.outputs import Decoded
from morphkit.training.scene import FaceScene

_CLAY = 0.4  # linear grey of the shape
_GAP = 4  # pixels between pictures


def panel(
    scene: FaceScene, decoded: Decoded, photos: Float[Tensor, "batch s s 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a row a face: photo | drawing | drawing over the photo | shape."""
    drawn = scene.draw(decoded)
    over = scene.draw(decoded, background=photos)
    grey = torch.full_like(photos, 0.5) * (1.0 - drawn.mask[..., None])
    columns = [photos, drawn.srgb + grey, over.srgb, _shape(scene, decoded, drawn.vertices)]
    return tiled([column.detach().clamp(0.0, 1.0) for column in columns])


def tiled(columns: Sequence[Float[Tensor, "batch s s 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Return pictures side by side, a row each, with white gaps."""
    padded = [torch.nn.functional.pad(c.cpu(), (0, 0, 0, _GAP, 0, _GAP), value=1.0) for c in columns]
    rows = torch.cat(padded, dim=2)
    sheet = rows.reshape(-1, *rows.shape[2:])[:-_GAP, :-_GAP]
    return (sheet * 255).round().to(torch.uint8).numpy()


def _shape(scene: FaceScene, decoded: Decoded, vertices: Tensor) -> Float[Tensor, "batch s s 3"]:
    """Return the face in grey clay, under a light from above."""
    light = 0.55 * ambient_light().to(vertices)
    light[:, 1, :] -= 0.9  # from above: y points down
    light[:, 2, :] -= 0.9  # and from the camera
    size = scene.layout.size
    white = vertices.new_ones(1, size, size, 3)
    draw = Renderer(scene.model.faces, scene.rasterizer)
    clay = torch.full_like(vertices[:1], _CLAY)
    return linear_to_srgb(draw(vertices, clay, light, decoded.camera, white).image)
