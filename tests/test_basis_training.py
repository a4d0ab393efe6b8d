"""Ways to build a model: weights, mirror images, expressions, holes, files."""

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.basis import BasisSettings, fit_basis, update_model
from morphkit.basis.mirroring import mirror_image
from morphkit.errors import BadInputError
from morphkit.mesh import Mesh, Template

N = 15  # vertices a side; the middle column lies on the plane of symmetry


def make_template():
    u, v = np.meshgrid(np.linspace(-1, 1, N), np.linspace(-1, 1, N), indexing="ij")
    vertices = np.stack([70 * u, 100 * v, 60 * (1 - u**2 - 0.5 * v**2)], axis=-1).reshape(-1, 3)
    i = (np.arange(N - 1)[:, None] * N + np.arange(N - 1)).ravel()
    faces = np.concatenate([np.stack([i, i + N, i + N + 1], 1), np.stack([i, i + N + 1, i + 1], 1)])
    return Template(Mesh(vertices, faces.astype(np.int32)), {}, {"face": np.abs(vertices[:, 1]) < 80})


TEMPLATE = make_template()
P = TEMPLATE.mesh.vertices / 100
MIRROR = np.arange(N * N).reshape(N, N)[::-1].reshape(-1)


def make_people(rng, count=12):
    """Return shapes of three symmetric modes and a lopsided one, without pose."""
    modes = np.stack(
        [
            P * [1, 0, 0.3],
            P * [0, 1, 0],
            np.sin(3 * P[:, [1]]) * [0, 0, 1.0],
            np.sin(4 * P[:, [0]]) * [0, 0, 1.0],
        ]
    )
    return 100 * P + np.einsum("nk,kvd->nvd", rng.standard_normal((count, 4)) * [6, 4, 2, 1], modes)


def posed(rng, shapes):
    return np.stack(
        [s @ Rotation.random(rng=rng).as_matrix().T + 100 * rng.standard_normal(3) for s in shapes]
    )


def smile(strength):
    """Return an offset of the lower half."""
    return strength * np.where(P[:, [1]] < -0.3, np.abs(P[:, [0]]) * [0.0, 1.0, 0.5], 0)


def test_weights_are_repetitions(rng):
    people = posed(rng, make_people(rng, 6))
    counts = np.array([1, 2, 1, 3, 1, 2])
    weighted = fit_basis(people, TEMPLATE, weights=counts.astype(float))
    repeated = fit_basis(np.repeat(people, counts, axis=0), TEMPLATE)
    np.testing.assert_allclose(weighted.model.identity.mean, repeated.model.identity.mean, atol=1e-3)
    a, b = weighted.shape_fit, repeated.shape_fit
    np.testing.assert_allclose(a.variances / a.unbias, b.variances[:5] / b.unbias, rtol=1e-4)


@pytest.mark.parametrize("missing", ["registered", "statistics"])
def test_mirrored_training_is_symmetric(rng, missing):
    people, valid = posed(rng, make_people(rng)), rng.random((12, len(P))) < 0.95
    colors = rng.uniform(0.2, 0.8, (12, len(P), 3)).astype(np.float32)
    colors[2, 5] = np.nan
    built = fit_basis(
        people,
        TEMPLATE,
        colors=colors,
        valid=valid,
        mirror=MIRROR,
        settings=BasisSettings(6, 3, missing=missing, mirrored=True),
    )
    model = built.model
    for group, flip in ((model.identity, True), (model.albedo, False)):
        np.testing.assert_array_equal(mirror_image(group.mean, MIRROR, flip), group.mean)
        assert group.is_orthonormal
    modes = model.identity.basis.T.reshape(-1, len(P), 3)
    even = np.sum(modes * mirror_image(modes, MIRROR, True), axis=(1, 2))
    strong = model.identity.standard_deviations > 1.0
    np.testing.assert_allclose(np.abs(even[strong]), 1, atol=1e-6 if missing == "registered" else 0.02)
    assert (even > 0).any()
    assert (even < 0).any()


