"""Thinned copies of the template on which the coarse stage works, and the way back to every vertex.

A displacement costs the elastic energy of the surface: the integral of a |grad u|^2 + b |laplace u|^2
over the template at rest. It is measured along the surface, so that lips and lids move apart freely, and it
neither needs a basis nor has a rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from morphkit.geometry.laplacian import cotangent_laplacian, vertex_areas
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.sparse_cholesky import CholeskyFactor, CholeskyPlan

_HELD = 1e3  # how firmly the extension holds the control vertices, times the energy's mean diagonal
_LEAST_AREA = 1e-3


@dataclass(frozen=True, eq=False)
class MeshMatrix:
    """A symmetric matrix on a mesh, in the layout that `CholeskyPlan` takes.

    Attributes
    ----------
    diagonal : (v,).
    edges : (e, 2) each pair of different vertices with an entry, once.
    beside : (e,) their entries.
    """

    diagonal: Float[np.ndarray, "v"]
    edges: Int[np.ndarray, "e 2"]
    beside: Float[np.ndarray, "e"]


@dataclass(frozen=True, eq=False)
class ControlMesh:
    """Vertices of the template that carry the coarse deformation.

    Attributes
    ----------
    vertex_indices : (m,) of the template.
    rest : (m, 3) where they lie.
    faces : (g, 3) triangles among them.
    areas : (m,) of the surface around each, square millimetres.
    active : (m,) whether the vertex looks for the scan.
    energy : the elastic energy's matrix, of one coordinate.
    plan : for three unknowns a vertex.
    members : (n,) template vertices that follow; the others (whole passive parts) stay.
    extension : factor of the extension's system on them; None when every one of them is a control vertex.
    held : the weight in it that holds the control vertices.
    """

    vertex_indices: Int[np.ndarray, "m"]
    rest: Float[np.ndarray, "m 3"]
    faces: Int[np.ndarray, "g 3"]
    areas: Float[np.ndarray, "m"]
    active: Bool[np.ndarray, "m"]
    energy: MeshMatrix
    plan: CholeskyPlan
    members: Int[np.ndarray, "n"]
    extension: CholeskyFactor | None
    held: float

    def extend(self, displacements: Float[np.ndarray, "m 3"], count: int) -> Float[np.ndarray, "v 3"]:
        """Return the displacements of all `count` template vertices, of least energy between the controls."""
        moved = np.zeros((count, 3))
        moved[self.vertex_indices] = displacements
        if self.extension is not None:
            moved[self.members] = self.extension.solve(self.held * moved[self.members])
        return moved


def control_meshes(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    components: Int[np.ndarray, "v"],
    passive: Bool[np.ndarray, "v"],
    settings: CoarseSettings,
) -> tuple[ControlMesh, ...]:
    """Return control meshes of the template's parts that look for the scan, one for each of the sizes."""
    moving = np.isin(components, np.unique(components[~passive]))
    members, member_faces = submesh(faces, moving)
    made: dict[int, ControlMesh] = {}
    for wanted in settings.control_faces:
        size = min(wanted, len(member_faces))
        if size not in made:
            made[size] = _control_mesh(vertices, members, member_faces, passive, size, settings)
    return tuple(made[min(wanted, len(member_faces))] for wanted in settings.control_faces)


def _control_mesh(
    vertices: np.ndarray,
    members: np.ndarray,
    member_faces: np.ndarray,
    passive: np.ndarray,
    face_count: int,
    settings: CoarseSettings,
) -> ControlMesh:
    points = vertices[members]
    chosen, thin_faces = _thinned(points, member_faces, face_count)
    energy = elastic_energy(points[chosen], thin_faces, settings)
    extension, held = None, 0.0
    if len(chosen) < len(members):
        extension, held = _extension(points, member_faces, chosen, settings)
    return ControlMesh(
        vertex_indices=members[chosen],
        rest=points[chosen],
        faces=thin_faces,
        areas=vertex_areas(points[chosen], thin_faces),
        active=~passive[members[chosen]],
        energy=energy,
        plan=CholeskyPlan(energy.edges, points[chosen], block=3),
        members=members,
        extension=extension,
        held=held,
    )


def submesh(
    faces: Int[np.ndarray, "f 3"], kept: Bool[np.ndarray, "v"]
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "g 3"]]:
    """Return the kept vertices' indices, and the triangles among them in their numbering."""
    members = np.flatnonzero(kept)
    number = np.full(len(kept), -1)
    number[members] = np.arange(len(members))
    return members, number[faces[kept[faces].all(axis=1)]]


def elastic_energy(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], settings: CoarseSettings
) -> MeshMatrix:
    """Return the matrix of the stretching and bending energy of one coordinate's displacement."""
    stretching = cotangent_laplacian(vertices, faces)
    areas = np.maximum(vertex_areas(vertices, faces), _LEAST_AREA)
    bending = stretching @ sparse.diags_array(1 / areas) @ stretching
    return mesh_matrix(sparse.csc_array(settings.stretching * stretching + settings.bending * bending))


def mesh_matrix(matrix: sparse.csc_array) -> MeshMatrix:
    """Return a symmetric sparse matrix as a `MeshMatrix`."""
    above = sparse.coo_array(sparse.triu(matrix, 1))
    return MeshMatrix(matrix.diagonal(), np.column_stack(above.coords).astype(np.int64), above.data)


def _thinned(points: np.ndarray, faces: np.ndarray, face_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return some of the points and triangles among them."""
    if len(faces) <= face_count:
        return np.arange(len(points)), faces
    thin, thin_faces = fast_simplification.simplify(
        points.astype(np.float32), faces.astype(np.int32), target_count=face_count
    )
    # quadric decimation moves its vertices a little; the template's own are needed
    nearest = np.asarray(cKDTree(points).query(thin)[1])
    thin_faces = nearest[thin_faces]
    a, b, c = thin_faces.T
    thin_faces = thin_faces[(a != b) & (b != c) & (c != a)]
    chosen = np.unique(thin_faces)
    return chosen, np.searchsorted(chosen, thin_faces)


def _extension(
    points: np.ndarray, faces: np.ndarray, chosen: np.ndarray, settings: CoarseSettings
) -> tuple[CholeskyFactor, float]:
    energy = elastic_energy(points, faces, settings)
    held = _HELD * float(energy.diagonal.mean())
    diagonal = energy.diagonal.copy()
    diagonal[chosen] += held
    return CholeskyPlan(energy.edges, points).factorize(diagonal, energy.beside), held
