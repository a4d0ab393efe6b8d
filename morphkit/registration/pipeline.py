"""Register a scan: place the template, deform it coarsely, then finely, and say how it went."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.errors import RegistrationError
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.sampling import farthest_points
from morphkit.geometry.similarity import Similarity
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration.coarse import fit_coarse
from morphkit.registration.fine import fit_fine
from morphkit.registration.nicp import fit_nicp
from morphkit.registration.passive import follow_surroundings
from morphkit.registration.placement import OrientedPoints, place_by_landmarks, place_by_search, trimmed_icp
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate, pair_landmarks, prepare_template
from morphkit.registration.progress import Progress, silent, timed
from morphkit.registration.result import Correspondence, RegistrationResult
from morphkit.registration.settings import RegistrationSettings
from morphkit.registration.target import Target
from morphkit.registration.verdict import diagnose, gate, judge

_PLACEMENT_SAMPLES = 4000
_PLACEMENT_NORMAL_WEIGHT = 25.0


def register(
    scan: Mesh,
    template: Template,
    *,
    landmarks: Landmarks | None = None,
    settings: RegistrationSettings | None = None,
    modes: Float[np.ndarray, "v 3 k"] | None = None,
    progress: Progress | None = None,
) -> RegistrationResult:
    """Deform `template` onto `scan`, vertex for vertex.

    What is computed from the template alone is kept for the next call with the same template object.

    Parameters
    ----------
    scan : millimetres when there are no landmarks (with them any unit will do); normals must point outward.
    template : with embeddings of the landmarks by name; its x axis crosses the plane of symmetry.
    landmarks : of the scan, in its frame. Those that the template knows by name place it and stay as soft
        evidence, according to their standard deviations. None: the placement is searched for.
    modes : (v, 3, k) likely displacements of the template's vertices in its frame, one standard deviation
        each, as a model knows them; the method "nicp" has no use for them.
    progress : called with a stage's name and the share of the work done.

    Raises
    ------
    RegistrationError
        When the scan has no surface, or fewer than three of the landmarks are known to the template.
    ValueError
        When `modes` are given and the method is "nicp".
    """
    settings = settings or RegistrationSettings()
    if settings.method == "nicp" and modes is not None:
        raise ValueError('modes: the method "nicp" takes none')
    report = progress or silent
    _check_scan(scan)
    # one BLAS thread: the matrices are small, spinning threads cost more than they give on a busy machine,
    # and the sums do not depend on the machine
    with threadpool_limits(limits=1, user_api="blas"):
        return _register(scan, template, landmarks, settings, modes, report)


def _register(
    scan: Mesh,
    template: Template,
    landmarks: Landmarks | None,
    settings: RegistrationSettings,
    modes: Float[np.ndarray, "v 3 k"] | None,
    report: Progress,
) -> RegistrationResult:
    timings: dict[str, float] = {}
    with timed(timings, "prepare"):
        prepared = prepare_template(template, settings)
    report("place", 0.05)
    with timed(timings, "place"):
        pairs = None if landmarks is None else _known_landmarks(template, landmarks)
        similarity = _place(scan, prepared, pairs, settings)
        local, local_pairs = _into_template_frame(scan, pairs, similarity)
    if settings.method == "nicp":
        deformed = _by_nicp(prepared, local, local_pairs, settings, report, timings)
    else:
        deformed = _coarse_to_fine(prepared, local, local_pairs, settings, modes, report, timings)
    with timed(timings, "judge"):
        result = _conclude(template, prepared, local, local_pairs, similarity, deformed, settings)
    report("done", 1.0)
    return replace(result, timings=timings)


@dataclass(frozen=True, eq=False)
class _Deformed:
    """What a method hands on: vertices in the template's frame; strain as in `Diagnosis`."""

    vertices: Float[np.ndarray, "v 3"]
    converged: bool
    strain: float | None


def _coarse_to_fine(
    prepared: PreparedTemplate,
    target: Target,
    pairs: LandmarkPairs | None,
    settings: RegistrationSettings,
    modes: Float[np.ndarray, "v 3 k"] | None,
    report: Progress,
    timings: dict[str, float],
) -> _Deformed:
    report("coarse", 0.2)
    with timed(timings, "coarse"):
        coarse = fit_coarse(prepared, target, pairs, settings.coarse, modes)
    report("fine", 0.7)
    with timed(timings, "fine"):
        vertices = follow_surroundings(prepared, fit_fine(prepared, target, coarse.vertices, settings.fine))
    return _Deformed(vertices, coarse.converged, coarse.strain)


