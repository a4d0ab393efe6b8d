"""Pictures of registrations and of a model's modes, for reports and for eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from morphkit.basis import compactness
from morphkit.export.openings import Openings
from morphkit.geometry.views import Shading, render_view, turn
from morphkit.io.color import srgb_to_linear
from morphkit.mesh import Mesh
from morphkit.morphable import LinearModel, MorphableModel

HEAT_LIMIT = 1.0  # millimetres at the upper end of the distance scale
HEAT_MAP = "viridis"
SHAPE_REACH = 3.0  # standard deviations
ALBEDO_REACH = 2.0  # beyond which few scans' colours leave 0..1

Sphere = tuple[np.ndarray, float]  # centre and radius, millimetres

_SCAN_COLOR = (0.62, 0.36, 0.24)
_MESH_COLOR = (0.16, 0.34, 0.55)
_TURNED = turn(yaw=0.7)
_TOGETHER = 0.4  # of a scan's vertices lie around the registered mesh, unless it was lost


@dataclass(frozen=True, eq=False)
class ModeStrip:
    """One mode of a model, in pictures.

    Attributes
    ----------
    image : (h, 6h, 3) uint8 sRGB: -`reach`, 0 and +`reach` from the front, then the same turned.
    reach : in standard deviations.
    share : of the group's variance, 0..1.
    """

    image: UInt8[np.ndarray, "h w 3"]
    reach: float
    share: float


def registration_strip(
    scan: Mesh,
    registered: Mesh,
    distances: Float[np.ndarray, " v"],
    rotation: Float[np.ndarray, "3 3"],
    *,
    size: int = 280,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return four pictures side by side: scan, registered mesh, one laid over the other, distances.

    Parameters
    ----------
    scan, registered : in one frame.
    distances : (v,) of the registered vertices to the scan, millimetres; NaN where the scan has no data.
    rotation : (3, 3) from that frame to the head frame.
    size : height in pixels.
    """
    frame = _common_sphere(registered.vertices, scan.vertices)
    plain = Mesh(registered.vertices, registered.faces)
    heat = replace(plain, colors=heat_colors(distances))
    pictures = (
        (scan, rotation),
        (plain, rotation),
        (_overlay(scan, plain), _TURNED @ rotation),
        (heat, rotation),
    )
    return np.concatenate([_picture(mesh, way, frame, size) for mesh, way in pictures], axis=1)


def scan_strip(scan: Mesh, *, size: int = 280) -> UInt8[np.ndarray, "h w 3"]:
    """Return four pictures side by side of a scan in any pose: from the front, both sides and behind.

    Vertices that are not numbers are left out.
    """
    known = np.isfinite(scan.vertices).all(axis=1)
    kept = known[scan.faces].all(axis=1)
    seen = scan.vertices[scan.faces[kept]].reshape(-1, 3)
    mesh = replace(
        scan,
        vertices=np.where(known[:, None], scan.vertices, seen.mean(axis=0)),
        faces=scan.faces[kept],
        uv=None if scan.uv is None else scan.uv[kept],
    )
    middle = np.median(seen, axis=0)  # stray pieces far away must not shrink the face to a dot
    frame = middle, 1.2 * float(np.quantile(np.linalg.norm(seen - middle, axis=1), 0.98))
    ways = (turn(yaw=yaw) for yaw in (0.0, 0.5 * np.pi, -0.5 * np.pi, np.pi))
    return np.concatenate([_picture(mesh, way, frame, size) for way in ways], axis=1)


def portrait(
    mesh: Mesh, rotation: Float[np.ndarray, "3 3"] | None = None, *, size: int = 240
) -> UInt8[np.ndarray, "h w 3"]:
    """Return one picture of a mesh that fills it, in its own colours if it has any."""
    return _picture(mesh, rotation, _sphere(mesh.vertices), size)


def contact_sheet(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int) -> UInt8[np.ndarray, "r c 3"]:
    """Return equally large pictures in rows of `columns`, the last row filled up with white."""
    blank = np.full_like(pictures[0], 255)
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)]
    return np.concatenate(rows)


def heat_colors(distances: Float[np.ndarray, " v"], limit: float = HEAT_LIMIT) -> Float[np.ndarray, "v 3"]:
    """Return linear RGB (float32) for distances in 0..`limit` millimetres; NaN stays NaN."""
    encoded = matplotlib.colormaps[HEAT_MAP](np.nan_to_num(distances) / limit)[:, :3]
    linear = srgb_to_linear(encoded)
    linear[~np.isfinite(distances)] = np.nan
    return linear.astype(np.float32)


def shape_modes(model: MorphableModel, count: int = 5, *, size: int = 240) -> tuple[ModeStrip, ...]:
    """Return the first `count` modes of a model's identity, as clay."""
    group = model.identity
    ends = [[Mesh(v, model.faces) for v in _ends(group, k, SHAPE_REACH)] for k in range(_count(group, count))]
    mean = Mesh(group.instance(np.zeros(0)), model.faces)
    return _mode_strips(group, mean, ends, SHAPE_REACH, size)


