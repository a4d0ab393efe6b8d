"""Parts of a head beside its skin: eyeballs, teeth, gums, tongue, lashes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from morphkit.geometry.topology import connected_components
from morphkit.mesh import Mesh

_SMALL = 0.4  # of the largest part's extent: parts below lie in or on it


def small_parts(mesh: Mesh) -> Bool[np.ndarray, " v"]:
    """Return the vertices of parts that are much smaller than the largest, and of no triangle's."""
    parts = connected_components(mesh.faces, len(mesh.vertices))
    numbers = np.arange(int(parts.max(initial=-1)) + 1)
    low, high = (
        np.stack([reduce(axis, parts, numbers) for axis in mesh.vertices.T], axis=1)
        for reduce in (ndimage.minimum, ndimage.maximum)
    )
    extent = np.linalg.norm(high - low, axis=1)
    small: np.ndarray = (extent < _SMALL * extent.max(initial=0.0))[parts]
    return small
