"""Parts of the template that do not look for the scan: eyeballs and other small components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from morphkit.geometry.procrustes import fit_similarity
from morphkit.registration.prepared import PreparedTemplate

_NEIGHBOURS = 40


def follow_surroundings(
    prepared: PreparedTemplate, vertices: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "v 3"]:
    """Return `vertices` with each wholly passive component moved with the nearest active ones.

    A similarity keeps an eyeball a ball; it is fitted, at rest against now, to the lids around it.
    """
    rest, moved = prepared.mesh.vertices, vertices.copy()
    active = np.flatnonzero(~prepared.passive)
    tree = cKDTree(rest[active])
    for component in np.unique(prepared.components[prepared.passive]):
        members = prepared.components == component
        if not prepared.passive[members].all():
            continue
        near = active[np.unique(tree.query(rest[members], min(3, len(active)))[1])]
        if len(near) < _NEIGHBOURS:
            near = active[tree.query(rest[members].mean(axis=0), min(_NEIGHBOURS, len(active)))[1]]
        moved[members] = fit_similarity(rest[near], vertices[near]).apply(rest[members])
    return moved
