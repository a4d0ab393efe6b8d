"""Rendered faces beside their truth, on one picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from morphkit.training.data.faces import Faces
from morphkit.training.synthesis.head import Head

FACES = 60
_COLUMNS, _TILE = 6, 160  # pairs, pixels
_COVERED = np.array([200, 40, 40])


def contact_sheet(head: Head, faces: Faces) -> UInt8[np.ndarray, "h w 3"]:
    """Return each face, and beside it the true normals with the landmarks; red where it is covered."""
    rows = -(-len(faces) // _COLUMNS)
    sheet = np.full((rows * _TILE, 2 * _COLUMNS * _TILE, 3), 255, np.uint8)
    for i, (image, truth) in enumerate(zip(faces.images, _truths(head, faces), strict=True)):
        top, left = i // _COLUMNS * _TILE, i % _COLUMNS * 2 * _TILE
        for place, picture in enumerate((image, truth)):
            small = Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            start = left + place * _TILE
            sheet[top : top + _TILE, start : start + _TILE] = np.asarray(small)
    return sheet


def _truths(head: Head, faces: Faces) -> list[np.ndarray]:
    truth, size = faces.truth, faces.size
    if truth is None:
        raise ValueError("faces: rendered faces have a truth")
    vertices, colors, _ = head.instances(truth.identity, truth.expression, truth.albedo)
    found = []
    for i in range(len(faces)):
        camera = head.camera(truth.K[i], truth.R[i], truth.t[i], size, size)
        drawn = head.draw(vertices[i], colors[i], truth.light[i], camera)
        normals, mask = drawn.normals[0].cpu().numpy(), drawn.mask[0].cpu().numpy()[..., None]
        surface = 127.5 * (1 - normals * [-1, 1, 1]) * mask
        seen = faces.attention[i][..., None] / 255
        picture = surface * seen + 0.5 * (mask - seen).clip(0) * (_COVERED + surface)
        found.append(_with_points(picture.clip(0, 255).astype(np.uint8), faces.landmarks[i]))
    return found


def _with_points(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    size = len(picture)
    for x, y in np.floor(points).astype(int):
        if 0 < x < size - 1 and 0 < y < size - 1:
            picture[y - 1 : y + 1, x - 1 : x + 1] = 255
    return picture
