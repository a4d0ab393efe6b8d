"""A template's landmarks as vertex numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int

from morphkit.errors import BadInputError
from morphkit.io.landmarks.files import reason
from morphkit.io.landmarks.plain import load_json
from morphkit.mesh import LandmarkEmbedding


def read_landmark_indices(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read which vertices of a template are landmarks.

    Parameters
    ----------
    path : a ``.json`` with ``{"landmarks68": [vertex, ...]}`` (named "0".."67", iBUG's order) or
        ``{"name": vertex, ...}``.

    Returns
    -------
    dict
        Vertex index by landmark name.

    Raises
    ------
    BadInputError
        If the file is missing or holds nothing of the kind.
    """
    source = Path(path)
    try:
        content = load_json(source)
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{source} cannot be read as landmark indices: {reason(error)}.") from error
    if isinstance(content, dict):
        values = content.get("landmarks68", content)
        if isinstance(values, list):
            values = dict(enumerate(values))
        indices = {str(k): v for k, v in values.items()} if isinstance(values, dict) else {}
        if indices and all(type(value) is int and value >= 0 for value in indices.values()):
            return indices
    raise BadInputError(
        f"{source} holds no vertex indices; "
        'write {"landmarks68": [68 vertex numbers]} or {"name": vertex, ...}.'
    )


def vertex_embedding(indices: Mapping[str, int], faces: Int[np.ndarray, "f 3"]) -> LandmarkEmbedding:
    """Return landmarks that lie on vertices as an embedding: a triangle at that vertex, weight one.

    Raises
    ------
    ValueError
        If a vertex belongs to no triangle.
    """
    flat = faces.reshape(-1)
    order = np.argsort(flat, kind="stable")
    wanted = np.array(list(indices.values()), np.int64)
    place = np.searchsorted(flat, wanted, sorter=order)
    found = place < len(flat)
    found[found] = flat[order[place[found]]] == wanted[found]
    if not found.all():
        name = list(indices)[int(np.argmin(found))]
        raise ValueError(f"landmark {name!r} is at vertex {indices[name]}, which belongs to no triangle")
    corner = order[place]
    return LandmarkEmbedding(tuple(indices), (corner // 3).astype(np.int32), np.eye(3)[corner % 3])
