from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy import sparse

from morphkit.geometry.laplacian import uniform_laplacian
from morphkit.geometry.topology import unique_edges
from morphkit.mesh import Mesh
from morphkit.registration.dissection import nested_dissection
from morphkit.registration.sparse_cholesky import CholeskyPlan
from morphkit.registration.vertex_cut import BOTH, HIGH, LOW, smallest_vertex_cut

_BALL = trimesh.creation.icosphere(subdivisions=3)
MESH = Mesh(np.array(_BALL.vertices), np.array(_BALL.faces, dtype=np.int32))
COUNT = len(MESH.vertices)
EDGES = unique_edges(MESH.faces)


def _block_matrix(rng: np.random.Generator, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beside = rng.normal(size=(len(EDGES), block, block))
    half = rng.normal(size=(COUNT, block, block))
    diagonal = half @ half.transpose(0, 2, 1) + 40 * np.eye(block)
    dense = np.zeros((COUNT, block, COUNT, block))
    dense[np.arange(COUNT), :, np.arange(COUNT), :] = diagonal
    i, j = EDGES.T
    dense[i, :, j, :] = beside
    dense[j, :, i, :] = beside.transpose(0, 2, 1)
    return diagonal, beside, dense.reshape(COUNT * block, COUNT * block)


@pytest.mark.parametrize("block", [1, 2, 4])
def test_it_solves_as_a_dense_solver_does(rng: np.random.Generator, block: int) -> None:
    diagonal, beside, dense = _block_matrix(rng, block)
    right = rng.normal(size=(COUNT * block, 3))
    solution = CholeskyPlan(EDGES, MESH.vertices, block).factorize(diagonal, beside).solve(right)
    np.testing.assert_allclose(solution, np.linalg.solve(dense, right), atol=1e-12)


def test_a_plan_serves_many_values_and_leaves_them_alone(rng: np.random.Generator) -> None:
    plan = CholeskyPlan(EDGES, MESH.vertices)
    right = rng.normal(size=(COUNT, 1))
    for _ in range(2):
        diagonal, beside, dense = (a.squeeze() for a in _block_matrix(rng, 1))
        kept = diagonal.copy(), beside.copy(), right.copy()
        solution = plan.factorize(diagonal, beside).solve(right)
        np.testing.assert_allclose(dense @ solution, right, atol=1e-12)
        for now, before in zip((diagonal, beside, right), kept, strict=True):
            np.testing.assert_array_equal(now, before)


def test_two_rings_and_separate_components_are_planned_too(rng: np.random.Generator) -> None:
    laplacian = uniform_laplacian(MESH.faces, COUNT)
    bending = sparse.block_diag([laplacian @ laplacian] * 2)
    above = sparse.triu(bending, 1).tocoo()
    positions = np.concatenate([MESH.vertices, MESH.vertices + 300.0])
    plan = CholeskyPlan(np.column_stack(above.coords), positions)
    diagonal, right = bending.diagonal() + 0.1, rng.normal(size=(2 * COUNT, 3))
    solution = plan.factorize(diagonal, above.data).solve(right)
    np.testing.assert_allclose(bending @ solution + 0.1 * solution, right, atol=1e-10)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    plan = CholeskyPlan(EDGES, MESH.vertices)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        plan.factorize(np.ones(COUNT), np.ones(len(EDGES)))


@pytest.mark.parametrize("thorough", [False, True])
def test_dissection_parts_vertices_so_that_no_edge_joins_two_branches(thorough: bool) -> None:
    parts = nested_dissection(EDGES, MESH.vertices, 20, thorough=thorough)
    members = np.concatenate([part.members for part in parts])
    np.testing.assert_array_equal(np.sort(members), np.arange(COUNT))
    home = np.empty(COUNT, dtype=int)
    parent = np.full(len(parts), -1)
    for number, part in enumerate(parts):
        home[part.members] = number
        parent[list(part.children)] = number
    above = [{number} for number in range(len(parts))]
    for number in reversed(range(len(parts))):
        if parent[number] >= 0:
            above[number] |= above[parent[number]]
    for i, j in EDGES:
        assert home[i] in above[home[j]] or home[j] in above[home[i]]
    leaves = [part for part in parts if not part.children]
    assert max(len(part.members) for part in leaves) <= 20


def test_an_hourglass_is_cut_at_its_waist() -> None:
    widths = [5, 4, 3, 2, 3, 4, 5]  # rows of vertices; neighbours in adjacent rows are all joined
    rows = np.repeat(np.arange(7), widths)
    joined = np.abs(rows[:, None] - rows[None]) == 1
    inner = np.argwhere(np.triu(joined))
    low = [[LOW, v] for v in np.flatnonzero(rows == 0)]
    high = [[v, HIGH] for v in np.flatnonzero(rows == 6)]
    sides = smallest_vertex_cut(np.concatenate([inner, low, high]), len(rows))
    assert sides is not None
    expected = np.select([rows < 3, rows > 3], [LOW, HIGH], BOTH)
    np.testing.assert_array_equal(sides, expected)


def test_ends_that_touch_cannot_be_cut_apart() -> None:
    assert smallest_vertex_cut(np.array([[LOW, 0], [0, HIGH], [HIGH, LOW]]), 1) is None


def test_a_thorough_dissection_separates_with_fewer_vertices() -> None:
    quick, thorough = (
        nested_dissection(EDGES, MESH.vertices * [1.0, 1.0, 1.3], 300, thorough=way) for way in (False, True)
    )
    assert len(thorough[-1].members) <= len(quick[-1].members)
