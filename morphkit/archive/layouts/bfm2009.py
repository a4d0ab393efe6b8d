"""The Basel Face Model 2009 in MATLAB's format: ``01_MorphableModel.mat`` (Paysan et al. 2009).

``shapeMU`` and ``texMU`` are means, ``shapePC`` and ``texPC`` orthonormal columns, ``shapeEV`` and ``texEV``
standard deviations (not variances, as the names may suggest): instance = MU + PC (EV ⊙ c). Micrometres, and
colours in 0..255. ``tl`` are triangles counted from one, clockwise from outside. The frame is ours: y up, the
face towards +z. ``segbin`` are the four segments of the segmented model, one column each.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphkit.archive.layouts import _mat
from morphkit.archive.layouts._mat_heads import HeadNames, read_head
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel

KEY = "bfm2009"
LICENCE = (
    "Basel Face Model 2009: for research, non-commercial, no redistribution; ask the University of Basel"
)
_NAMES = HeadNames(
    shape=("shapeMU", "shapePC", "shapeEV"),
    texture=("texMU", "texPC", "texEV"),
    faces="tl",
    variances=False,
    unit="micrometres",
    white=255.0,
)


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's variables."""
    return {"shapeMU", "shapePC", "shapeEV", "tl"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        model = read_head(source, mat, _NAMES, layout=KEY, licence=LICENCE)
        return replace(model, masks=_segments(mat, model.n_vertices))


def _segments(mat: _mat.MatReader, count: int) -> dict[str, np.ndarray]:
    """Return the segments as masks, named by the numbers of their columns, where there are any."""
    if not mat.has("segbin"):
        return {}
    table = mat.table("segbin")
    if table.shape[0] != count or not 0 < table.shape[1] <= 16:
        return {}
    return {f"segment{j + 1}": table[:, j] != 0 for j in range(table.shape[1])}
