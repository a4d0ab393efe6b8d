"""Parts of the template that do not look for the scan: eyeballs and other small components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from morphkit.geometry.procrustes import fit_similarity
from morphkit.registration.prepared import LOOSE, PreparedTemplate

_NEIGHBOURS = 40
_AROUND = 8  # of a vertex by itself


def follow_surroundings(
    prepared: PreparedTemplate, vertices: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "v 3"]:
    """Return `vertices` with each wholly passive component moved with the nearest active ones.

    A similarity keeps an eyeball a ball; it is fitted, at rest against now, to the lids around it. Vertices
    of no triangle have nothing to keep: each moves as the active ones about it do.
    """
    rest, moved = prepared.mesh.vertices, vertices.copy()
    active = np.flatnonzero(~prepared.passive)
    tree = cKDTree(rest[active])
    loose = prepared.components == LOOSE
    if loose.any():
        near = active[tree.query(rest[loose], [*range(1, min(_AROUND, len(active)) + 1)])[1]]
        moved[loose] = rest[loose] + (vertices[near] - rest[near]).mean(axis=1)
    for component in np.unique(prepared.components[prepared.passive & ~loose]):
        members = prepared.components == component
        if not prepared.passive[members].all():
            continue
        near = active[np.unique(tree.query(rest[members], min(3, len(active)))[1])]
        if len(near) < _NEIGHBOURS:
            near = active[tree.query(rest[members].mean(axis=0), min(_NEIGHBOURS, len(active)))[1]]
        moved[members] = fit_similarity(rest[near], vertices[near]).apply(rest[members])
    return moved