def test_a_mirrored_set_gives_the_same_symmetric_model(rng):
    people = make_people(rng)
    settings = BasisSettings(6, mirrored=True)
    a = fit_basis(posed(rng, people), TEMPLATE, mirror=MIRROR, settings=settings).model.identity
    b = fit_basis(
        posed(rng, mirror_image(people, MIRROR, True)), TEMPLATE, mirror=MIRROR, settings=settings
    ).model.identity
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-3)
    np.testing.assert_allclose(a.standard_deviations, b.standard_deviations, rtol=1e-3)


def test_expressions_are_offsets_from_their_own_neutral(rng):
    people = make_people(rng, 5)
    strengths = np.array([9.0, 14.0, 11.0, 6.0])
    shapes = np.concatenate(
        [people, [person + smile(s) for person, s in zip(people, strengths, strict=False)]]
    )
    subjects = [f"p{i}" for i in (*range(5), *range(4))]
    expressions = ["neutral"] * 5 + ["smile"] * 4
    subjects[-1], people_left = "stranger", 3
    built = fit_basis(posed(rng, shapes), TEMPLATE, subjects=subjects, expressions=expressions)
    group = built.model.expression
    np.testing.assert_array_equal(group.mean, 0)
    direction = smile(1.0).ravel() / np.linalg.norm(smile(1.0))
    assert len(built.alignment.shapes) == 5  # identity from neutral scans only
    assert abs(group.basis[:, 0] @ direction) > 0.999
    expected = np.sqrt(np.mean(strengths[:people_left] ** 2)) * np.linalg.norm(smile(1.0))
    assert group.standard_deviations[0] == pytest.approx(expected, rel=0.01)
    assert group.standard_deviations[1:].max(initial=0) < 0.05 * expected
    assert "Expression: 1 scans are left out, for want of a neutral scan of stranger." in built.notes
    assert built.model.provenance["scan_count"] == 5
    assert built.model.provenance["expression_scan_count"] == 3


def test_a_neutral_face_has_no_expression_whatever_its_pose(rng):
    people = make_people(rng, 4)
    shapes = posed(rng, np.concatenate([people, people[:2]]))
    built = fit_basis(shapes, TEMPLATE, subjects=list("abcdab"), expressions=["neutral"] * 4 + ["none"] * 2)
    assert built.expression_fit.total_variance < 1e-12


def test_mirrored_expressions(rng):
    people = make_people(rng, 3)
    wink = np.where(P[:, [0]] > 0.2, [0, 3.0, 0], 0)
    shapes = np.concatenate([people, people + wink])
    built = fit_basis(
        shapes,
        TEMPLATE,
        subjects=list("abcabc"),
        expressions=["neutral"] * 3 + ["wink"] * 3,
        mirror=MIRROR,
        settings=BasisSettings(mirrored=True),
    )
    group = built.model.expression
    for side in (wink, mirror_image(wink, MIRROR, True)):
        rebuilt = group.offset(group.project(side))
        assert np.linalg.norm(rebuilt - side) < 0.02 * np.linalg.norm(side)


def test_holes_are_left_to_the_statistics(rng):
    people = make_people(rng, 40)
    valid = rng.random((40, len(P))) < 0.85
    wild = people + np.where(valid, 0, 1)[:, :, None] * rng.normal(0, 5, people.shape)
    valid[:, 3], wild[:, 3] = False, people[:, 3]  # found on no scan, but well continued
    settings = BasisSettings(4)
    truth = fit_basis(people, TEMPLATE, settings=settings).model.identity
    naive = fit_basis(wild, TEMPLATE, valid=valid, settings=settings).model.identity
    built = fit_basis(wild, TEMPLATE, valid=valid, settings=BasisSettings(4, missing="statistics"))
    found = built.model.identity

    def angle(group):
        return np.linalg.svd(truth.basis[:, :4].T @ group.basis[:, :4], compute_uv=False).min()

    assert angle(found) > 0.995
    assert angle(naive) < 0.98
    assert "Shape: 1 vertices were found on too few scans and count as registered." in built.notes
    share = fit_basis(wild, TEMPLATE, valid=valid, settings=BasisSettings(0.9, missing="statistics"))
    assert share.model.identity.n_components < 4


