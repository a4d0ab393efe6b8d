"""
Render a head
=============

The embedded head from four sides under three lights. The renderer is differentiable: gradients reach
vertices, albedo, light and camera.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import morphkit
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.rendering import PerspectiveCamera, Renderer, get_rasterizer
from morphkit.rendering.lighting import ambient_light, directional_light


def lamp(towards: list[float], color: list[float]) -> torch.Tensor:
    """Return a distant lamp's light; x right, y down, z away from the camera."""
    return directional_light(torch.tensor([towards]), torch.tensor([color]))


# %%
# Light is nine numbers a colour: the radiance's spherical harmonics. Lamps and a sky add up.
front = 0.45 * ambient_light() + lamp([0.0, -0.2, -1.0], [0.6, 0.6, 0.6])
side = (
    0.15 * ambient_light()
    + lamp([1.0, -0.3, -0.4], [1.1, 0.9, 0.6])
    + lamp([-1.0, 0.0, 0.0], [0.1, 0.2, 0.4])
)
above = 0.20 * ambient_light() + lamp([0.0, -1.0, -0.4], [0.9, 0.9, 0.9])

# %%
# Four cameras in one batch. A turn is a vector: axis times radians; lengths are millimetres.
turns = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 1.3, 0.0], [0.4, -0.4, 0.1]])
camera = PerspectiveCamera.from_parameters(
    focal=torch.full((4,), 1150.0),
    axis_angle=turns,
    translation=torch.tensor([[0.0, -15.0, 1200.0]]).repeat(4, 1),
    width=320,
    height=320,
)

# %%
# One picture for every camera and light.
head = morphkit.FaceModel.from_morphable(morphkit.load_default_model())
face = head.instance(head.layout.split(torch.zeros(4, head.layout.length)))
renderer = Renderer(head.faces, get_rasterizer("numba"))
wall = torch.full((1, 320, 320, 3), 0.1)

rows = []
for light in (front, side, above):
    picture = renderer(face.vertices, face.albedo, light.repeat(4, 1, 1), camera, wall)
    rows.append(np.concatenate(list(picture.image.numpy()), axis=1))
morphkit.write_image("heads.png", linear_to_srgb_uint8(np.concatenate(rows)))
plt.figure(figsize=(8, 6)).gca().imshow(morphkit.read_image("heads.png"))
plt.axis("off")
