"""Things before a face, as triangles in the head frame: glasses, a hand, a microphone. Millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Prop:
    """A thing of one colour: (n, 3) vertices, (f, 3) faces, linear albedo; `opacity` below 1 is a lens."""

    vertices: np.ndarray
    faces: np.ndarray
    albedo: tuple[float, float, float]
    opacity: float = 1.0


_DARK, _STEEL = (0.02, 0.02, 0.02), (0.25, 0.25, 0.27)


def glasses(marks: np.ndarray, *, dark: bool) -> list[Prop]:
    """Return a frame and two lenses before the eyes of a head with 68 landmarks; dark ones hide the eyes."""
    centers = [marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)]
    front = max(marks[27, 2] + 3.0, max(center[2] for center in centers) + 14.0)
    props, bridge = [], []
    for center, side in zip(centers, (-1.0, 1.0), strict=True):
        middle = np.array([center[0] + side * 1.5, center[1] - 3.0, front - 3.0])
        rim = _rim(middle, 27.0, 21.0)
        props.append(_tube(np.vstack([rim, rim[:1]]), 1.6, _DARK))
        hinge = middle + np.array([side * 27.0, 6.0, 0.0])
        ear = np.array([marks[0 if side < 0 else 16, 0] + side * 4.0, center[1] + 4.0, center[2] - 75.0])
        props.append(_tube(np.linspace(hinge, ear, 12), 1.8, _DARK))
        lens = (0.015, 0.015, 0.02) if dark else (0.9, 0.93, 1.0)
        props.append(Prop(*_disc(middle, rim), lens, 0.93 if dark else 0.18))
        bridge.append(middle - [side * 27.0, -5.0, 0.0])
    props.append(_tube(np.linspace(bridge[0], bridge[1], 6) + _bump(6, 2.0), 1.6, _DARK))
    return props


def hand(marks: np.ndarray, skin: np.ndarray, *, on: str) -> list[Prop]:
    """Return four fingers and a palm, over the mouth or along the subject's left cheek and jaw."""
    albedo = (float(skin[0]), float(skin[1]), float(skin[2]))
    if on == "mouth":
        tip, along, across = marks[51] + [-28.0, 0.0, 10.0], np.array([1.0, -0.25, -0.25]), [0.2, -1.0, -0.1]
    else:
        tip, along, across = marks[14] + [-14.0, 42.0, 30.0], np.array([0.25, -1.0, -0.1]), [-0.8, -0.1, 0.7]
    along, across = along / np.linalg.norm(along), np.array(across) / np.linalg.norm(across)
    lengths = (0.0, -8.0, -5.0, 8.0)  # how far each finger stays behind the longest
    fingers = [tip + 15.5 * k * across + max(lengths[k], -8.0) * along for k in range(4)]
    props = [_tube(np.linspace(root, root + 75.0 * along, 16), 8.2, albedo, capped=True) for root in fingers]
    palm = tip + 110.0 * along + 23.0 * across
    props.append(
        Prop(*_ellipsoid(palm, np.array([along, across, np.cross(along, across)]), (50, 42, 16)), albedo)
    )
    return props


def microphone(marks: np.ndarray) -> list[Prop]:
    """Return a ball before the chin and lower lip, and its handle."""
    ball = marks[57] + [6.0, -22.0, 36.0]
    handle = np.linspace(ball, ball + np.array([22.0, -170.0, 60.0]), 20)
    return [Prop(*_ellipsoid(ball, np.eye(3), (24, 24, 24)), _STEEL), _tube(handle, 13.0, _DARK, capped=True)]


def _rim(middle: np.ndarray, width: float, height: float, n: int = 48) -> np.ndarray:
    """Return a rounded rectangle (a superellipse of exponent 3) in a plane of constant depth."""
    angle = np.arange(n) * 2 * np.pi / n
    c, s = np.cos(angle), np.sin(angle)
    shape = [width * np.sign(c) * abs(c) ** (2 / 3), height * np.sign(s) * abs(s) ** (2 / 3), 0 * c]
    return middle + np.stack(shape, axis=1)


def _bump(n: int, height: float) -> np.ndarray:
    arc = np.sin(np.linspace(0, np.pi, n)) * height
    return np.stack([0 * arc, arc, arc], axis=1)


def _disc(middle: np.ndarray, rim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a slightly domed fan within a rim."""
    n = len(rim)
    ring = np.arange(n)
    faces = np.stack([np.full(n, n), ring, (ring + 1) % n], axis=1)
    return np.vstack([rim, middle + np.array([0.0, 0.0, 3.0])]), faces


def _tube(
    path: np.ndarray, radius: float, albedo: tuple[float, float, float], *, capped: bool = False, n: int = 16
) -> Prop:
    """Return a tube along a path; capped ends are rounded."""
    radii = np.full(len(path), radius)
    if capped:
        ends = radius * np.array([1.0, 0.87, 0.5])
        first, last = path[0] - path[1], path[-1] - path[-2]
        first, last = first / np.linalg.norm(first), last / np.linalg.norm(last)
        path = np.vstack([path[0] + first * ends[:, None], path, path[-1] + last * ends[::-1, None]])
        small = radius * np.array([0.05, 0.5, 0.87])
        radii = np.concatenate([small, radii, small[::-1]])
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.eye(3)[np.abs(along).sum(axis=0).argmin()]
    u = np.cross(along, helper)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(along, u)
    angle = np.arange(n) * 2 * np.pi / n
    ring = np.cos(angle)[:, None] * u[:, None] + np.sin(angle)[:, None] * v[:, None]
    vertices = (path[:, None] + radii[:, None, None] * ring).reshape(-1, 3)
    return Prop(vertices, _grid(len(path), n), albedo)


def _ellipsoid(
    middle: np.ndarray, axes: np.ndarray, radii: tuple[float, float, float], n: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return an ellipsoid; `axes` are unit rows."""
    polar, around = np.linspace(0.01, np.pi - 0.01, n), np.arange(n) * 2 * np.pi / n
    z, ring = np.cos(polar)[:, None], np.sin(polar)[:, None]
    unit = np.stack([ring * np.cos(around), ring * np.sin(around), z + 0 * around], axis=-1).reshape(-1, 3)
    return middle + (unit * radii) @ axes, _grid(n, n)


def _grid(rows: int, n: int) -> np.ndarray:
    """Return the triangles of rows of n points, each row closed."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(n), indexing="ij")
    a, b = (r * n + c).ravel(), (r * n + (c + 1) % n).ravel()
    return np.concatenate([np.stack([a, b, b + n], axis=1), np.stack([a, b + n, a + n], axis=1)])
