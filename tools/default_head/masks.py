"""Regions of the template, as soft fields (for painting) and as masks (for the model file)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from assets import Assets
from head import HeadTopology, sample_mask

from morphkit.geometry.normals import vertex_normals

# The left brow, inner end to tail: middles of template vertices, and its half thickness there, mm.
BROW = (
    (10842, 7202),
    (11206,),
    (10841,),
    (2432, 7194),
    (2434,),
    (10845, 7234),
    (2435, 10863),
    (2460,),
    (10856,),
)
BROW_HALF = np.array([3.0, 3.9, 4.0, 3.8, 3.4, 2.9, 2.3, 1.7, 0.9])
NOSE_TIP, CHEEK, CHIN, GLABELLA, SUBNASALE, LIP_CORNER, EAR_FRONT = 1475, 8777, 1646, 234, 343, 2618, 3010
LEFT_CANTHI = (3592, 3551)
NOSTRIL = 2550  # on the rim, to find the inside from
EYE_RADIUS, IRIS_RADIUS, PUPIL_RADIUS = (
    13.0,
    6.4,
    2.0,
)  # millimetres; the iris ends between two rings of vertices


@dataclass(frozen=True, eq=False)
class Regions:
    """Soft memberships in 0..1 per template vertex, left-right symmetric."""

    lips: np.ndarray
    ears: np.ndarray
    mouth: np.ndarray
    brows: np.ndarray
    beard: np.ndarray
    scalp: np.ndarray
    under_eyes: np.ndarray
    cheeks: np.ndarray
    nose: np.ndarray
    lash: np.ndarray
    canthus: np.ndarray
    nostrils: np.ndarray
    eyeballs: np.ndarray
    iris: np.ndarray
    limbus: np.ndarray
    corners: np.ndarray
    pupil: np.ndarray
    face: np.ndarray
    neck: np.ndarray


def find_regions(assets: Assets, topology: HeadTopology, mean: np.ndarray) -> Regions:
    """Lay the regions out on the mean head (v, 3), millimetres."""
    paint = _Painter(topology, mean)
    uv = topology.old_uv
    skin = topology.parts == 0
    lips = paint.even(np.where(skin, sample_mask(assets, "lips", uv), 0.0))
    ears = paint.even(np.where(skin, sample_mask(assets, "ears", uv), 0.0))
    ball = topology.parts >= 2
    off_axis = paint.off_gaze_axis()
    face = paint.face() * skin
    regions = {
        "lips": lips,
        "ears": ears,
        "mouth": (topology.parts == 1).astype(float),
        "brows": paint.brows() * skin,
        "beard": paint.beard() * skin * (1 - lips),
        "scalp": paint.scalp() * skin * (1 - ears),
        "under_eyes": paint.under_eyes() * skin,
        "cheeks": paint.blob(CHEEK, 17.0, (0.0, 4.0, 0.0)) * skin,
        "nose": paint.blob(NOSE_TIP, 12.0) * skin,
        "lash": paint.lash() * skin,
        "canthus": paint.blob(LEFT_CANTHI[0], 2.6) * skin,
        "nostrils": paint.nostrils() * skin,
        "eyeballs": ball.astype(float),
        "iris": _fade(off_axis, IRIS_RADIUS, 0.4) * ball,
        "limbus": np.exp(-0.5 * ((off_axis - 5.4) / 0.7) ** 2) * ball,
        "pupil": _fade(off_axis, PUPIL_RADIUS, 0.9) * ball,
        "corners": paint.blob(LIP_CORNER, 2.2, (-0.8, 0.0, 0.0)) * skin,
        "face": face,
        "neck": paint.neck() * skin,
    }
    return Regions(**{name: paint.even(np.clip(field, 0.0, 1.0)) for name, field in regions.items()})


def find_masks(topology: HeadTopology, mean: np.ndarray, regions: Regions) -> dict[str, np.ndarray]:
    """Return the boolean masks of the model file."""
    skin = (topology.parts == 0) & (regions.nostrils < 0.3)
    face = (regions.face > 0.5) & skin
    near = np.linalg.norm(mean - (mean[NOSE_TIP] + (0.0, 8.0, -25.0)), axis=1) < 72.0
    plain = (regions.lips < 0.05) & (regions.brows < 0.05) & (regions.lash < 0.05) & (regions.canthus < 0.1)
    lids = _around_eyes(mean, topology)
    return {
        "face": face,
        "narrow_face": face & near,
        "skin": face & near & plain & ~lids & (regions.beard < 0.3),
        "eyes": topology.parts >= 2,
        "lips": regions.lips > 0.5,
        "ears": regions.ears > 0.5,
        "neck": regions.neck > 0.5,
    }


def _around_eyes(mean: np.ndarray, topology: HeadTopology) -> np.ndarray:
    """Return the vertices within a lid's width of the eyes."""
    inside = np.zeros(len(mean), bool)
    for part in (2, 3):
        ball = mean[topology.parts == part].mean(0)
        inside |= np.linalg.norm((mean - ball) / (21.0, 15.0, 40.0), axis=1) < 1.0
    return inside


