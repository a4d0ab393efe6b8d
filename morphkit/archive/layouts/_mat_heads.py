"""The two .mat layouts of whole heads with colours, BFM 2009 and LYHM, which differ in names and units."""

from __future__ import annotations

from dataclasses import dataclass

from morphkit.archive.layouts._mat import MatReader
from morphkit.archive.layouts._mat_groups import outward, read_faces, read_group, read_mean, unit_of
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel


@dataclass(frozen=True)
class HeadNames:
    """How a layout calls and counts things.

    Attributes
    ----------
    shape, texture : paths of a group's mean, basis and spread.
    faces : path of the triangles, counted from one, clockwise from outside.
    variances : whether the spreads are variances; else standard deviations.
    unit : the usual one of the shapes.
    white : the value of a colour that is full.
    """

    shape: tuple[str, str, str]
    texture: tuple[str, str, str]
    faces: str
    variances: bool
    unit: str
    white: float


def read_head(
    source: ModelSource, mat: MatReader, names: HeadNames, *, layout: str, licence: str
) -> MorphableModel:
    """Return the model; a file of another unit is scaled, and says so.

    Parameters
    ----------
    source, mat : the file, and its open reader.
    names : how the layout calls things.
    layout, licence : for the provenance.

    Raises
    ------
    BadInputError
        If a variable is missing, or does not fit the others.
    """
    mean_name, *spread_names = names.shape
    mean = read_mean(mat, mean_name)
    unit, scale, notes = unit_of(mean, names.unit)
    groups = {"identity": read_group(mat, mean, *spread_names, variances=names.variances, scale=scale)}
    if mat.has(names.texture[0]):
        colors_name, *spread_names = names.texture
        colors = read_mean(mat, colors_name)
        if len(colors) != len(mean):
            raise source.bad(f"{colors_name} has {len(colors) // 3} vertices, {mean_name} {len(mean) // 3}")
        groups["albedo"] = read_group(
            mat, colors, *spread_names, variances=names.variances, scale=1 / names.white
        )
    faces, turned = outward(read_faces(mat, names.faces, len(mean) // 3, first=1, swap=True), mean)
    notes += turned + [f"{name}: {note}" for name, group in groups.items() for note in group.notes]
    return MorphableModel(
        faces,
        groups["identity"].model,
        albedo=groups["albedo"].model if "albedo" in groups else None,
        provenance={
            "source": source.path.name,
            "layout": layout,
            "unit": unit,
            "albedo_color_space": "sRGB (not stated). Used as if it were linear.",
            "licence": licence,
            **({"read_notes": notes} if notes else {}),
        },
    )
