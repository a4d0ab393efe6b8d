"""What loops must be sure of is told in a sentence, before an index is followed."""

import pytest
import torch

from morphkit.rendering import _scene_arguments as arguments
from morphkit.rendering import get_rasterizer
from morphkit.rendering.lighting import shade
from morphkit.rendering.normals import vertex_normals

FACES = torch.tensor([[0, 1, 2]], dtype=torch.int32)
CLIP = torch.rand(2, 4, 4)
RAST = torch.zeros(2, 5, 6, 4)
COLOR = torch.zeros(2, 5, 6, 3)
RANGES = torch.tensor([[0, 1]], dtype=torch.int32)


@pytest.mark.parametrize(
    ("message", "vertices", "faces", "resolution", "ranges"),
    [
        (r"shape \(batch, v, 4\), got \(2, 4, 3\)", CLIP[..., :3], FACES, (5, 6), None),
        (r"shape \(batch, v, 4\), got \(4, 4\)", CLIP[0], FACES, (5, 6), None),
        (r"shape \(v, 4\) with ranges, got \(2, 4, 4\)", CLIP, FACES, (5, 6), RANGES),
        ("float32 or float64, got torch.int64", CLIP.long(), FACES, (5, 6), None),
        ("float32 or float64, got torch.float16", CLIP.half(), FACES, (5, 6), None),
        ("at least one picture", CLIP[:0], FACES, (5, 6), None),
        ("at least one picture", CLIP[0], FACES, (5, 6), RANGES[:0]),
        (r"faces must be integers \(f, 3\), got \(1, 2\)", CLIP, FACES[:, :2], (5, 6), None),
        (r"faces must be integers \(f, 3\), got \(3,\)", CLIP, FACES[0], (5, 6), None),
        (r"got \(1, 3\) in torch.float32", CLIP, FACES.float(), (5, 6), None),
        ("index the 4 vertices of vertices_clip, got 2..4", CLIP, FACES + 2, (5, 6), None),
        ("index the 4 vertices of vertices_clip, got -1..1", CLIP, FACES - 1, (5, 6), None),
        (r"1..32767 a side, got \(5, 40000\)", CLIP, FACES, (5, 40000), None),
        (r"ranges must be integers \(batch, 2\), got \(2,\)", CLIP[0], FACES, (5, 6), RANGES[0]),
        ("within 1 faces, got", CLIP[0], FACES, (5, 6), RANGES + 1),
    ],
)
def test_a_scene_that_cannot_be_drawn(message, vertices, faces, resolution, ranges):
    with pytest.raises(ValueError, match=message):
        arguments.check_scene(vertices, faces, resolution, ranges)


@pytest.mark.parametrize(
    ("message", "attributes", "rast", "faces"),
    [
        ("1 or 2 instances, got 3", torch.zeros(3, 4, 1), RAST, FACES),
        ("the 3 vertices of attributes, got 1..3", torch.zeros(1, 3, 1), RAST, FACES + 1),
        ("shows face 4 of 1 faces", torch.zeros(4, 1), RAST + 5, FACES),
        ("shows face nan of 1 faces", torch.zeros(4, 1), RAST * torch.nan, FACES),
        (r"rast must have shape \(batch, h, w, 4\)", torch.zeros(4, 1), RAST[:0], FACES),
        ("attributes must be float32 or float64, got torch.int64", torch.zeros(4, 1).long(), RAST, FACES),
    ],
)
def test_attributes_that_cannot_be_interpolated(message, attributes, rast, faces):
    with pytest.raises(ValueError, match=message):
        arguments.check_attributes(attributes, rast, faces)


@pytest.mark.parametrize(
    ("message", "color", "rast", "vertices", "faces"),
    [
        (
            r"color must be \(2, 5, 6, 'c'\) like rast, got \(2, 6, 5, 3\)",
            COLOR.mT.reshape(2, 6, 5, 3),
            RAST,
            CLIP,
            FACES,
        ),
        ("vertices_clip must be 2 sets like rast, got 1", COLOR, RAST, CLIP[:1], FACES),
        ("got 9..11", COLOR, RAST, CLIP, FACES + 9),
        ("shows face 6 of 1 faces", COLOR, RAST + 7, CLIP, FACES),
        ("shows face 0 of 0 faces", COLOR, RAST + 1, CLIP, FACES[:0]),
    ],
)
def test_pictures_that_cannot_be_antialiased(message, color, rast, vertices, faces):
    with pytest.raises(ValueError, match=message):
        arguments.check_antialias(color, rast, vertices, faces)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_both_backends_ask_first(backend):
    """Indices beyond the vertices and ids beyond the faces never reach a loop."""
    rasterizer = get_rasterizer(backend)
    for call in (
        lambda: rasterizer.rasterize(CLIP, FACES + 7, (5, 6)),
        lambda: rasterizer.interpolate(CLIP, RAST, FACES + 7),
        lambda: rasterizer.interpolate(CLIP, RAST + 9, FACES),
        lambda: rasterizer.antialias(COLOR, RAST, CLIP, FACES + 7),
        lambda: rasterizer.antialias(COLOR, RAST + 9, CLIP, FACES),
        lambda: vertex_normals(CLIP[..., :3], FACES + 7),
    ):
        with pytest.raises(ValueError, match=r"index the 4 vertices|of 1 faces"):
            call()


def test_shading_asks_first():
    with pytest.raises(ValueError, match="one type"):
        shade(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3).double(), torch.zeros(1, 9, 3))
    with pytest.raises(ValueError, match=r"\(1 or 1, k, 3\)"):
        shade(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(2, 9, 3))
