"""A procedural head for the registration tests: points are functions of their directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.registration import CoarseSettings, RegistrationSettings, SimilaritySettings

SMALL = RegistrationSettings(
    coarse=CoarseSettings(control_faces=(1500,), iterations=(12,)),
    similarity=SimilaritySettings(start_count=40, icp_points=400),
)
_FEATURES = (  # direction, width, height in millimetres: nose, chin, eyes, brows, cheeks, lips, ears
    ((0.0, -0.1, 1.0), 0.16, 22.0),
    ((0.0, -0.75, 0.7), 0.22, 9.0),
    ((0.33, 0.2, 0.95), 0.15, -9.0),
    ((-0.33, 0.2, 0.95), 0.15, -9.0),
    ((0.3, 0.42, 0.9), 0.14, 4.0),
    ((-0.3, 0.42, 0.9), 0.14, 4.0),
    ((0.55, -0.2, 0.8), 0.25, 4.0),
    ((-0.55, -0.2, 0.8), 0.25, 4.0),
    ((0.0, -0.47, 0.9), 0.12, 6.0),
    ((1.0, 0.0, 0.0), 0.13, 16.0),
    ((-1.0, 0.0, 0.0), 0.13, 16.0),
)


@dataclass(frozen=True)
class Person:
    """How a head differs from the template: axes in millimetres, features' sizes."""

    axes: tuple[float, float, float] = (72.0, 105.0, 92.0)
    feature_scale: float = 1.0

    def surface(self, directions: np.ndarray) -> np.ndarray:
        """Return the head's points along unit directions."""
        radius = 1 / np.linalg.norm(directions / np.array(self.axes), axis=1)
        for centre, width, height in _FEATURES:
            unit = np.array(centre) / np.linalg.norm(centre)
            near = np.exp(-((directions - unit) ** 2).sum(axis=1) / (2 * width**2))
            radius = radius + self.feature_scale * height * near
        return directions * radius[:, None]


TEMPLATE_PERSON = Person()
OTHER_PERSON = Person(axes=(76.0, 101.0, 95.0), feature_scale=1.15)


def template_directions() -> tuple[np.ndarray, np.ndarray]:
    """Return the directions and faces of the template: the front of a sphere."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    return _front(np.array(ball.vertices), np.array(ball.faces), -0.25)


def make_template() -> Template:
    """Return the template, with a landmark at every 40th vertex of the face."""
    directions, faces = template_directions()
    marked = np.flatnonzero(directions[:, 2] > 0.4)[::40]
    corners = np.array([np.argmax((faces == vertex).any(axis=1)) for vertex in marked], dtype=np.int32)
    weights = (faces[corners] == marked[:, None]).astype(float)
    embedding = LandmarkEmbedding(tuple(str(i) for i in range(len(marked))), corners, weights)
    return Template(Mesh(TEMPLATE_PERSON.surface(directions), faces), {"ibug68": embedding})


def make_scan(person: Person, *, back: float = -0.5) -> Mesh:
    """Return a scan of a person in another tessellation, cut off at direction z = `back`."""
    ball = trimesh.creation.uv_sphere(count=[110, 110])
    turned = np.array(ball.vertices)[:, [2, 0, 1]]
    directions, faces = _front(turned, np.array(ball.faces), back)
    return Mesh(person.surface(directions), faces)


def cap(rings: int, back: float) -> tuple[np.ndarray, np.ndarray]:
    """Return directions and faces around z, whose rim is an even circle at direction z = `back`."""
    sectors = 4 * rings
    angle = np.repeat(np.linspace(0, np.arccos(back), rings + 1)[1:], sectors)
    turn = np.tile(np.arange(sectors) * 2 * np.pi / sectors, rings)
    around = np.column_stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)])
    here = np.arange(sectors)
    ahead = np.roll(here, -1)
    strips = [np.column_stack([np.full(sectors, -1), here, ahead])]
    for inner in range(0, (rings - 1) * sectors, sectors):
        outer = inner + sectors
        strips.append(np.column_stack([inner + here, outer + here, outer + ahead]))
        strips.append(np.column_stack([inner + here, outer + ahead, inner + ahead]))
    return np.vstack([[0.0, 0.0, 1.0], around]), (np.vstack(strips) + 1).astype(np.int32)


def truth(person: Person) -> np.ndarray:
    """Return where the template's vertices lie on a person."""
    return person.surface(template_directions()[0])


def true_landmarks(template: Template, vertices: np.ndarray) -> Landmarks:
    """Return the template's landmarks on registered vertices."""
    return template.landmarks["ibug68"].landmarks(vertices, template.mesh.faces)


def _front(vertices: np.ndarray, faces: np.ndarray, back: float) -> tuple[np.ndarray, np.ndarray]:
    kept = faces[(vertices[faces][:, :, 2] > back).all(axis=1)]
    used, inverse = np.unique(kept, return_inverse=True)
    unit = vertices[used] / np.linalg.norm(vertices[used], axis=1, keepdims=True)
    return unit, inverse.reshape(-1, 3).astype(np.int32)
