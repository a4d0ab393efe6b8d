"""A model beside what became of it on another topology."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.build_pictures import contact_sheet, heat_colors, portrait
from morphkit.geometry.views import render_view, turn
from morphkit.io.images import write_image
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel
from morphkit.transfer import SurfaceMap

_SIZE = 300  # pixels, of each picture
_TURNED = turn(yaw=0.7)
_REACH = 3.0  # standard deviations of the person that is shown
_COMPONENTS = 10  # that make this person
_USUAL_UNIT = "jawopen"
_CHECKS = 32  # squares of the texture along each side
_GREYS = (210, 120)


def write_transfer_picture(
    path: Path, source: MorphableModel, result: MorphableModel, surface_map: SurfaceMap
) -> None:
    """Write a picture of two rows, the source above, the result below.

    From left to right: the mean in its colours, the mean turned, a person, an expression, the texture
    coordinates as a chequered cloth. On the right the target's own mean, and below it the distance at which
    the laid source was found, 0 to 1 mm, on the result; clay where it has no counterpart.

    Parameters
    ----------
    path : the PNG file.
    source : the model that was carried.
    result : on the target's triangles, with the source's coefficients or its own.
    surface_map : from the source to the target.
    """
    distances = np.where(surface_map.valid, surface_map.distances / surface_map.scale, np.nan)
    heat = Mesh(result.instance(), result.faces, heat_colors(distances))
    target = surface_map.target
    own = portrait(Mesh(target.vertices, target.faces), size=_SIZE)
    pictures = [*_row(source), own, *_row(result), _drawn(heat, result)]
    write_image(path, contact_sheet(pictures, columns=len(pictures) // 2))


def _row(model: MorphableModel) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return the mean, the mean turned, a person, an expression, and the chequered mean."""
    mean = model.instance()
    plain = Mesh(mean, model.faces)
    return [
        _drawn(model.mesh(), model),
        _drawn(plain, model, _TURNED),
        _drawn(Mesh(model.instance(_person(model)), model.faces), model),
        _drawn(Mesh(mean + _expressed(model), model.faces), model),
        _drawn(
            Mesh(mean, model.faces, uv=model.uv, texture=None if model.uv is None else _cloth()),
            model,
            _TURNED,
        ),
    ]


def _person(model: MorphableModel) -> Float[np.ndarray, " i"]:
    """Return some coefficients, always the same: signs alternate, so that no direction runs away."""
    count = min(_COMPONENTS, model.identity.n_components)
    return _REACH * np.resize([1.0, -1.0, -1.0, 1.0, 1.0], count) / np.sqrt(max(count, 1) / 2)


def _expressed(model: MorphableModel) -> Float[np.ndarray, "v 3"]:
    """Return the open mouth's displacements, or those of the first unit or component there is."""
    group, units = model.expression, model.expression_units
    if group is None or group.n_components == 0:
        return np.zeros((model.n_vertices, 3))
    if units is None or not units.names:
        return group.offset(np.array([_REACH]))
    plain = [name.lower().replace("_", "") for name in units.names]
    row = next((i for i, name in enumerate(plain) if _USUAL_UNIT in name), 0)
    return group.offset(units.coefficients[row])


def _drawn(
    mesh: Mesh, model: MorphableModel, rotation: Float[np.ndarray, "3 3"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of a head, framed by the mean's face."""
    mean = model.instance()
    kept = mean[model.face_mask]
    centre = 0.5 * (kept.min(axis=0) + kept.max(axis=0))
    radius = 1.25 * float(np.linalg.norm(kept - centre, axis=1).max())
    colored = mesh.colors is not None or mesh.texture is not None
    return render_view(
        mesh,
        rotation,
        size=_SIZE,
        centre=centre,
        radius=radius,
        shading="lit" if colored else "shaded",
        supersampling=2,
    ).image


def _cloth() -> UInt8[np.ndarray, "h w 3"]:
    """Return squares whose colours tell how far right and up they are."""
    side = 16 * _CHECKS
    y, x = np.mgrid[:side, :side]
    grey = np.where((x // 16 + y // 16) % 2, *_GREYS)
    red, blue = (0.5 + 0.5 * part / side for part in (x, y))
    return np.stack([grey * red, grey, grey * blue], axis=2).astype(np.uint8)
