"""A small symmetric head, and faces drawn of it with their truth, for the tests of training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from fitting_head import POINTS68, small_head

from morphkit.mesh import LandmarkEmbedding
from morphkit.model import FaceModel
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.rendering import PerspectiveCamera, ambient_light, get_rasterizer, render
from morphkit.rendering.rotations import axis_angle_to_matrix, facing
from morphkit.training.data.faces import Faces, Truth
from morphkit.training.mirroring import IBUG68_MIRROR

FLIP = np.array([-1.0, 1.0, 1.0])


@cache
def symmetric_head(identity: int = 6, expression: int = 3, albedo: int = 4) -> MorphableModel:
    """The small head with modes that mirroring maps onto themselves, and landmarks at partner vertices."""
    model = small_head(identity, expression, albedo)
    mirror = model.mirror
    assert mirror is not None
    assert model.expression is not None
    assert model.albedo is not None
    mean = (model.identity.mean + (model.identity.mean * FLIP)[mirror]) / 2
    skin = (model.albedo.mean + model.albedo.mean[mirror]) / 2
    groups = {
        "identity": _closed(model.identity, mean, FLIP, mirror),
        "expression": _closed(model.expression, model.expression.mean, FLIP, mirror),
        "albedo": _closed(model.albedo, skin, np.ones(3), mirror),
    }
    return replace(model, **groups, landmarks={"ibug68": _embedding(mean, mirror, model.faces)})


def _closed(group: LinearModel, mean: np.ndarray, sign: np.ndarray, mirror: np.ndarray) -> LinearModel:
    """Make even modes symmetric and odd ones antisymmetric."""
    k = group.n_components
    modes = (group.basis * group.standard_deviations).reshape(-1, 3, k).astype(np.float64)
    partner = (modes * sign[:, None])[mirror]
    modes = (modes + np.where(np.arange(k) % 2, -1.0, 1.0) * partner).reshape(-1, k)
    basis, deviations, _ = np.linalg.svd(modes, full_matrices=False)
    return LinearModel(mean.astype(np.float32), np.asfortranarray(basis.astype(np.float32)), deviations)


def _embedding(mean: np.ndarray, mirror: np.ndarray, faces: np.ndarray) -> LandmarkEmbedding:
    """Tie each landmark to a vertex, and its mirror image to the partner vertex."""
    front = np.where(mean[:, 2] > 0, 0.0, 1e6)
    own = mirror == np.arange(len(mirror))
    index = np.full(68, -1)
    for point, partner in enumerate(IBUG68_MIRROR):
        far = np.linalg.norm(mean[:, :2] - POINTS68[point], axis=1) + front
        if index[point] < 0:
            index[point] = np.argmin(far + (0.0 if point != partner else 1e6 * ~own))
            index[partner] = mirror[index[point]]
    triangle = np.array([np.flatnonzero((faces == vertex).any(axis=1))[0] for vertex in index])
    weights = (faces[triangle] == index[:, None]).astype(np.float64)
    return LandmarkEmbedding(tuple(map(str, range(68))), triangle.astype(np.int64), weights)


def landmark_vertices(model: MorphableModel) -> np.ndarray:
    embedding = model.landmarks["ibug68"]
    return model.faces[embedding.face_indices][np.arange(68), embedding.barycentrics.argmax(axis=1)]


def origin(model: MorphableModel) -> np.ndarray:
    return model.instance()[model.face_mask].mean(axis=0)


def drawn_faces(
    model: MorphableModel,
    count: int,
    seed: int = 0,
    size: int = 64,
    people: int | None = None,
    turn: float = 0.25,
) -> Faces:
    """Draw aligned faces of random people as `render-dataset` would, in front of grey."""
    rng = np.random.default_rng(seed)
    groups = [model.identity.n_components, model.expression.n_components, model.albedo.n_components]
    identity, expression, albedo = (rng.normal(size=(count, k)).astype(np.float32) for k in groups)
    who = np.arange(count) if people is None else np.arange(count) % people
    identity, albedo = identity[who], albedo[who]
    light = np.repeat(ambient_light().numpy(), count, axis=0)
    light = light * rng.uniform(0.8, 1.1, (count, 1, 1)) + rng.normal(size=(count, 9, 3)) * 0.15
    angles = torch.from_numpy(rng.normal(size=(count, 3)) * turn)
    R = (axis_angle_to_matrix(angles) @ facing()).numpy()
    t = np.array([0.0, 0.0, 1000.0]) + rng.normal(size=(count, 3)) * 5 - R @ origin(model)
    focal = 1015.0 * size / 224
    K = np.tile(np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]), (count, 1, 1))
    truth = Truth(identity, expression, albedo, light.astype(np.float32), K, R, t)
    images, masks = picture(model, truth, size)
    points = torch.from_numpy(_vertices(model, truth)[:, landmark_vertices(model)])
    landmarks = camera(truth, size).project(points).numpy()
    srgb = np.rint(_srgb(images) * 255).astype(np.uint8)
    return Faces(
        srgb,
        np.rint(masks * 255).astype(np.uint8),
        landmarks.astype(np.float32),
        np.tile(np.eye(2, 3), (count, 1, 1)),
        np.full((count, 2), size, np.int32),
        tuple(f"photo{row:03}.png" for row in range(count)),
        np.zeros(count, np.int32),
        who.astype(np.int64),
        angles.numpy().astype(np.float32),
        np.full(count, 40.0, np.float32),
        truth=truth,
    )


def camera(truth: Truth, size: int) -> PerspectiveCamera:
    return PerspectiveCamera(*(torch.from_numpy(v) for v in (truth.K, truth.R, truth.t)), size, size)


def _vertices(model: MorphableModel, truth: Truth) -> np.ndarray:
    pairs = zip(truth.identity, truth.expression, strict=True)
    return np.stack([model.instance(i.astype(np.float64), e.astype(np.float64)) for i, e in pairs])


def picture(model: MorphableModel, truth: Truth, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return linear pictures before grey, and masks."""
    face = FaceModel.from_morphable(model)
    assert face.albedo is not None
    vertices = face.vertices(torch.from_numpy(truth.identity), torch.from_numpy(truth.expression))
    skin = face.albedo(torch.from_numpy(truth.albedo))
    lens = camera(truth, size)
    lens = replace(lens, **{name: getattr(lens, name).float() for name in ("K", "R", "t")})
    grey = torch.full((1, size, size, 3), 0.3)
    drawn = render(
        vertices, face.faces, skin, torch.from_numpy(truth.light), lens, get_rasterizer("numba"), grey
    )
    return drawn.image.numpy(), drawn.mask.numpy()


def _srgb(linear: np.ndarray) -> np.ndarray:
    from morphkit.io.color import linear_to_srgb

    return linear_to_srgb(linear).clip(0, 1)