def expression_modes(model: MorphableModel, count: int = 4, *, size: int = 240) -> tuple[ModeStrip, ...]:
    """Return the first expression modes on the mean shape, as clay; empty for a model without expressions."""
    group = model.expression
    if group is None:
        return ()
    at_rest = model.identity.mean
    ends = [
        [Mesh(at_rest + offset, model.faces) for offset in _ends(group, k, SHAPE_REACH)]
        for k in range(_count(group, count))
    ]
    mean = Mesh(at_rest + group.instance(np.zeros(0)), model.faces)
    return _mode_strips(group, mean, ends, SHAPE_REACH, size)


def albedo_modes(model: MorphableModel, count: int = 3, *, size: int = 240) -> tuple[ModeStrip, ...]:
    """Return the first `count` albedo modes on the mean shape; empty for a model without albedo."""
    group = model.albedo
    if group is None:
        return ()
    mean = replace(model.mesh(), uv=None)
    ends = [
        [replace(mean, colors=np.clip(c, 0, 1).astype(np.float32)) for c in _ends(group, k, ALBEDO_REACH)]
        for k in range(_count(group, count))
    ]
    return _mode_strips(group, mean, ends, ALBEDO_REACH, size)


def mean_head(model: MorphableModel, *, size: int = 420) -> UInt8[np.ndarray, "h w 3"]:
    """Return the mean from the front and turned, in its albedo's colours if it has any."""
    mesh = replace(model.mesh(), uv=None)
    mesh = Openings.of(mesh.vertices, mesh.faces).closed(mesh)
    frame = _sphere(mesh.vertices)
    return np.concatenate([_picture(mesh, way, frame, size) for way in (None, _TURNED)], axis=1)


def _mode_strips(
    group: LinearModel, mean: Mesh, ends: list[list[Mesh]], reach: float, size: int
) -> tuple[ModeStrip, ...]:
    """Return a strip for each mode's two ends, all in one frame; the mean between them is drawn once."""
    openings = Openings.of(mean.vertices, mean.faces)
    mean, ends = openings.closed(mean), [[openings.closed(mesh) for mesh in pair] for pair in ends]
    shown = [mean, *(mesh for pair in ends for mesh in pair)]
    frame = _sphere(np.concatenate([mesh.vertices for mesh in shown]))
    ways = (None, _TURNED)
    middle = [_picture(mean, way, frame, size) for way in ways]
    shares = np.diff(compactness(group), prepend=0.0)
    strips = []
    for (low, high), share in zip(ends, shares, strict=False):
        views = [
            view
            for way, mean_view in zip(ways, middle, strict=True)
            for view in (_picture(low, way, frame, size), mean_view, _picture(high, way, frame, size))
        ]
        strips.append(ModeStrip(np.concatenate(views, axis=1), reach, float(share)))
    return tuple(strips)


def _picture(mesh: Mesh, rotation: np.ndarray | None, frame: Sphere, size: int) -> UInt8[np.ndarray, "h w 3"]:
    shading: Shading = "shaded" if mesh.colors is None and mesh.texture is None else "lit"
    centre, radius = frame
    return render_view(
        mesh, rotation, size=size, centre=centre, radius=radius, shading=shading, supersampling=2
    ).image


def _ends(group: LinearModel, mode: int, reach: float) -> list[Float[np.ndarray, "v 3"]]:
    """Return instances at -reach and +reach standard deviations of one mode."""
    direction = np.zeros(mode + 1)
    direction[mode] = reach
    return [group.instance(sign * direction) for sign in (-1, 1)]


def _count(group: LinearModel, most: int) -> int:
    return min(most, group.n_components)


def _sphere(vertices: Float[np.ndarray, "n 3"]) -> Sphere:
    """Return a sphere that holds all vertices."""
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    return centre, float(np.linalg.norm(vertices - centre, axis=1).max())


def _common_sphere(registered: Float[np.ndarray, "n 3"], scan: Float[np.ndarray, "m 3"]) -> Sphere:
    """Return a sphere around the registered mesh, and around the scan too where they have missed each other.

    Shoulders and hair are left outside.
    """
    centre, radius = _sphere(registered)
    missed = (np.linalg.norm(scan - centre, axis=1) < radius).mean() < _TOGETHER
    return _sphere(np.concatenate([registered, scan])) if missed else (centre, radius)


def _overlay(first: Mesh, second: Mesh) -> Mesh:
    """Return both meshes as one, each in its own colour: where they agree, the colours mix at random."""
    colors = [
        np.tile(np.array(c, np.float32), (len(m.vertices), 1))
        for m, c in ((first, _SCAN_COLOR), (second, _MESH_COLOR))
    ]
    faces = np.concatenate([first.faces, second.faces + len(first.vertices)]).astype(np.int32)
    return Mesh(np.concatenate([first.vertices, second.vertices]), faces, np.concatenate(colors))
