from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from registration_scene import OTHER_PERSON, SMALL, make_scan, make_template, true_landmarks, truth
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from morphkit.geometry.similarity import Similarity
from morphkit.geometry.topology import boundary_vertices, unique_edges
from morphkit.mesh import Mesh, Template
from morphkit.registration import NicpSettings, register
from morphkit.registration.nicp import NicpFit, fit_nicp
from morphkit.registration.nicp_system import AffineLandmarks, AffineSystem
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate, pair_landmarks, prepare_template
from morphkit.registration.target import Target

TEMPLATE = make_template()
REST = TEMPLATE.mesh.vertices


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread() -> Iterator[None]:
    with threadpool_limits(limits=1, user_api="blas"):  # as `register` has it
        yield


@pytest.fixture(scope="module")
def prepared() -> PreparedTemplate:
    return prepare_template(TEMPLATE, SMALL)


@pytest.fixture(scope="module")
def other(prepared: PreparedTemplate) -> NicpFit:
    pairs = _pairs(truth(OTHER_PERSON))
    return fit_nicp(
        prepared, Target(make_scan(OTHER_PERSON)), pairs, NicpSettings(landmark_weight=(20.0,) * 8)
    )


def _pairs(vertices: np.ndarray) -> LandmarkPairs:
    pairs = pair_landmarks(TEMPLATE, true_landmarks(TEMPLATE, vertices))
    assert pairs is not None
    return pairs


def _off(pairs: LandmarkPairs, vertices: np.ndarray) -> np.ndarray:
    corners = TEMPLATE.mesh.faces[pairs.face_indices]
    placed = np.einsum("lk,lkd->ld", pairs.barycentrics, vertices[corners])
    return np.linalg.norm(placed - pairs.target, axis=1)


@pytest.mark.parametrize(("stiffness", "beta", "skew"), [(50.0, 5.0, 1.0), (0.2, 0.0, 1.0), (1.0, 3.0, 0.3)])
def test_one_step_is_the_least_squares_solution_of_the_stacked_system(
    rng: np.random.Generator, stiffness: float, beta: float, skew: float
) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    rest, faces = 0.5 * np.array(ball.vertices), np.array(ball.faces, dtype=np.int32)
    count, edges = len(rest), unique_edges(faces)
    points, weights = rest + rng.normal(scale=0.1, size=rest.shape), rng.uniform(0, 1, count)
    weights[::5] = 0.0
    marks = AffineLandmarks(
        corners=faces[[3, 40, 90]],
        barycentrics=rng.dirichlet([1.0, 1.0, 1.0], 3),
        points=rng.normal(size=(3, 3)),
        weights=np.array([1.0, 0.5, 0.1]),
    )
    system = AffineSystem(rest, edges, skew)
    maps = system.solve(np.tile(np.eye(4, 3), (count, 1, 1)), points, weights, stiffness, marks, beta)

    incidence = np.zeros((len(edges), count))
    incidence[np.arange(len(edges)), edges[:, 0]] = -1
    incidence[np.arange(len(edges)), edges[:, 1]] = 1
    homogeneous = np.column_stack([rest, np.ones(count)])
    data = np.einsum("ij,jk->ijk", np.diag(np.sqrt(weights)), homogeneous).reshape(count, -1)
    spread = np.zeros((3, count))
    np.put_along_axis(spread, marks.corners, marks.barycentrics, axis=1)
    marked = np.sqrt(marks.weights)[:, None] * np.einsum("lv,vk->lvk", spread, homogeneous).reshape(3, -1)
    stacked = np.concatenate([stiffness * np.kron(incidence, np.diag([1, 1, 1, skew])), data, beta * marked])
    wanted = np.concatenate(
        [
            np.zeros((4 * len(edges), 3)),
            np.sqrt(weights)[:, None] * points,
            beta * np.sqrt(marks.weights)[:, None] * marks.points,
        ]
    )
    expected = np.linalg.lstsq(stacked, wanted, rcond=None)[0].reshape(count, 4, 3)
    np.testing.assert_allclose(maps, expected, atol=1e-8)


def test_maps_that_nothing_speaks_for_stay() -> None:
    edges = unique_edges(TEMPLATE.mesh.faces)
    system = AffineSystem(REST / 200, edges, 1.0)
    maps = np.tile(np.diag([1.0, 2.0, 0.5, 0.0])[:, :3], (len(REST), 1, 1))
    solved = system.solve(maps, np.zeros_like(REST), np.zeros(len(REST)), 50.0)
    np.testing.assert_array_equal(solved, maps)


def test_the_template_registers_to_itself(prepared: PreparedTemplate) -> None:
    fit = fit_nicp(prepared, Target(TEMPLATE.mesh), None)
    np.testing.assert_allclose(fit.vertices, REST, atol=1e-7)
    assert fit.iterations == (1,) * 8
    assert fit.converged


def test_a_rigidly_moved_template_is_recovered(prepared: PreparedTemplate) -> None:
    move = Similarity(1.0, Rotation.from_rotvec([0.05, -0.08, 0.03]).as_matrix(), np.array([3.0, -2.0, 4.0]))
    moved = move.apply(REST)
    settings = NicpSettings(tolerance=1e-6, iterations=60)
    target = Target(Mesh(moved, TEMPLATE.mesh.faces))
    fit = fit_nicp(prepared, target, _pairs(moved), settings)
    np.testing.assert_allclose(fit.vertices, moved, atol=0.01)


