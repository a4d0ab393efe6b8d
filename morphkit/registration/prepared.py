"""What registration computes once per template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from morphkit.geometry.laplacian import uniform_laplacian
from morphkit.geometry.topology import connected_components
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration.control import ControlMesh, MeshMatrix, control_meshes, mesh_matrix
from morphkit.registration.settings import RegistrationSettings
from morphkit.registration.sparse_cholesky import CholeskyPlan

LOOSE = -1
"""The component number of vertices of no triangle."""

_SMALL_COMPONENT = 0.2
_SHELTERED = 4.0


@dataclass(frozen=True, eq=False)
class Bending:
    """The squared uniform Laplacian, and the plan for systems with it."""

    matrix: MeshMatrix
    plan: CholeskyPlan


@dataclass(frozen=True, eq=False)
class PreparedTemplate:
    """A template, and what every registration of it needs.

    Attributes
    ----------
    mesh : the template's mesh.
    controls : the thinned templates of the coarse stage, coarsest first; none for the method "nicp".
    passive : (v,) vertices that follow their surroundings instead of the scan: eyeballs, other small parts,
        and the sockets behind them.
    components : (v,) component numbers; -1 for vertices of no triangle.
    bending : of the fine stage.
    """

    mesh: Mesh
    controls: tuple[ControlMesh, ...]
    passive: Bool[np.ndarray, " v"]
    components: Int[np.ndarray, " v"]
    bending: Bending


@dataclass(frozen=True, eq=False)
class LandmarkPairs:
    """Landmarks that both the template and the scan have.

    Attributes
    ----------
    names : of the n landmarks.
    face_indices, barycentrics : (n,) and (n, 3), where they lie on the template.
    source : (n, 3) on the template.
    target : (n, 3) on the scan.
    deviations : (n,) standard deviation per axis of the scan's, or NaN where not known.
    covariances : (n, 3, 3) of the scan's, or None.
    """

    names: tuple[str, ...]
    face_indices: Int[np.ndarray, " n"]
    barycentrics: Float[np.ndarray, "n 3"]
    source: Float[np.ndarray, "n 3"]
    target: Float[np.ndarray, "n 3"]
    deviations: Float[np.ndarray, " n"]
    covariances: Float[np.ndarray, "n 3 3"] | None = None


def prepare_template(template: Template, settings: RegistrationSettings) -> PreparedTemplate:
    """Return the prepared template; the last two are kept, for a batch needs the same one each time."""
    eyes = template.masks.get("eyes")
    return _prepare(template.mesh, _Identity(eyes), settings)


class _Identity:
    """Makes an array usable as a cache key: the same object is the same key."""

    def __init__(self, array: np.ndarray | None) -> None:
        self.array = array

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.array is self.array


@lru_cache(maxsize=2)
def _prepare(mesh: Mesh, eyes: _Identity, settings: RegistrationSettings) -> PreparedTemplate:
    vertices, faces, count = mesh.vertices, mesh.faces, len(mesh.vertices)
    components = connected_components(faces, count)
    sizes = np.bincount(components)
    loose = ~np.isin(np.arange(count), faces)
    passive = (sizes < _SMALL_COMPONENT * sizes.max())[components] | loose
    components = np.where(loose, LOOSE, components)
    if eyes.array is not None:
        passive |= eyes.array
    passive |= _sheltered(vertices, components, passive)
    laplacian = uniform_laplacian(faces, count)
    bending = mesh_matrix(sparse.csc_array(laplacian @ laplacian))
    controls: tuple[ControlMesh, ...] = ()
    if settings.method != "nicp":
        controls = control_meshes(vertices, faces, components, passive, settings.coarse)
    return PreparedTemplate(
        mesh=mesh,
        controls=controls,
        passive=passive,
        components=components,
        bending=Bending(bending, CholeskyPlan(bending.edges, vertices)),
    )


def _sheltered(vertices: np.ndarray, components: np.ndarray, passive: np.ndarray) -> np.ndarray:
    """Return the vertices close behind a passive part: a scan, which has no sockets, would pull them out."""
    sheltered = np.zeros(len(vertices), dtype=bool)
    for component in np.unique(components[passive & (components != LOOSE)]):
        part = vertices[passive & (components == component)]
        near = np.asarray(cKDTree(part).query(vertices)[0]) < _SHELTERED
        sheltered |= near & (vertices[:, 2] < part[:, 2].mean())
    return sheltered


def pair_landmarks(template: Template, landmarks: Landmarks) -> LandmarkPairs | None:
    """Return the landmarks common to both by name; None when there are none."""
    known: dict[str, tuple[int, np.ndarray]] = {}
    for embedding in template.landmarks.values():
        for name, face, weights in zip(
            embedding.names, embedding.face_indices, embedding.barycentrics, strict=True
        ):
            known.setdefault(name, (int(face), weights))
    rows = [
        i
        for i, name in enumerate(landmarks.names)
        if name in known and np.isfinite(landmarks.points[i]).all()
    ]
    if not rows:
        return None
    names = tuple(landmarks.names[i] for i in rows)
    face_indices = np.array([known[name][0] for name in names])
    corners = template.mesh.faces[face_indices]
    weights = np.array([known[name][1] for name in names], dtype=np.float64)
    deviations = landmarks.standard_deviations
    return LandmarkPairs(
        names=names,
        face_indices=face_indices,
        barycentrics=weights,
        source=np.einsum("nk,nkd->nd", weights, template.mesh.vertices[corners]),
        target=landmarks.points[rows].astype(np.float64),
        deviations=np.full(len(rows), np.nan) if deviations is None else deviations[rows].astype(np.float64),
        covariances=None if landmarks.covariances is None else landmarks.covariances[rows],
    )
