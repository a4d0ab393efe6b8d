from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from registration_scene import OTHER_PERSON, SMALL, cap, make_scan, make_template, true_landmarks, truth

from morphkit.mesh import Mesh
from morphkit.registration.borders import longest_border
from morphkit.registration.coarse import (
    _FLOOR,
    _FREE,
    _BorderEvidence,
    _Fit,
    _strain,
    _turns_and_growth,
    fit_coarse,
)
from morphkit.registration.control import ControlMesh, control_meshes
from morphkit.registration.evidence import Evidence
from morphkit.registration.landmark_evidence import LandmarkEvidence, estimated_deviation
from morphkit.registration.prepared import LandmarkPairs, pair_landmarks, prepare_template
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target

SETTINGS = CoarseSettings()


def _control(points: np.ndarray, faces: np.ndarray, settings: CoarseSettings) -> ControlMesh:
    count = len(points)
    components, passive = np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
    return control_meshes(points, faces, components, passive, settings)[-1]


def _fitted(
    control: ControlMesh,
    evidence: Evidence,
    modes: np.ndarray | None = None,
    settings: CoarseSettings = SETTINGS,
) -> _Fit:
    fit = _Fit(control, control.rest, np.zeros_like(control.rest), settings, modes)
    fit.solve(evidence)
    return fit


@pytest.fixture(scope="module")
def control() -> ControlMesh:
    directions, faces = cap(5, 0.2)
    return _control(60 * directions, faces, SETTINGS)


def _dense_energy(control: ControlMesh) -> np.ndarray:
    dense = np.diag(control.energy.diagonal)
    i, j = control.energy.edges.T
    dense[i, j] = dense[j, i] = control.energy.beside
    return np.kron(dense, np.eye(3))