def _by_nicp(
    prepared: PreparedTemplate,
    target: Target,
    pairs: LandmarkPairs | None,
    settings: RegistrationSettings,
    report: Progress,
    timings: dict[str, float],
) -> _Deformed:
    with timed(timings, "nicp"):
        fit = fit_nicp(prepared, target, pairs, settings.nicp, lambda stage, p: report(stage, 0.2 + 0.75 * p))
    return _Deformed(fit.vertices, fit.converged, None)


def _check_scan(scan: Mesh) -> None:
    if len(scan.faces) == 0 or not np.isfinite(scan.vertices).all():
        name = scan.source or "the scan"
        raise RegistrationError(
            f"{name}: registration takes a triangle mesh with finite vertices; clean it first"
        )


def _known_landmarks(template: Template, landmarks: Landmarks) -> LandmarkPairs:
    pairs = pair_landmarks(template, landmarks)
    if pairs is None or len(pairs.names) < 3:
        found = ", ".join(landmarks.names[:5])
        raise RegistrationError(
            f"the template knows fewer than 3 of the scan's landmarks ({found}, ...); "
            "give the template's, named alike (--template-landmarks), or leave the scan's out"
        )
    return pairs


def _place(
    scan: Mesh, prepared: PreparedTemplate, pairs: LandmarkPairs | None, settings: RegistrationSettings
) -> Similarity:
    """Return the similarity from the template's frame to the scan's."""
    options = settings.similarity
    template = _oriented(prepared, options.icp_points)
    if pairs is None:
        sample = Target(scan).sample(_PLACEMENT_SAMPLES)
        start = place_by_search(template, sample, options)
        points = OrientedPoints(sample.points, sample.normals, ~sample.near_border, template.normal_weight)
        return trimmed_icp(
            template,
            points,
            start,
            iterations=options.icp_iterations,
            kept_share=options.kept_share,
            scale=True,
        )
    return place_by_landmarks(pairs.source, pairs.target, options)


def _oriented(prepared: PreparedTemplate, count: int) -> OrientedPoints:
    mesh = prepared.mesh
    active = np.flatnonzero(~prepared.passive)
    chosen = active[farthest_points(mesh.vertices[active], count)]
    normals = vertex_normals(mesh.vertices, mesh.faces)[chosen]
    usable = np.ones(len(chosen), dtype=bool)
    return OrientedPoints(mesh.vertices[chosen], normals, usable, _PLACEMENT_NORMAL_WEIGHT)


def _into_template_frame(
    scan: Mesh, pairs: LandmarkPairs | None, similarity: Similarity
) -> tuple[Target, LandmarkPairs | None]:
    back = similarity.inverse()
    target = Target(Mesh(back.apply(scan.vertices), scan.faces))
    if pairs is None:
        return target, None
    covariances = pairs.covariances
    if covariances is not None:
        turn = back.scale * back.rotation
        covariances = turn @ covariances @ turn.T
    local = replace(
        pairs,
        target=back.apply(pairs.target),
        deviations=pairs.deviations * back.scale,
        covariances=covariances,
    )
    return target, local


def _conclude(
    template: Template,
    prepared: PreparedTemplate,
    target: Target,
    pairs: LandmarkPairs | None,
    similarity: Similarity,
    deformed: _Deformed,
    settings: RegistrationSettings,
) -> RegistrationResult:
    mesh, vertices = template.mesh, deformed.vertices
    match = target.match(vertices, None, 0.0, None)
    valid = gate(match, vertex_normals(vertices, mesh.faces), prepared.passive, settings.gates)
    diagnosis = diagnose(
        prepared,
        vertices,
        valid,
        match.closest.distances,
        pairs,
        similarity,
        deformed.strain,
        _judged(template, prepared),
    )
    verdict, reasons = judge(diagnosis)
    placed = similarity.apply(vertices)
    return RegistrationResult(
        mesh=replace(mesh, vertices=placed, source=None),
        valid=valid,
        distances=match.closest.distances * similarity.scale,
        correspondence=Correspondence(match.closest.face_indices, match.closest.barycentrics),
        similarity=fit_similarity(mesh.vertices, placed),
        diagnosis=diagnosis,
        converged=deformed.converged,
        verdict=verdict,
        reasons=reasons,
        timings={},
    )


def _judged(template: Template, prepared: PreparedTemplate) -> np.ndarray:
    """Return the vertices that any scan of a face should cover."""
    face = template.masks.get("face")
    return ~prepared.passive if face is None else face & ~prepared.passive
