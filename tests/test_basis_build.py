"""From registered meshes to a model."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.archive import load_model, save_model
from morphkit.basis import BasisSettings, build_model, compactness, fit_albedo, fit_basis, fit_linear_model
from morphkit.mesh import LandmarkEmbedding, Mesh, Template


def make_template(n=14):
    u, v = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij")
    vertices = np.stack([70 * u, 100 * v, 60 * (1 - u**2 - 0.5 * v**2)], axis=-1).reshape(-1, 3)
    i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.stack([i, i + n, i + n + 1], 1), np.stack([i, i + n + 1, i + 1], 1)])
    landmark = LandmarkEmbedding(("30",), np.array([5], np.int32), np.array([[1.0, 0.0, 0.0]]))
    uv = (vertices[faces][..., :2] / 300 + 0.5).astype(np.float32)
    masks = {"face": np.abs(vertices[:, 0]) < 50}
    return Template(Mesh(vertices, faces.astype(np.int32), uv=uv), {"ibug68": landmark}, masks)


def make_people(rng, template, count=12):
    """Return shapes of three true modes, without pose."""
    p = template.mesh.vertices / 100
    modes = np.stack([p * [1, 0, 0.3], p * [0, 1, 0], np.sin(3 * p[:, [1]]) * [0, 0, 1.0]])
    weights = rng.standard_normal((count, 3)) * [6, 4, 2]
    return template.mesh.vertices + np.einsum("nk,kvd->nvd", weights, modes)


def posed(rng, shapes):
    return np.stack(
        [s @ Rotation.random(rng=rng).as_matrix().T + 100 * rng.standard_normal(3) for s in shapes]
    )


def test_robust_alignment_is_a_setting(rng):
    template = make_template()
    shapes = template.mesh.vertices + 0.3 * rng.standard_normal((8, *template.mesh.vertices.shape))
    spoiled = np.flatnonzero(template.masks["face"])[:15]
    shapes[2, spoiled] += 60.0
    plain, robust = (
        fit_basis(shapes, template, settings=BasisSettings(robust=kernel)) for kernel in (None, "tukey")
    )
    still = np.setdiff1d(np.arange(shapes.shape[1]), spoiled)
    errors = [
        np.abs(built.alignment.shapes[2, still] - built.alignment.shapes[3, still]).max()
        for built in (plain, robust)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_model_explains_the_people_it_was_built_from(rng):
    template = make_template()
    people = posed(rng, make_people(rng, template))
    built = fit_basis(people, template)
    model = built.model
    assert model.identity.is_orthonormal
    for shape in built.alignment.shapes:
        rebuilt = model.instance(model.project(shape).identity)
        assert np.linalg.norm(rebuilt - shape, axis=1).max() < 2e-3
    share = compactness(model.identity)
    assert share[4] > 0.999
    assert (np.diff(share) > 0).all()
    assert share[-1] <= 1 + 1e-9
    assert built.notes == (
        f"Shape: {model.identity.n_components} components instead of 80: 12 samples span no more.",
    )


def test_what_the_template_carries_reaches_the_file(rng, tmp_path):
    template = make_template()
    people = make_people(rng, template).astype(np.float32)
    mirror = np.arange(len(template.mesh.vertices), dtype=np.int32)
    model = build_model(
        people, template, mirror=mirror, settings=BasisSettings(3), provenance={"scans": [{"name": "a.ply"}]}
    )
    save_model(tmp_path / "m.h5", model)
    back = load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(back.faces, template.mesh.faces)
    np.testing.assert_array_equal(back.uv, template.mesh.uv)
    np.testing.assert_array_equal(back.masks["face"], template.masks["face"])
    np.testing.assert_array_equal(back.mirror, mirror)
    assert back.landmarks["ibug68"].names == ("30",)
    assert back.provenance["scans"] == [{"name": "a.ply"}]
    assert back.provenance["scan_count"] == 12
    assert back.provenance["basis_settings"]["identity_components"] == 3
    assert back.identity.n_components == 3
    assert back.albedo is None


def test_mean_is_in_the_templates_frame(rng):
    template = make_template()
    model = build_model(posed(rng, make_people(rng, template)), template)
    assert np.linalg.norm(model.instance() - template.mesh.vertices, axis=1).mean() < 3.0


def test_a_linear_model_is_its_pca(rng):
    shapes = make_people(rng, make_template()).astype(np.float32)
    model = fit_linear_model(shapes, 3)
    for shape in shapes:
        np.testing.assert_allclose(model.instance(model.project(shape)), shape, atol=1e-3)


def make_colors(rng, template, count=10):
    v = len(template.mesh.vertices)
    modes = np.stack([np.ones((v, 3)), np.sin(template.mesh.vertices / 40)]) * 0.1
    return (0.5 + np.einsum("nk,kvd->nvd", rng.uniform(-1, 1, (count, 2)), modes)).astype(np.float32)


def test_colours_with_gaps_make_a_whole_albedo(rng):
    template = make_template()
    colors = make_colors(rng, template)
    unseen = template.mesh.vertices[:, 1] > 85
    holed = np.where((rng.random(colors.shape[:2]) < 0.2)[:, :, None] | unseen[:, None], np.nan, colors)
    holed[4] = np.nan
    built = fit_basis(make_people(rng, template, 10), template, colors=holed, settings=BasisSettings(3, 2))
    model = built.model
    assert model.albedo.is_orthonormal
    assert model.albedo.n_components == 2
    for color in colors[[0, 7]]:
        rebuilt = model.albedo.instance(model.albedo.project(color.astype(np.float64)))
        assert np.abs(rebuilt - color)[~unseen].max() < 0.01
        assert np.abs(rebuilt - color)[unseen].max() < 0.1
    assert "Albedo: 1 of 10 scans have no colours." in built.notes
    scarce = np.isfinite(holed[..., 0]).sum(axis=0) < 5
    assert scarce.sum() > unseen.sum()
    assert (
        f"Albedo: {scarce.sum()} vertices were seen on too few scans and continue their neighbours."
        in built.notes
    )


def test_unseen_vertices_continue_their_neighbours(rng):
    template = make_template()
    colors = make_colors(rng, template, 10)
    colors[:, 100] = np.nan
    colors[3, 100] = 0.9  # one scan in ten is no statistics
    model, _ = fit_albedo(colors, template.mesh.faces, 2)
    ring = np.unique(template.mesh.faces[(template.mesh.faces == 100).any(axis=1)])
    ring = ring[ring != 100]
    np.testing.assert_allclose(model.mean[100], model.mean[ring].mean(axis=0), atol=1e-5)


def test_no_albedo_from_one_coloured_scan(rng):
    template = make_template()
    colors = np.full((5, len(template.mesh.vertices), 3), np.nan, np.float32)
    colors[0] = 0.5
    built = fit_basis(make_people(rng, template, 5), template, colors=colors)
    assert built.model.albedo is None
    assert "No albedo: 1 of 5 scans have colours; it needs two that count." in built.notes
    colors[1] = 0.4  # of a scan that does not count
    built = fit_basis(
        make_people(rng, template, 5), template, colors=colors, weights=np.array([1.0, 0, 1, 1, 1])
    )
    assert built.model.albedo is None


def test_same_input_same_model(rng):
    template = make_template()
    people = posed(rng, make_people(rng, template))
    colors = make_colors(rng, template, 12)
    colors[3, :9] = np.nan
    a, b = (build_model(people, template, colors=colors) for _ in range(2))
    np.testing.assert_array_equal(a.identity.basis, b.identity.basis)
    np.testing.assert_array_equal(a.albedo.basis, b.albedo.basis)


def test_another_topology_is_named(rng):
    with pytest.raises(ValueError, match="shapes have 5 vertices, the template 196"):
        build_model(np.zeros((3, 5, 3)), make_template())


@pytest.mark.parametrize(("scans", "fewest"), [(2, 2), (3, 2), (5, 3), (8, 5), (12, 5), (40, 12)])
def test_few_scans_must_show_a_vertex(rng, scans, fewest):
    template = make_template()
    colors = make_colors(rng, template, scans)
    colors[fewest:, 7] = np.nan
    colors[fewest - 1 :, 100] = np.nan
    _, fit = fit_albedo(colors, template.mesh.faces, 2)
    assert np.flatnonzero(~fit.observed.reshape(-1, 3).all(axis=1)).tolist() == [100]


def test_two_halves_are_a_whole(rng):
    template = make_template()
    colors = make_colors(rng, template, 2)
    colors[0, ::2] = np.nan
    colors[1, 1::2] = np.nan
    model, fit = fit_albedo(colors, template.mesh.faces, 1)
    assert fit.observed.all()
    np.testing.assert_allclose(model.mean[::2], colors[1, ::2], atol=0.2)


def test_a_scan_of_no_weight_shows_nothing(rng):
    template = make_template()
    colors = make_colors(rng, template, 8)
    colors[5:, :40] = np.nan
    weights = np.r_[np.zeros(5), np.ones(3)]
    model, fit = fit_albedo(colors, template.mesh.faces, 2, weights=weights)
    assert np.flatnonzero(~fit.observed.reshape(-1, 3).all(axis=1)).tolist() == list(range(40))
    assert model.mean[:40].min() > 0.3  # continued, not black
