"""Thinned copies of the template on which the coarse stage works, and the way back to every vertex.

A displacement costs the elastic energy of the surface: the integral of a |grad u|^2 + b |laplace u|^2
over the template at rest. It is measured along the surface, so that lips and lids move apart freely, and it
neither needs a basis nor has a rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from morphkit.geometry.laplacian import cotangent_laplacian, vertex_areas
from morphkit.geometry.thinning import thinned
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

    diagonal: Float[np.ndarray, " v"]
    edges: Int[np.ndarray, "e 2"]
    beside: Float[np.ndarray, " e"]


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

    vertex_indices: Int[np.ndarray, " m"]
    rest: Float[np.ndarray, "m 3"]
    faces: Int[np.ndarray, "g 3"]
    areas: Float[np.ndarray, " m"]
    active: Bool[np.ndarray, " m"]
    energy: MeshMatrix
    plan: CholeskyPlan
    members: Int[np.ndarray, " n"]
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
    components: Int[np.ndarray, " v"],
    passive: Bool[np.ndarray, " v"],
    settings: CoarseSettings,
) -> tuple[ControlMesh, ...]:
    """Return control meshes of the template's parts that look for the scan, one for each of the sizes."""
    moving = np.isin(components, np.unique(components[~passive]))
    members, member_faces = submesh(faces, moving)
    sizes = [min(count, len(member_faces)) for count in settings.control_faces]
    extender = _Extender(vertices[members], member_faces, settings)
    made = {size: _control_mesh(members, extender, passive, size, settings) for size in set(sizes)}
    return tuple(made[size] for size in sizes)


def _control_mesh(
    members: np.ndarray, extender: _Extender, passive: np.ndarray, face_count: int, settings: CoarseSettings
) -> ControlMesh:
    points = extender.points
    chosen, faces = thinned(points, extender.faces, face_count)
    energy = elastic_energy(points[chosen], faces, settings)
    extension, held = None, 0.0
    if len(chosen) < len(members):
        extension, held = extender.onto_all(chosen)
    return ControlMesh(
        vertex_indices=members[chosen],
        rest=points[chosen],
        faces=faces,
        areas=vertex_areas(points[chosen], faces),
        active=~passive[members[chosen]],
        energy=energy,
        plan=CholeskyPlan(energy.edges, points[chosen], block=3),
        members=members,
        extension=extension,
        held=held,
    )


class _Extender:
    """Makes the systems that carry a thinned template's displacements on to all points."""

    def __init__(self, points: np.ndarray, faces: np.ndarray, settings: CoarseSettings) -> None:
        self.points, self.faces, self._settings = points, faces, settings

    @cached_property
    def _energy(self) -> MeshMatrix:
        return elastic_energy(self.points, self.faces, self._settings)

    @cached_property
    def _plan(self) -> CholeskyPlan:
        return CholeskyPlan(self._energy.edges, self.points)

    def onto_all(self, chosen: np.ndarray) -> tuple[CholeskyFactor, float]:
        """Return the system that is held at `chosen` points, and the weight that holds them."""
        held = _HELD * float(self._energy.diagonal.mean())
        diagonal = self._energy.diagonal.copy()
        diagonal[chosen] += held
        return self._plan.factorize(diagonal, self._energy.beside), held


def submesh(
    faces: Int[np.ndarray, "f 3"], kept: Bool[np.ndarray, " v"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "g 3"]]:
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