def _some_evidence(control: ControlMesh, rng: np.random.Generator) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Return evidence on a third of the vertices, and the same as rows and values of a stacked system."""
    count = len(control.rest)
    seen = np.arange(0, count, 3)
    directions, wanted = rng.normal(size=(len(seen), 3)), rng.normal(scale=4, size=(len(seen), 3))
    evidence = Evidence.none(count)
    evidence.add(seen, np.einsum("ni,nj->nij", directions, directions), wanted)
    rows = np.zeros((len(seen), count, 3))
    rows[np.arange(len(seen)), seen] = directions
    return evidence, rows.reshape(len(seen), -1), np.einsum("ni,ni->n", directions, wanted)


def test_evidence_on_the_same_vertex_adds_up(rng: np.random.Generator) -> None:
    halves = rng.normal(size=(4, 3, 3))
    precisions, wanted = halves @ halves.transpose(0, 2, 1), rng.normal(size=(4, 3))
    evidence = Evidence.none(3)
    evidence.add(np.array([1, 1, 2, 1]), precisions, wanted)
    np.testing.assert_allclose(evidence.precisions[1], precisions[[0, 1, 3]].sum(axis=0))
    np.testing.assert_allclose(evidence.pulls[1], sum(precisions[k] @ wanted[k] for k in (0, 1, 3)))
    np.testing.assert_allclose(evidence.precisions[2], precisions[2])
    assert not evidence.precisions[0].any()
    assert not evidence.pulls[0].any()


@pytest.mark.parametrize("mode_count", [0, 4])
def test_it_solves_for_elastic_displacements_motions_and_modes_jointly(
    control: ControlMesh, rng: np.random.Generator, mode_count: int
) -> None:
    evidence, rows, values = _some_evidence(control, rng)
    count = len(control.rest)
    modes = rng.normal(size=(count, 3, mode_count)) if mode_count else None
    fit = _fitted(control, evidence, modes)
    # unknowns: the elastic displacements e and the coefficients c; what is seen is e + B c
    columns = _turns_and_growth(control.rest)
    if modes is not None:
        columns = np.concatenate([columns, modes], axis=2)
    basis = columns.reshape(3 * count, -1)
    size = basis.shape[1]
    total = np.hstack([np.eye(3 * count), basis])
    matrix = (rows @ total).T @ (rows @ total) + _FLOOR * total.T @ total
    stiffness = SETTINGS.stiffness_beside_modes if mode_count else 1.0
    matrix[:-size, :-size] += stiffness * _dense_energy(control)
    matrix[-size:, -size:] += np.diag([_FREE**-2] * 4 + [1.0] * mode_count)
    expected = (total @ np.linalg.solve(matrix, (rows @ total).T @ values)).reshape(-1, 3)
    np.testing.assert_allclose(fit.displacements, expected, atol=1e-5)
    np.testing.assert_allclose(fit.extended(), fit.displacements, atol=1e-9)
    assert fit.last_change == pytest.approx(np.sqrt((expected**2).sum(axis=1).mean()), rel=1e-5)


def test_turns_and_growth_are_the_small_similarities(control: ControlMesh) -> None:
    columns = _turns_and_growth(control.rest).reshape(-1, 4)
    centred = control.rest - control.rest.mean(axis=0)

    def left_over(displacements: np.ndarray) -> float:
        flat = displacements.ravel()
        rest = flat - columns @ np.linalg.lstsq(columns, flat, rcond=None)[0]
        return float(np.linalg.norm(rest) / np.linalg.norm(flat))

    turn = np.array([[1.0, -1e-4, 2e-4], [1e-4, 1.0, -3e-4], [-2e-4, 3e-4, 1.0]])
    assert left_over(0.01 * centred) < 1e-12
    assert left_over(centred @ turn.T - centred) < 1e-9
    assert left_over(centred * [1.0, 0.0, 0.0]) > 0.3


def test_turns_and_growth_cost_nearly_nothing(control: ControlMesh, rng: np.random.Generator) -> None:
    evidence, _, _ = _some_evidence(control, rng)
    columns = _turns_and_growth(control.rest)
    assert np.linalg.norm(columns, axis=1).max() <= 1 + 1e-12
    expected = columns @ np.array([3.0, -1.0, 2.0, 4.0]) + np.array([5.0, -7.0, 1.0])
    fit = _fitted(control, replace(evidence, pulls=np.einsum("mij,mj->mi", evidence.precisions, expected)))
    np.testing.assert_allclose(fit.displacements, expected, atol=0.02)


def test_modes_of_great_variance_take_all_that_they_span(
    control: ControlMesh, rng: np.random.Generator
) -> None:
    modes = 1e4 * rng.normal(size=(len(control.rest), 3, 3))
    expected = modes @ np.array([3e-4, -5e-4, 1e-4])
    evidence, _, _ = _some_evidence(control, rng)
    evidence = replace(evidence, pulls=np.einsum("mij,mj->mi", evidence.precisions, expected))
    fit = _fitted(control, evidence, modes)
    np.testing.assert_allclose(fit.displacements, expected, atol=1e-3)  # the floor takes its share
    plain = _fitted(control, evidence)
    assert abs(plain.displacements - expected).max() > 1


def test_modes_of_no_variance_only_stiffen(control: ControlMesh, rng: np.random.Generator) -> None:
    evidence, _, _ = _some_evidence(control, rng)
    nothing = _fitted(control, evidence, np.zeros((len(control.rest), 3, 2)))
    factor = SETTINGS.stiffness_beside_modes
    stiff = replace(SETTINGS, stretching=factor * SETTINGS.stretching, bending=factor * SETTINGS.bending)
    plain = _fitted(_control(control.rest, control.faces, stiff), evidence, None, stiff)
    np.testing.assert_allclose(nothing.displacements, plain.displacements, atol=1e-9)


def test_three_vertices_that_move_alike_move_all(control: ControlMesh) -> None:
    count = len(control.rest)
    evidence = Evidence.none(count)
    evidence.add(
        np.array([7, 30, 51]), np.tile(100 * np.eye(3), (3, 1, 1)), np.tile([1.0, -2.0, 3.0], (3, 1))
    )
    fit = _fitted(control, evidence)
    np.testing.assert_allclose(fit.displacements, np.tile([1.0, -2.0, 3.0], (count, 1)), atol=0.01)


# landmarks


def _pairs(
    control: ControlMesh, vertices: np.ndarray, offset: np.ndarray, **changes: object
) -> LandmarkPairs:
    count = len(vertices)
    source = control.rest[vertices]
    return replace(
        LandmarkPairs(
            names=tuple(map(str, range(count))),
            face_indices=np.zeros(count, dtype=int),
            barycentrics=np.tile([1.0, 0.0, 0.0], (count, 1)),
            source=source,
            target=source + offset,
            deviations=np.full(count, np.nan),
        ),
        **changes,  # type: ignore[arg-type]
    )


def _evidence(control: ControlMesh, pairs: LandmarkPairs, displacements: np.ndarray | None) -> Evidence:
    target = Target(Mesh(control.rest, control.faces.astype(np.int32)))
    evidence = Evidence.none(len(control.rest))
    LandmarkEvidence(pairs, target, control, SETTINGS).add(evidence, displacements)
    return evidence


def test_landmarks_speak_for_the_nearest_vertex_with_their_precision(control: ControlMesh) -> None:
    chosen, offset = np.array([4, 30]), np.array([[1.0, 0, 0], [0, 0.5, 0]])
    pairs = _pairs(control, chosen, offset, deviations=np.array([0.5, 2.0]))
    displacements = np.zeros_like(control.rest)
    displacements[chosen] = offset  # the fit has them where they should be: full weight
    evidence = _evidence(control, pairs, displacements)
    np.testing.assert_allclose(evidence.precisions[chosen], np.array([4.0, 0.25])[:, None, None] * np.eye(3))
    np.testing.assert_allclose(evidence.pulls[chosen], [[4.0, 0, 0], [0, 0.125, 0]])
    assert np.count_nonzero(evidence.precisions.any(axis=(1, 2))) == 2


def test_an_isotropic_covariance_is_a_standard_deviation(control: ControlMesh) -> None:
    chosen, offset = np.array([4, 30, 51]), np.full((3, 3), 2.0)
    deviations = np.array([0.5, 2.0, 1.0])
    covariances = deviations[:, None, None] ** 2 * np.eye(3)
    plain = _pairs(control, chosen, offset, deviations=deviations)
    for displacements in (None, np.zeros_like(control.rest)):
        one = _evidence(control, plain, displacements)
        other = _evidence(control, replace(plain, covariances=covariances), displacements)
        np.testing.assert_allclose(other.precisions, one.precisions, rtol=1e-12)
        np.testing.assert_allclose(other.pulls, one.pulls, rtol=1e-12)


def test_a_landmark_slides_along_its_long_axis(control: ControlMesh) -> None:
    long = np.array([0.6, 0.8, 0.0])
    covariance = 0.01 * np.eye(3) + 1e6 * np.outer(long, long)
    pairs = _pairs(
        control,
        np.array([0]),
        np.array([[5.0, 1.0, 2.0]]),
        deviations=np.array([2.0]),
        covariances=covariance[None],
    )
    evidence = _evidence(control, pairs, None)
    evidence.add(np.array([0]), np.eye(3)[None], np.zeros((1, 3)))  # something mild says: stay
    fit = _fitted(control, evidence)
    moved = fit.displacements[0]
    across = np.array([5.0, 1.0, 2.0]) - (np.array([5.0, 1.0, 2.0]) @ long) * long
    assert abs(moved @ long) < 0.01
    np.testing.assert_allclose(moved - (moved @ long) * long, across, rtol=0.05)


@pytest.mark.parametrize("started", [False, True])
def test_far_outliers_lose_their_say(control: ControlMesh, started: bool) -> None:
    offset = np.array([[0.5, 0, 0], [60.0, 0, 0]])
    pairs = _pairs(control, np.array([4, 30]), offset, deviations=np.ones(2))
    displacements = np.zeros_like(control.rest) if started else None
    say = _evidence(control, pairs, displacements).precisions[[4, 30], 0, 0]
    assert say[0] > 0.98
    assert say[1] < 0.002


def test_deviations_not_told_are_read_off_the_distances_to_the_surface(rng: np.random.Generator) -> None:
    scan = Target(make_scan(OTHER_PERSON))
    exact = scan.mesh.vertices[::50]
    assert estimated_deviation(exact, scan, 1.0) == 1.0  # on the surface: it says nothing
    for deviation in (0.8, 2.0):
        noisy = exact + rng.normal(scale=deviation, size=exact.shape)
        assert estimated_deviation(noisy, scan, 1.0) == pytest.approx(deviation, rel=0.2)
    assert estimated_deviation(exact + np.array([0.0, 0.0, 200.0]), scan, 1.0) == 4.0
    assert estimated_deviation(exact[:0], scan, 1.3) == 1.3


# the whole stage


def test_the_stage_ends_on_the_scan_without_uneven_strain() -> None:
    template = make_template()
    prepared = prepare_template(template, SMALL)
    pairs = pair_landmarks(template, true_landmarks(template, truth(OTHER_PERSON)))
    target = Target(make_scan(OTHER_PERSON))
    fit = fit_coarse(prepared, target, pairs, SMALL.coarse)
    distances = target.query.query(fit.vertices).distances
    assert np.median(distances) < 0.1
    assert fit.converged
    assert 0.01 < fit.strain < 0.15
    short = fit_coarse(prepared, target, pairs, replace(SMALL.coarse, iterations=(1,)))
    assert not short.converged


def test_the_second_thinned_template_goes_on_where_the_first_ended() -> None:
    template = make_template()
    pairs = pair_landmarks(template, true_landmarks(template, truth(OTHER_PERSON)))
    target = Target(make_scan(OTHER_PERSON))

    def distance(control_faces: tuple[int, ...], iterations: tuple[int, ...]) -> float:
        coarse = replace(SMALL.coarse, control_faces=control_faces, iterations=iterations)
        prepared = prepare_template(template, replace(SMALL, coarse=coarse))
        return float(
            target.query.query(fit_coarse(prepared, target, pairs, coarse).vertices).distances.mean()
        )

    both = distance((400, 1500), (10, 1))
    assert both < 0.2 * distance((1500,), (1,))
    assert both < 0.5 * distance((400,), (10,))


@pytest.mark.parametrize("rings", [10, 20])
def test_a_border_speaks_by_its_length_however_finely_it_is_divided(rings: int) -> None:
    directions, faces = cap(rings, 0.0)
    points = 60 * directions
    control = _control(points, faces, SETTINGS)
    evidence = Evidence.none(len(points))
    _BorderEvidence(control, longest_border(Mesh(points, faces)), SETTINGS).add(evidence, points)
    length = 2 * np.pi * 60
    # two directions across the border
    expected = 2 * SETTINGS.border_density * length
    assert np.trace(evidence.precisions.sum(axis=0)) == pytest.approx(expected, rel=0.02)


def test_strain_is_how_unevenly_edges_lengthen(control: ControlMesh) -> None:
    assert _strain(control, 1.3 * control.rest + 5.0) < 1e-12
    assert _strain(control, control.rest * [1.3, 1.0, 1.0]) > 0.05
