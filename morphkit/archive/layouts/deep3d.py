"""The crop of the Basel Face Model 2009 that Deng et al. 2019 and many others use: ``BFM_model_front.mat``.

Y. Deng, J. Yang, S. Xu, D. Chen, Y. Jia, X. Tong, *Accurate 3D Face Reconstruction with Weakly-Supervised
Learning*, CVPR Workshops 2019; their tools make it out of ``01_MorphableModel.mat`` and an expression basis.
``meanshape`` and ``meantex`` are means, ``idBase``, ``exBase`` and ``texBase`` columns that are multiplied by
the standard deviations already and, the face being a crop, not orthogonal: instance = meanshape + idBase α +
exBase β. Units of ten centimetres, and colours in 0..255. ``tri`` and the 68 ``keypoints`` are counted from
one, ``skinmask`` is a flag for each vertex. Left out is what only their training needs (``point_buf``,
``tri_mask2``, ``frontmask2_idx``).
"""

from __future__ import annotations

import numpy as np

from morphkit.archive.layouts import _mat, bfm2009
from morphkit.archive.layouts._columns import vertex_embedding
from morphkit.archive.layouts._groups import Group, linear_group
from morphkit.archive.layouts._mat_groups import outward, read_faces, read_mean
from morphkit.archive.source import ModelSource
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel

KEY = "deep3d"
_MILLIMETRES = 100.0


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's variables."""
    return {"meanshape", "idBase", "exBase", "tri"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        mean = read_mean(mat, "meanshape")
        groups = {
            "identity": _scaled_group(mat, mean, "idBase", _MILLIMETRES),
            "expression": _scaled_group(mat, np.zeros_like(mean), "exBase", _MILLIMETRES),
        }
        if mat.has("meantex") and mat.has("texBase"):
            groups["albedo"] = _scaled_group(mat, read_mean(mat, "meantex"), "texBase", 1 / 255)
        count = len(mean) // 3
        faces, notes = outward(read_faces(mat, "tri", count, first=1, swap=False), mean)
        landmarks = _keypoints(mat, faces, count)
        masks = _skin(mat, count)
    albedo = groups.get("albedo")
    if albedo is not None and len(albedo.model.mean) != count:
        raise source.bad(f"meantex has {len(albedo.model.mean)} vertices, meanshape {count}")
    notes += [f"{name}: {note}" for name, group in groups.items() for note in group.notes]
    return MorphableModel(
        faces,
        groups["identity"].model,
        expression=groups["expression"].model,
        albedo=None if albedo is None else albedo.model,
        landmarks=landmarks,
        masks=masks,
        provenance={
            "source": source.path.name,
            "layout": KEY,
            "unit": "decimetres",
            "albedo_color_space": "sRGB (not stated). Used as if it were linear.",
            "licence": bfm2009.LICENCE,
            **({"read_notes": notes} if notes else {}),
        },
    )


def _scaled_group(mat: _mat.MatReader, mean: np.ndarray, columns: str, scale: float) -> Group:
    basis = mat.columns(columns, len(mean))
    return linear_group(mean * scale, basis, np.full(basis.shape[1], scale))


def _keypoints(mat: _mat.MatReader, faces: np.ndarray, count: int) -> dict[str, LandmarkEmbedding]:
    """Return the 68 landmarks, which lie on vertices, in iBUG's order."""
    if not mat.has("keypoints"):
        return {}
    vertices = mat.vector("keypoints").astype(np.int64) - 1
    if len(vertices) != 68:
        return {}
    if vertices.min() < 0 or vertices.max() >= count:
        raise mat.bad(f"keypoints refer to vertices {vertices.min()}..{vertices.max()} of {count}")
    embedding = vertex_embedding(tuple(map(str, range(68))), vertices, faces)
    return {"ibug68": embedding} if embedding.names else {}


def _skin(mat: _mat.MatReader, count: int) -> dict[str, np.ndarray]:
    if not mat.has("skinmask"):
        return {}
    flags = mat.vector("skinmask")
    return {"skin": flags > 0.5} if len(flags) == count else {}