class _Painter:
    """Draws fields on the mean head."""

    def __init__(self, topology: HeadTopology, mean: np.ndarray) -> None:
        self.topology, self.mean = topology, mean
        self.left = np.column_stack([np.abs(mean[:, 0]), mean[:, 1:]])
        self.normals = vertex_normals(mean, topology.faces)
        self.eye = mean[topology.parts == 2].mean(0)

    def even(self, field: np.ndarray) -> np.ndarray:
        """Return the field made left-right symmetric."""
        return 0.5 * (field + field[self.topology.mirror])

    def blob(
        self, vertex: int, radius: float, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> np.ndarray:
        """Return a Gaussian around a vertex and its mirror image."""
        away = np.linalg.norm(self.left - (self.mean[vertex] + offset), axis=1)
        return np.exp(-0.5 * (away / radius) ** 2)

    def brows(self) -> np.ndarray:
        """Return the eyebrows: a band around a polyline, thinning towards its tail."""
        line = np.array([self.mean[list(place)].mean(0) for place in BROW])
        steps = np.linspace(0, len(line) - 1, 80)
        points = np.stack([np.interp(steps, np.arange(len(line)), line[:, d]) for d in range(3)], axis=1)
        half = np.interp(steps, np.arange(len(line)), BROW_HALF)
        away = np.linalg.norm(self.left[:, None] - points, axis=2)
        return _fade((away / half).min(1), 1.0, 0.42)

    def under_eyes(self) -> np.ndarray:
        """Return the hollow below the lower lid."""
        middle = self.mean[list(LEFT_CANTHI)].mean(0) - (1.0, 10.0, 0.0)
        return np.exp(-0.5 * np.sum(((self.left - middle) / (11.0, 4.5, 14.0)) ** 2, axis=1))

    def lash(self) -> np.ndarray:
        """Return the upper lid's margin, where the lashes root."""
        rim = self._lid_rim()
        away = np.linalg.norm(self.left[:, None] - self.mean[rim], axis=2).min(1)
        return _fade(away, 0.9, 0.35)

    def _lid_rim(self) -> np.ndarray:
        return np.array([3564, 3563, 3545, 3546, 3547, 3548, 3549, 3550, 3551])

    def nostrils(self) -> np.ndarray:
        """Return the nostrils' inside: skin that looks down or inwards just above the nose's base."""
        rim = self.mean[NOSTRIL]
        away = np.linalg.norm((self.left - rim - (1.0, 3.2, 3.2)) / (3.6, 3.6, 6.0), axis=1)
        return _fade(away, 1.0, 0.25)

    def beard(self) -> np.ndarray:
        """Return the beard's ground: moustache, chin and jaw up to the sideburns."""
        x, y, z = self.left.T
        corner, ear = self.mean[LIP_CORNER], self.mean[EAR_FRONT]
        share = np.clip((z - corner[2]) / (ear[2] - corner[2]), 0.0, 1.0)
        top = (1 - share) * (corner[1] + 6.0) + share * (ear[1] + 26.0)
        upper = _fade(np.abs(x), 24.0, 5.0) * _fade(y - (self.mean[SUBNASALE][1] - 2.0), 0.0, 1.2)
        line = np.maximum(_fade(y - top, 0.0, 5.0), upper)
        front = _fade(-(z - (ear[2] - 4.0)), 0.0, 5.0)
        bottom = _fade(-(y - (self.mean[CHIN][1] - 22.0)), 0.0, 8.0)
        return line * front * bottom * _fade(-(z + 45.0), 0.0, 8.0)

    def scalp(self) -> np.ndarray:
        """Return where a head of hair would root: behind a line over the forehead, temples and ears."""
        x, y, z = self.left.T
        glabella, ear = self.mean[GLABELLA][1], self.mean[EAR_FRONT][2]
        over = _fade((glabella + 56.0 - 0.12 * np.maximum(x - 20.0, 0.0)) - y, 0.0, 9.0)
        temple = ear - 6.0 + np.clip((y - (glabella - 34.0)) * 0.55, 0.0, 30.0)
        behind = _fade(z - temple, 0.0, 9.0)
        return np.maximum(over, behind) * _fade(-(y - (glabella - 50.0)), 0.0, 10.0)

    def face(self) -> np.ndarray:
        """Return the face: from chin to hairline and to the front of the ears."""
        _, y, z = self.left.T
        ahead = _fade(-(z - (self.mean[EAR_FRONT][2] + 2.0)), 0.0, 1.0)
        below = _fade(y - (self.mean[GLABELLA][1] + 50.0), 0.0, 1.0)
        jaw = self.mean[CHIN][1] - 4.0 + np.clip((self.mean[CHIN][2] - z) * 0.55, -20.0, 60.0)
        under = _fade(-(y - jaw), 0.0, 1.0)
        return ahead * below * under

    def neck(self) -> np.ndarray:
        """Return the neck: below the jaw line and the skull's base."""
        _, y, z = self.left.T
        jaw = self.mean[CHIN][1] - 8.0 + np.clip((self.mean[CHIN][2] - z) * 0.45, -20.0, 42.0)
        return _fade(y - jaw, 0.0, 3.0)

    def off_gaze_axis(self) -> np.ndarray:
        """Return each eyeball vertex's arc length from its pole, mm; huge elsewhere."""
        away = np.full(len(self.mean), 1e3)
        for part, pole in zip((2, 3), self.topology.eye_poles, strict=True):
            ball = np.flatnonzero(self.topology.parts == part)
            rays = self.mean[ball] - self.mean[ball].mean(0)
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
            away[ball] = EYE_RADIUS * np.arccos(
                np.clip(rays @ rays[np.flatnonzero(ball == pole)[0]], -1.0, 1.0)
            )
        return away


def _fade(value: np.ndarray, edge: float, width: float) -> np.ndarray:
    """Return a smooth step from one below `edge` to zero above it."""
    return 1.0 / (1.0 + np.exp(np.clip((value - edge) / (0.5 * width), -60.0, 60.0)))
