"""LYHM, the Liverpool-York Head Model (Dai et al. 2019), in MATLAB's format.

Structs ``shp`` and ``tex`` with ``mu``, ``eigVec`` (orthonormal columns) and ``eigVal`` (variances, maybe of
more components than there are columns), and ``tri`` with ``faces`` counted from one, clockwise from outside.
Millimetres, and colours in 0..1; a file of another size is scaled, and says so.
"""

from __future__ import annotations

from morphkit.archive.layouts import _mat
from morphkit.archive.layouts._mat_heads import HeadNames, read_head
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel

KEY = "lyhm"
_LICENCE = "LYHM: for research, non-commercial, no redistribution; ask the University of York"
_NAMES = HeadNames(
    shape=("shp/mu", "shp/eigVec", "shp/eigVal"),
    texture=("tex/mu", "tex/eigVec", "tex/eigVal"),
    faces="tri/faces",
    variances=True,
    unit="millimetres",
    white=1.0,
)


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's structs."""
    return {"shp", "tri"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        return read_head(source, mat, _NAMES, layout=KEY, licence=_LICENCE)
