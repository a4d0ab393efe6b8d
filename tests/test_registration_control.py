from __future__ import annotations

import numpy as np
import pytest
import trimesh
from registration_scene import make_template
from scipy.spatial.transform import Rotation

from morphkit.geometry.laplacian import cotangent_laplacian, vertex_areas
from morphkit.geometry.topology import connected_components
from morphkit.registration.control import ControlMesh, MeshMatrix, control_meshes, elastic_energy, submesh
from morphkit.registration.settings import CoarseSettings

MESH = make_template().mesh
REST, FACES = MESH.vertices, MESH.faces
STRETCHING = CoarseSettings(stretching=1.0, bending=0.0)
BENDING = CoarseSettings(stretching=0.0, bending=1.0)


def _control(settings: CoarseSettings) -> ControlMesh:
    nothing = np.zeros(len(REST), dtype=bool)
    return control_meshes(REST, FACES, np.zeros(len(REST), dtype=int), nothing, settings)[0]


@pytest.fixture(scope="module")
def thinned() -> ControlMesh:
    return _control(CoarseSettings(control_faces=(800, 1600)))


def _dense(matrix: MeshMatrix) -> np.ndarray:
    dense = np.diag(matrix.diagonal)
    i, j = matrix.edges.T
    dense[i, j] = dense[j, i] = matrix.beside
    return dense


def _energy(matrix: MeshMatrix, values: np.ndarray) -> float:
    i, j = matrix.edges.T
    return float(matrix.diagonal @ values**2 + 2 * (matrix.beside * values[i]) @ values[j])


def test_a_small_template_is_its_own_control_mesh() -> None:
    control = _control(CoarseSettings())
    np.testing.assert_array_equal(control.vertex_indices, np.arange(len(REST)))
    np.testing.assert_array_equal(control.faces, FACES)
    assert control.extension is None
    moved = REST + 1.0
    np.testing.assert_array_equal(control.extend(moved, len(REST)), moved)


def test_there_is_one_control_mesh_a_size_and_a_whole_template_is_prepared_once() -> None:
    nothing = np.zeros(len(REST), dtype=bool)
    components = np.zeros(len(REST), dtype=int)
    wanted = (800, 2 * len(FACES), 3 * len(FACES))
    settings = CoarseSettings(control_faces=wanted, iterations=(1, 1, 1))
    thin, whole, same = control_meshes(REST, FACES, components, nothing, settings)
    assert len(thin.faces) <= 800 < len(whole.faces) == len(FACES)
    assert same is whole
    for iterations in ((1, 1), (1, 0, 1)):
        with pytest.raises(ValueError, match="one positive entry each"):
            CoarseSettings(control_faces=wanted, iterations=iterations)


def test_a_thinned_template_keeps_some_of_its_own_vertices(thinned: ControlMesh) -> None:
    assert len(np.unique(thinned.vertex_indices)) == len(thinned.vertex_indices) < 0.4 * len(REST)
    assert 600 < len(thinned.faces) <= 800
    np.testing.assert_array_equal(thinned.rest, REST[thinned.vertex_indices])
    np.testing.assert_array_equal(np.unique(thinned.faces), np.arange(len(thinned.rest)))
    assert thinned.areas.sum() == pytest.approx(vertex_areas(REST, FACES).sum(), rel=0.02)


def test_the_extension_reproduces_constant_and_smooth_displacements(thinned: ControlMesh) -> None:
    constant = np.tile([3.0, -2.0, 5.0], (len(REST), 1))
    extended = thinned.extend(constant[thinned.vertex_indices], len(REST))
    np.testing.assert_allclose(extended, constant, atol=1e-6)
    smooth = 5 * np.sin(REST / 40)[:, [1, 2, 0]]
    extended = thinned.extend(smooth[thinned.vertex_indices], len(REST))
    off = np.linalg.norm(extended - smooth, axis=1)
    assert off[thinned.vertex_indices].max() < 0.05  # they are held firmly, not fixed
    assert off.mean() < 0.05
    assert np.quantile(off, 0.98) < 0.4
    assert off.max() < 1.0  # at the rim, where nothing bends it


