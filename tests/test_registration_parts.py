from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from registration_scene import make_template
from scipy.spatial.transform import Rotation

from morphkit.errors import RegistrationError
from morphkit.geometry.similarity import Similarity
from morphkit.registration import RegistrationSettings
from morphkit.registration.passive import follow_surroundings
from morphkit.registration.placement import place_by_landmarks
from morphkit.registration.prepared import prepare_template
from morphkit.registration.result import Diagnosis
from morphkit.registration.settings import SimilaritySettings
from morphkit.registration.verdict import judge


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_placement_survives_wrong_landmarks(rng: np.random.Generator, share: float) -> None:
    template = make_template()
    source = template.landmarks["ibug68"].landmarks(template.mesh.vertices, template.mesh.faces).points
    expected = Similarity(0.01, Rotation.from_rotvec([2.0, 1, -1]).as_matrix(), np.array([3.0, 5, -2]))
    target = expected.apply(source)
    wrong = rng.random(len(source)) < share
    target[wrong] += rng.normal(scale=1.0, size=(wrong.sum(), 3))
    found = place_by_landmarks(source, target, SimilaritySettings())
    tolerance = 1e-9 if share == 0 else 0.005
    np.testing.assert_allclose(found.apply(source), expected.apply(source), atol=tolerance)


def test_two_landmarks_are_too_few() -> None:
    with pytest.raises(RegistrationError, match="at least 3"):
        place_by_landmarks(np.eye(3)[:2], np.eye(3)[:2], SimilaritySettings())


def test_verdicts_follow_the_figures() -> None:
    fine = Diagnosis(covered=0.9, distance=0.1, landmark_error=1.0, flipped=0.0, strain=0.1, resizing=0.1)
    assert judge(fine) == ("good", ())
    verdict, reasons = judge(
        Diagnosis(covered=0.4, distance=0.1, landmark_error=None, flipped=0.0, strain=0.1, resizing=0.1)
    )
    assert verdict == "doubtful"
    assert reasons == ("only 40% of the template found the scan",)
    verdict, reasons = judge(
        Diagnosis(covered=0.2, distance=3.0, landmark_error=20.0, flipped=0.1, strain=0.9, resizing=None)
    )
    assert verdict == "failed"
    assert len(reasons) == 5


def test_vertices_of_no_triangle_follow_what_is_around_them(rng: np.random.Generator) -> None:
    template = make_template()
    mesh, settings = template.mesh, RegistrationSettings(method="nicp")
    count = len(mesh.vertices)
    chosen = rng.choice(count, 50, replace=False)
    outside = mesh.vertices[chosen] * 1.01  # the mesh is about the origin
    with_loose = replace(template, mesh=replace(mesh, vertices=np.vstack([mesh.vertices, outside]), uv=None))
    alone, prepared = (prepare_template(given, settings) for given in (template, with_loose))
    np.testing.assert_array_equal(prepared.passive[:count], alone.passive)
    assert prepared.passive[count:].all()
    bent = with_loose.mesh.vertices * [1.1, 0.9, 1.0] + [5.0, 0.0, 0.0]
    moved = bent.copy()
    moved[count:] = np.nan
    followed = follow_surroundings(prepared, moved)
    near = ~prepared.passive[chosen]
    assert np.linalg.norm(followed[count:] - bent[count:], axis=1)[near].max() < 2.0  # of ten millimetres
