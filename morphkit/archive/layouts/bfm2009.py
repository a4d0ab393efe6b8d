"""The Basel Face Model 2009 in MATLAB's format: ``01_MorphableModel.mat`` (Paysan et al. 2009).

``shapeMU`` and ``texMU`` are means, ``shapePC`` and ``texPC`` orthonormal columns, ``shapeEV`` and ``texEV``
standard deviations (not variances, as the names may suggest): instance = MU + PC (EV ⊙ c). Micrometres, and
colours in 0..255. ``tl`` are triangles counted from one, clockwise from outside. The frame is ours: y up, the
face towards +z. ``segbin`` are the four segments of the segmented model, one column each.
"""

from __future__ import annotations

import numpy as np

from morphkit.archive.layouts import _mat
from morphkit.archive.layouts._mat_groups import outward, read_faces, read_group, read_mean, unit_of
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel

KEY = "bfm2009"
LICENCE = (
    "Basel Face Model 2009: for research, non-commercial, no redistribution; ask the University of Basel"
)


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's variables."""
    return {"shapeMU", "shapePC", "shapeEV", "tl"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        mean = read_mean(mat, "shapeMU")
        unit, scale, notes = unit_of(mean, "micrometres")
        identity = read_group(mat, mean, "shapePC", "shapeEV", variances=False, scale=scale)
        albedo = None
        if mat.has("texMU"):
            colors = read_mean(mat, "texMU")
            albedo = read_group(mat, colors, "texPC", "texEV", variances=False, scale=1 / 255)
        count = len(mean) // 3
        faces = read_faces(mat, "tl", count, first=1, swap=True)
        faces, turned = outward(faces, mean)
        masks = _segments(mat, count)
    groups = {"identity": identity, "albedo": albedo}
    notes += turned + [f"{name}: {note}" for name, group in groups.items() if group for note in group.notes]
    if albedo is not None and len(albedo.model.mean) != count:
        raise source.bad(f"texMU has {len(albedo.model.mean)} vertices, shapeMU {count}")
    return MorphableModel(
        faces,
        identity.model,
        albedo=albedo.model if albedo else None,
        masks=masks,
        provenance={
            "source": source.path.name,
            "layout": KEY,
            "unit": unit,
            "albedo_color_space": "sRGB (not stated). Used as if it were linear.",
            "licence": LICENCE,
            **({"read_notes": notes} if notes else {}),
        },
    )


def _segments(mat: _mat.MatReader, count: int) -> dict[str, np.ndarray]:
    """Return the segments as masks, named by the numbers of their columns, where there are any."""
    if not mat.has("segbin"):
        return {}
    table = mat.table("segbin")
    if table.shape[0] != count or not 0 < table.shape[1] <= 16:
        return {}
    return {f"segment{j + 1}": table[:, j] != 0 for j in range(table.shape[1])}