@pytest.mark.parametrize(
    "settings",
    [
        BasisSettings(5, 3),
        BasisSettings(5, 3, method="randomized"),
        BasisSettings(5, 3, 2, missing="statistics"),
        BasisSettings(5, 3, 2, mirrored=True),
        BasisSettings(5, 3, 2, mirrored=True, missing="statistics"),
    ],
)
def test_files_give_what_arrays_give(rng, tmp_path, settings):
    people = make_people(rng, 12)
    shapes = posed(rng, np.concatenate([people, people[:4] + smile(8.0), people[4:6] - smile(5.0)]))
    shapes = shapes.astype(np.float32)
    colors = rng.uniform(0.2, 0.8, shapes.shape).astype(np.float32)
    valid = rng.random(shapes.shape[:2]) < 0.95
    colors[~valid] = np.nan
    options = {
        "weights": rng.uniform(0.5, 2, 18),
        "subjects": [str(i) for i in (*range(12), *range(6))],
        "expressions": ["neutral"] * 12 + ["smile"] * 6,
        "mirror": MIRROR,
        "settings": settings,
    }
    plain = fit_basis(shapes, TEMPLATE, colors=colors, valid=valid, **options).model
    with h5py.File(tmp_path / "scans.h5", "w") as file:
        file["shapes"], file["colors"], file["valid"] = shapes, colors, valid
        built = fit_basis(
            file["shapes"],
            TEMPLATE,
            colors=file["colors"],
            valid=file["valid"],
            output=file.create_group("work"),
            **options,
        )
        assert isinstance(built.alignment.shapes, h5py.Dataset)
        with pytest.raises(ValueError, match="output"):
            fit_basis(file["shapes"], TEMPLATE, **options)
    for name in ("identity", "expression", "albedo"):
        ours, theirs = getattr(built.model, name), getattr(plain, name)
        np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-3)
        np.testing.assert_allclose(ours.standard_deviations, theirs.standard_deviations, rtol=1e-3)
        overlap = np.linalg.svd(ours.basis.T @ theirs.basis, compute_uv=False)
        np.testing.assert_allclose(overlap, 1, atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_update_equals_building_from_all(rng, mirrored):
    people = make_people(rng, 20)
    settings = BasisSettings(None, mirrored=mirrored)
    first = fit_basis(people[:14], TEMPLATE, mirror=MIRROR, settings=settings).model
    updated = update_model(first, posed(rng, people[14:]), components=4)
    whole = fit_basis(people, TEMPLATE, mirror=MIRROR, settings=settings).model.truncate(4)
    assert updated.provenance["scan_count"] == 20
    # all but what aligning onto the old mean, not the new one, makes out
    shift = np.linalg.norm(updated.identity.mean - whole.identity.mean, axis=1)
    assert shift.max() < 0.2
    np.testing.assert_allclose(
        updated.identity.standard_deviations[:3], whole.identity.standard_deviations[:3], rtol=0.03
    )
    assert updated.identity.is_orthonormal


def test_broken_contracts_are_named(rng):
    people = make_people(rng, 4)
    with pytest.raises(ValueError, match="subjects has 3 labels for 4 shapes"):
        fit_basis(people, TEMPLATE, subjects=list("abc"))
    with pytest.raises(BadInputError, match="1 of 4 scans are neutral"):
        fit_basis(people, TEMPLATE, expressions=["neutral", "a", "b", "c"])
    with pytest.raises(ValueError, match="left-right vertex map"):
        fit_basis(people, TEMPLATE, settings=BasisSettings(mirrored=True))
    turned = Template(Mesh(TEMPLATE.mesh.vertices[:, [2, 1, 0]], TEMPLATE.mesh.faces))
    with pytest.raises(BadInputError, match="symmetric about the plane"):
        fit_basis(people, turned, mirror=MIRROR, settings=BasisSettings(mirrored=True))
    model = fit_basis(people, TEMPLATE).model
    with pytest.raises(ValueError, match="shapes have 7 vertices"):
        update_model(model, np.zeros((2, 7, 3)))
    with pytest.raises(BadInputError, match="say how many"):
        update_model(model, people, n_samples=1)