def test_the_extension_has_the_least_energy_of_all_that_agree_at_the_controls(
    rng: np.random.Generator, thinned: ControlMesh
) -> None:
    wanted = rng.normal(size=(len(thinned.rest), 3))
    extended = thinned.extend(wanted, len(REST))
    matrix = elastic_energy(REST, FACES, CoarseSettings())
    other = extended + 0.1 * rng.normal(size=extended.shape)
    other[thinned.vertex_indices] = extended[thinned.vertex_indices]
    for axis in range(3):
        assert _energy(matrix, extended[:, axis]) < _energy(matrix, other[:, axis])
    free = np.setdiff1d(np.arange(len(REST)), thinned.vertex_indices)
    assert abs((_dense(matrix) @ extended)[free]).max() < 1e-8


def test_wholly_passive_components_stay_and_sheltered_vertices_follow() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=12.0)
    vertices = np.vstack([REST, np.array(ball.vertices) + np.array([28.0, 22.0, 62.0])])
    faces = np.vstack([FACES, np.array(ball.faces) + len(REST)]).astype(np.int32)
    passive = np.arange(len(vertices)) >= len(REST)
    passive[:50] = True
    components = connected_components(faces, len(vertices))
    for count in (800, 8000):
        settings = CoarseSettings(control_faces=(count,), iterations=(1,))
        (control,) = control_meshes(vertices, faces, components, passive, settings)
        assert control.vertex_indices.max() < len(REST)
        np.testing.assert_array_equal(control.active, control.vertex_indices >= 50)
        moved = control.extend(np.ones_like(control.rest), len(vertices))
        np.testing.assert_allclose(moved[: len(REST)], 1.0, atol=1e-6)
        np.testing.assert_array_equal(moved[len(REST) :], 0.0)


def test_a_submesh_renumbers_the_triangles_that_are_kept_whole() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 2]])
    members, inner = submesh(faces, np.array([False, True, True, True, True]))
    assert members.tolist() == [1, 2, 3, 4]
    assert inner.tolist() == [[1, 0, 2], [2, 3, 1]]


def test_the_energy_is_what_a_dense_assembly_gives() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=20.0)
    vertices, faces = np.array(ball.vertices) * [1.0, 1.3, 0.8], np.array(ball.faces, dtype=np.int32)
    laplacian = cotangent_laplacian(vertices, faces).toarray()
    bending = laplacian @ np.diag(1 / vertex_areas(vertices, faces)) @ laplacian
    matrix = elastic_energy(vertices, faces, CoarseSettings(stretching=0.3, bending=7.0))
    np.testing.assert_allclose(_dense(matrix), 0.3 * laplacian + 7 * bending, atol=1e-12)
    pairs = np.sort(matrix.edges, axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_the_energy_costs_nothing_for_a_constant_and_is_never_negative() -> None:
    matrix = _dense(elastic_energy(REST, FACES, CoarseSettings()))
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert abs(matrix @ np.ones(len(REST))).max() < 1e-9
    assert eigenvalues[0] > -1e-9 * eigenvalues[-1]
    assert eigenvalues[1] > 1e-5  # one component: only the constant is free


def test_the_energy_knows_neither_pose_nor_the_unit_but_in_its_weights() -> None:
    turned = REST @ Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix().T + [100.0, -50.0, 20.0]
    for settings, power in ((STRETCHING, 0), (BENDING, 2)):
        before = elastic_energy(REST, FACES, settings)
        np.testing.assert_allclose(_dense(elastic_energy(turned, FACES, settings)), _dense(before), atol=1e-9)
        np.testing.assert_allclose(
            _dense(elastic_energy(3 * REST, FACES, settings)), _dense(before) / 3**power, atol=1e-12
        )


def test_the_energy_is_the_integral_that_it_stands_for() -> None:
    # of a spherical harmonic of degree one on a sphere: |grad|^2 integrates to 8 pi / 3,
    # the squared Laplacian to 16 pi / (3 r^2)
    ball = trimesh.creation.icosphere(subdivisions=4, radius=10.0)
    vertices, faces = np.array(ball.vertices), np.array(ball.faces, dtype=np.int32)
    harmonic = vertices[:, 2] / 10
    stretching, bending = (
        _energy(elastic_energy(vertices, faces, settings), harmonic) for settings in (STRETCHING, BENDING)
    )
    assert stretching == pytest.approx(8 * np.pi / 3, rel=0.01)
    assert bending == pytest.approx(16 * np.pi / 3 / 10**2, rel=0.01)
