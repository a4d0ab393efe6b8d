"""LYHM, the Liverpool-York Head Model (Dai et al. 2019), in MATLAB's format.

Structs ``shp`` and ``tex`` with ``mu``, ``eigVec`` (orthonormal columns) and ``eigVal`` (variances, maybe of
more components than there are columns), and ``tri`` with ``faces`` counted from one, clockwise from outside.
Millimetres, and colours in 0..1; a file of another size is scaled, and says so.
"""

from __future__ import annotations

from morphkit.archive.layouts import _mat
from morphkit.archive.layouts._mat_groups import outward, read_faces, read_group, read_mean, unit_of
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel

KEY = "lyhm"
_LICENCE = "LYHM: for research, non-commercial, no redistribution; ask the University of York"


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's structs."""
    return {"shp", "tri"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        mean = read_mean(mat, "shp/mu")
        unit, scale, notes = unit_of(mean, "millimetres")
        identity = read_group(mat, mean, "shp/eigVec", "shp/eigVal", variances=True, scale=scale)
        albedo = None
        if mat.has("tex/mu"):
            colors = read_mean(mat, "tex/mu")
            albedo = read_group(mat, colors, "tex/eigVec", "tex/eigVal", variances=True)
        count = len(mean) // 3
        faces = read_faces(mat, "tri/faces", count, first=1, swap=True)
        faces, turned = outward(faces, mean)
    if albedo is not None and len(albedo.model.mean) != count:
        raise source.bad(f"tex/mu has {len(albedo.model.mean)} vertices, shp/mu {count}")
    groups = {"identity": identity, "albedo": albedo}
    notes += turned + [f"{name}: {note}" for name, group in groups.items() if group for note in group.notes]
    return MorphableModel(
        faces,
        identity.model,
        albedo=albedo.model if albedo else None,
        provenance={
            "source": source.path.name,
            "layout": KEY,
            "unit": unit,
            "albedo_color_space": "sRGB (not stated). Used as if it were linear.",
            "licence": _LICENCE,
            **({"read_notes": notes} if notes else {}),
        },
    )
