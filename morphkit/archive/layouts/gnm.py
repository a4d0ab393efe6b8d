"""Google's GNM Head ``.npz`` (Generative aNthropometric Model, version 3, Apache 2.0).

The authors' arrays, and their formula at rest, in metres: ``template_vertex_positions`` (v, 3) +
Σ cᵢ ``vertex_identity_basis`` (i, v, 3) + Σ eⱼ ``expression_basis`` (e, v, 3); coefficients of both bases are
in standard deviations. With them come ``triangles``, ``triangle_uvs`` (f, 3, 2), ``vertex_groups`` (g, v)
of weights with their names, ``mirror_indices`` and ``expression_names``.

The frame stays the file's: nothing that is published says what it is. The vertex groups become masks (weight
over one half). Named expressions are kept as named directions, one for each component. Joints, skinning and
pose correctives are left out, as are the landmarks, which the authors keep in another file; a note says so.
"""

from __future__ import annotations

import numpy as np

from morphkit.archive.layouts._columns import points, real, scaled_group, triangles
from morphkit.archive.layouts._npy import Arrays, open_arrays
from morphkit.archive.layouts._npz_groups import read_columns
from morphkit.archive.source import ModelSource
from morphkit.directions import NamedDirections
from morphkit.morphable import LinearModel, MorphableModel

_NEEDED = {"template_vertex_positions.npy", "vertex_identity_basis.npy"}
_METRES = 1000.0
_NOTE = "joints at rest: joints, pose correctives and skinning left out; the landmarks are in another file"


def recognises(source: ModelSource) -> bool:
    """Whether it is an archive with the template and the identity basis of the GNM."""
    return source.zip_names >= _NEEDED


def read(source: ModelSource) -> MorphableModel:
    """Return the linear part of the model; see `morphkit.archive.load_model`."""
    with open_arrays(source) as arrays:
        mean = points(source, arrays.array("template_vertex_positions"), "the template", _METRES)
        faces = triangles(source, arrays.array("triangles"), len(mean), "triangles")
        expression = None
        if "expression_basis" in arrays:
            expression = _group(arrays, np.zeros_like(mean), "expression_basis")
        return MorphableModel(
            faces=faces,
            identity=_group(arrays, mean, "vertex_identity_basis"),
            expression=expression,
            expression_units=_names(arrays, expression),
            uv=_uv(arrays, len(faces)),
            masks=_masks(arrays, len(mean)),
            mirror=_mirror(arrays, len(mean)),
            provenance={
                "source": source.path.name,
                "layout": "gnm",
                "unit": "metres",
                "licence": "GNM: Apache 2.0, (c) Google",
                "read_notes": [_NOTE],
            },
        )


def _group(arrays: Arrays, mean: np.ndarray, name: str) -> LinearModel:
    columns = read_columns(arrays, name, mean.size, None)
    columns *= np.float32(_METRES)
    return scaled_group(mean, columns)


def _names(arrays: Arrays, expression: LinearModel | None) -> NamedDirections | None:
    if expression is None or "expression_names" not in arrays:
        return None
    names = arrays.texts("expression_names")
    if len(names) != expression.n_components:
        raise arrays.source.bad(f"it has {len(names)} names for {expression.n_components} expressions")
    return NamedDirections(names, np.eye(len(names)))


def _uv(arrays: Arrays, face_count: int) -> np.ndarray | None:
    if "triangle_uvs" not in arrays:
        return None
    uv = real(arrays.source, arrays.array("triangle_uvs"), "triangle_uvs")
    if uv.shape != (face_count, 3, 2):
        raise arrays.source.bad(f"triangle_uvs has the shape {uv.shape}, not {(face_count, 3, 2)}")
    return np.ascontiguousarray(uv)


def _masks(arrays: Arrays, vertex_count: int) -> dict[str, np.ndarray]:
    if "vertex_groups" not in arrays or "vertex_group_names" not in arrays:
        return {}
    weights, names = arrays.array("vertex_groups"), arrays.texts("vertex_group_names")
    if weights.shape != (len(names), vertex_count) or weights.dtype.kind not in "fiub":
        raise arrays.source.bad(
            f"vertex_groups has the shape {weights.shape}, not {(len(names), vertex_count)}"
        )
    return {name: row > 0.5 for name, row in zip(names, weights, strict=True)}


def _mirror(arrays: Arrays, vertex_count: int) -> np.ndarray | None:
    if "mirror_indices" not in arrays:
        return None
    values = arrays.array("mirror_indices")
    if values.shape != (vertex_count,) or values.dtype.kind not in "iu":
        raise arrays.source.bad(f"mirror_indices has the shape {values.shape}, not {(vertex_count,)}")
    if not 0 <= int(values.min()) <= int(values.max()) < vertex_count:
        raise arrays.source.bad(f"mirror_indices refers to vertices beyond {vertex_count}")
    return values.astype(np.int32)