def test_another_person_is_reached(other: NicpFit) -> None:
    expected = truth(OTHER_PERSON)
    errors = np.linalg.norm(other.vertices - expected, axis=1)
    assert errors.mean() < 0.5 * np.linalg.norm(REST - expected, axis=1).mean()
    distances = Target(make_scan(OTHER_PERSON)).query.query(other.vertices).distances
    assert np.median(distances) < 0.05
    assert other.converged


def test_landmarks_are_met_the_better_the_more_they_weigh(prepared: PreparedTemplate) -> None:
    pairs = _pairs(truth(OTHER_PERSON))
    target = Target(make_scan(OTHER_PERSON))
    off = [
        _off(pairs, fit_nicp(prepared, target, pairs, _weighing(beta)).vertices).max()
        for beta in (0.0, 3.0, 100.0, 3000.0)
    ]
    assert off[0] > off[1] > 10 * off[2] > 100 * off[3]
    assert off[3] < 1e-3


def _weighing(beta: float) -> NicpSettings:
    return NicpSettings(stiffness=(10.0, 2.0), landmark_weight=(beta, beta))


def test_uncertain_landmarks_weigh_less(prepared: PreparedTemplate) -> None:
    target, pairs = Target(make_scan(OTHER_PERSON)), _pairs(truth(OTHER_PERSON))
    off = [
        _off(pairs, fit_nicp(prepared, target, replace(pairs, deviations=sd), _weighing(3.0)).vertices).mean()
        for sd in (np.full(len(pairs.names), 0.1), np.full(len(pairs.names), 8.0))
    ]
    assert off[0] < 0.5 * off[1]
    assert off[0] == _off(pairs, fit_nicp(prepared, target, pairs, _weighing(3.0)).vertices).mean()


def test_the_scans_border_attracts_no_one(prepared: PreparedTemplate) -> None:
    scan = make_scan(OTHER_PERSON, back=0.3)
    fit = fit_nicp(prepared, Target(scan), _pairs(truth(OTHER_PERSON)))
    rim = scan.vertices[boundary_vertices(scan.faces, len(scan.vertices))]
    beyond = truth(OTHER_PERSON)[:, 2] < rim[:, 2].min() - 5
    nearest = np.linalg.norm(fit.vertices[beyond][:, None] - rim[None], axis=2).min(axis=1)
    assert beyond.sum() > 100
    assert np.median(nearest) > 10  # gated on the template's border instead, they pile up on the rim


def test_inputs_stay_as_they_are_and_answers_repeat(other: NicpFit, prepared: PreparedTemplate) -> None:
    scan, pairs = make_scan(OTHER_PERSON), _pairs(truth(OTHER_PERSON))
    kept = scan.vertices.copy(), REST.copy(), pairs.target.copy()
    again = fit_nicp(prepared, Target(scan), pairs, NicpSettings(landmark_weight=(20.0,) * 8))
    np.testing.assert_array_equal(again.vertices, other.vertices)
    for now, before in zip((scan.vertices, REST, pairs.target), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_eyeballs_stay_balls_and_follow() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=6.0)
    inside = np.array([25.0, 15.0, 55.0])
    mesh = Mesh(
        np.concatenate([REST, np.array(ball.vertices) + inside]),
        np.concatenate([TEMPLATE.mesh.faces, np.array(ball.faces, dtype=np.int32) + len(REST)]),
    )
    prepared = prepare_template(Template(mesh, TEMPLATE.landmarks), SMALL)
    move = np.array([4.0, 0.0, 3.0])
    scan = make_scan(OTHER_PERSON)
    fit = fit_nicp(prepared, Target(Mesh(scan.vertices + move, scan.faces)), None, _weighing(0.0))
    eye = fit.vertices[len(REST) :]
    radii = np.linalg.norm(eye - eye.mean(axis=0), axis=1)
    assert np.ptp(radii) < 1e-9
    assert np.linalg.norm(eye.mean(axis=0) - inside) > 2


def test_progress_is_told_by_level(prepared: PreparedTemplate) -> None:
    told: list[tuple[str, float]] = []
    fit_nicp(prepared, Target(TEMPLATE.mesh), None, _weighing(1.0), lambda *step: told.append(step))
    assert told == [("nicp", 0.5), ("nicp", 1.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stiffness": (5.0, 1.0)}, "one for each of the 2 levels"),
        ({"skew": 0.0}, "expected positive"),
        ({"iterations": 0}, "at least 1"),
    ],
)
def test_schedules_that_cannot_be_followed_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(NicpSettings(), **change)  # type: ignore[arg-type]


def test_register_takes_it_by_name() -> None:
    scan, landmarks = make_scan(OTHER_PERSON), true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    settings = replace(SMALL, method="nicp")
    result = register(scan, TEMPLATE, landmarks=landmarks, settings=settings)
    assert set(result.timings) == {"prepare", "place", "nicp", "judge"}
    assert result.converged
    assert result.verdict == "good"
    assert np.median(result.distances) < 0.05


def test_a_prior_that_it_cannot_use_is_refused() -> None:
    settings, modes = replace(SMALL, method="nicp"), np.zeros((len(REST), 3, 1))
    with pytest.raises(ValueError, match="takes none"):
        register(TEMPLATE.mesh, TEMPLATE, settings=settings, modes=modes)
