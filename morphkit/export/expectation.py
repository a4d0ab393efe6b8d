"""What a model expects a photo to show of a face, and where the photo shows something else."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.export.sighting import Sighting
from morphkit.geometry.topology import unique_edges
from morphkit.morphable import MorphableModel

_MOUTH = 35.0  # millimetres around the lips that belong to the mouth and what is in it
_DISAGREEMENT = 3.0  # times the usual colour error at which a border vertex is half taken for hair or wall
_SPOTS = 2  # rings of triangles around a place that disagrees which aren't trusted either
_DIMMEST, _BRIGHTEST = 0.75, 1.3  # of the face's usual light, for what the photo did not show
_BORDER = 2  # rings of triangles over which an overlay fades out within the face
_FEATHER = 4  # rings of triangles over which the photo's colours fade out beyond the face


def pictured_region(model: MorphableModel) -> Float[np.ndarray, " v"]:
    """Return what a photo of a face shows of it, 0..1: face, eyes, and what an open mouth lets see."""
    return faded(model.face_mask | _eyes_and_mouth(model), model.faces, _FEATHER)


def _eyes_and_mouth(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    region = np.zeros(model.n_vertices, dtype=bool)
    if "eyes" in model.masks:
        region |= model.masks["eyes"]
    if "lips" in model.masks:
        mouth = model.identity.mean[model.masks["lips"]].mean(axis=0)
        region |= np.linalg.norm(model.identity.mean - mouth, axis=1) < _MOUTH
    return region


def face_skin(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    """Return the skin whose colours a photo's may be compared with: the face without eyes and ears."""
    region = model.face_mask.copy()
    for name in ("eyes", "ears", "neck"):
        if name in model.masks:
            region &= ~model.masks[name]
    return region


def overlay_opacity(model: MorphableModel) -> Float[np.ndarray, " v"]:
    """Return what of a face is laid over its photo, 0..1: the face, fading out within its border."""
    return faded(model.face_mask, model.faces, -_BORDER)


def expected_colors(
    seen: Sighting,
    albedo: Float[np.ndarray, "v 3"] | None,
    lit: Float[np.ndarray, "v 3"] | None,
) -> Float[np.ndarray, "v 3"]:
    """Return the model's linear colours in a photo; if it has none, the photo's usual skin.

    The light that a face shows says nothing of the light behind it, so brightness stays near the face's own.

    Parameters
    ----------
    seen : the vertices in the photo, trusted on the face alone.
    albedo : (v, 3) linear RGB without light, or None.
    lit : (v, 3) the same under the photo's light, or None.
    """
    trusted = seen.trust > 0.5 * seen.trust.max()
    if albedo is None:
        return np.tile(np.median(seen.colors[trusted], axis=0).astype(np.float64), (len(seen.trust), 1))
    albedo = np.maximum(albedo, 1e-3)
    usual = np.median(seen.colors[trusted] / albedo[trusted], axis=0)
    if lit is None:
        return albedo * usual
    shading = (lit / albedo).mean(axis=1, keepdims=True)
    shading = shading / max(float(np.median(shading[trusted])), 1e-6)
    return albedo * usual * shading.clip(_DIMMEST, _BRIGHTEST)


def agreement(
    model: MorphableModel, seen: Sighting, expected: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, " v"]:
    """Return 1 in the middle of the face; towards its border, less where hair or wall is seen for skin."""
    inner = model.masks.get("narrow_face")
    if inner is None or not (inner & (seen.trust > 0.5)).any():
        return np.ones(len(seen.trust))
    errors = np.linalg.norm(np.sqrt(seen.colors) - np.sqrt(np.maximum(expected, 0.0)), axis=1)
    usual = max(float(np.median(errors[inner & (seen.trust > 0.5)])), 0.02)
    likeness = 1.0 / (1.0 + (errors / (_DISAGREEMENT * usual)) ** 4)
    likeness = _least_around(likeness, model.faces, _SPOTS)  # a bright lock is hair, too
    middle = faded(inner | _eyes_and_mouth(model), model.faces, _FEATHER)
    return middle + (1.0 - middle) * likeness


def faded(mask: Bool[np.ndarray, " v"], faces: Int[np.ndarray, "f 3"], rings: int) -> Float[np.ndarray, " v"]:
    """Return 1 in a region, falling to 0 over `rings` rings of triangles outside it (inside, if negative)."""
    edges = unique_edges(faces)
    grown = [mask if rings > 0 else ~mask]
    for _ in range(abs(rings)):
        reached = grown[-1][edges].any(axis=1)
        grown.append(grown[-1].copy())
        grown[-1][edges[reached]] = True
    share: np.ndarray = np.mean(grown, axis=0)
    return share if rings > 0 else 1.0 - share


def _least_around(
    values: Float[np.ndarray, " v"], faces: Int[np.ndarray, "f 3"], rings: int
) -> Float[np.ndarray, " v"]:
    """Return the least value within some rings of triangles around each vertex."""
    for _ in range(rings):
        low = values[faces].min(axis=1)
        values = values.copy()
        np.minimum.at(values, faces.ravel(), np.repeat(low, 3))
    return values
