"""Laws of the shipped default head: what every reader of the file may count on."""

from __future__ import annotations

import numpy as np
import pytest

from morphkit.archive import load_default_model
from morphkit.io.color import srgb_to_linear
from morphkit.landmarks import canonical_face
from morphkit.morphable import MorphableModel

FLIP = np.array([-1.0, 1.0, 1.0])
MONK_TONES = (
    "f6ede4",
    "f3e7db",
    "f7ead0",
    "eadaba",
    "d7bd96",
    "a07e56",
    "825c43",
    "604134",
    "3a312a",
    "292420",
)
# NIOSH 2005 survey, men and women mixed evenly: name, vertices (None: across to the mirror image), mean, SD.
ANTHROPOMETRY = (
    ("bizygomatic breadth", 3008, None, 139.3, 7.9),
    ("menton-sellion length", 1646, 132, 118.05, 8.05),
    ("nose breadth", 3602, None, 34.9, 4.35),
    ("nose protrusion", 1475, 1493, 20.45, 2.78),
    ("lip length", 2618, None, 49.55, 4.38),
    ("interpupillary distance", 12127, None, 63.2, 3.78),
    ("bigonial breadth", 7930, None, 115.25, 10.97),
)


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model()


def offset(group, coefficients):
    basis = group.basis[:, : coefficients.shape[-1]].astype(np.float64)
    return (coefficients * group.standard_deviations[: coefficients.shape[-1]] @ basis.T).reshape(
        *coefficients.shape[:-1], -1, 3
    )


def unit(head, name):
    row = head.expression_units.names.index(name)
    return offset(head.expression, head.expression_units.coefficients[row])


def landmark(head, vertices, name):
    found = head.landmarks["ibug68"].landmarks(vertices, head.faces)
    return found.points[found.names.index(str(name))]


def test_sizes(head):
    assert 8_000 <= len(head.identity.mean) <= 20_000
    assert head.identity.basis.shape[1] == 80
    assert head.uv is not None
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    extent = np.ptp(head.identity.mean, axis=0)
    np.testing.assert_allclose(extent, (175, 280, 211), atol=15)  # millimetres, a head with its neck


@pytest.mark.parametrize("group", ["identity", "expression", "albedo"])
def test_bases_are_orthonormal_and_ordered(head, group):
    model = getattr(head, group)
    gram = model.basis.T.astype(np.float64) @ model.basis
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=2e-3)
    assert (np.diff(model.standard_deviations) <= 0).all()
    assert (model.standard_deviations > 0).all()
    assert model.noise_variance >= 0


def test_the_surface_is_welded_closed_but_for_the_neck_and_turned_outward(head):
    vertices, faces = head.identity.mean.astype(np.float64), head.faces
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)  # oriented: no edge twice in one direction
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    rim = np.unique(edges[uses == 1])
    assert uses.max() == 2
    assert vertices[rim, 1].max() < landmark(head, vertices, 8)[1] - 10  # below the chin
    assert len(np.unique(edges[uses == 1])) == (uses == 1).sum()  # one closed loop, each vertex on two edges
    corners = vertices[faces]
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume > 2e6
    assert np.array_equal(np.unique(faces), np.arange(len(vertices)))


def test_left_mirrors_right(head):
    mean, mirror = head.identity.mean, head.mirror
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    np.testing.assert_allclose(mean[mirror] * FLIP, mean, atol=0.1)
    np.testing.assert_allclose(head.albedo.mean[mirror], head.albedo.mean, atol=0.01)
    turned = {tuple(sorted(face)) for face in mirror[head.faces].tolist()}
    assert turned == {tuple(sorted(face)) for face in head.faces.tolist()}
    for name, mask in head.masks.items():
        assert np.array_equal(mask[mirror], mask), name


def test_each_mode_is_symmetric_or_antisymmetric(head):
    modes = head.identity.basis.T.reshape(80, -1, 3)
    overlap = np.einsum("kvd,kvd->k", modes[:, head.mirror] * FLIP, modes)
    np.testing.assert_allclose(np.abs(overlap), 1, atol=0.02)


def test_masks_lie_where_their_names_say(head):
    masks, mean = head.masks, head.identity.mean
    assert set(masks) == {"face", "narrow_face", "skin", "eyes", "lips", "ears", "neck"}
    assert all(mask.sum() > 100 for mask in masks.values())
    assert not (masks["narrow_face"] & ~masks["face"]).any()
    assert not (masks["skin"] & (masks["lips"] | masks["eyes"] | masks["ears"] | masks["neck"])).any()
    assert mean[masks["neck"], 1].max() < mean[masks["eyes"], 1].min()
    assert np.abs(mean[masks["ears"], 0]).min() > np.abs(mean[masks["lips"], 0]).max()
    assert mean[masks["face"], 2].min() > mean[:, 2].min() + 60


def test_landmarks_are_mirror_images(head):
    mean = head.identity.mean.astype(np.float64)
    points = head.landmarks["ibug68"].landmarks(mean, head.faces).points
    partner = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    partner += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    partner += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_allclose(points[partner] * FLIP, points, atol=0.1)
    assert points[0, 0] < 0  # the jaw starts at the subject's right ear
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
    assert (
        points[27, 1]
        > points[30, 1]
        > points[33, 1]
        > points[51, 1]
        > points[62, 1]
        > points[66, 1]
        > points[8, 1]
    )


def test_the_478_points_lie_like_the_canonical_face(head):
    mean = head.identity.mean.astype(np.float64)
    points = head.landmarks["mediapipe478"].landmarks(mean, head.faces).points
    rest = canonical_face().vertices
    assert points.shape == (478, 3)
    centred, target = rest - rest.mean(0), points[:468] - points[:468].mean(0)
    u, s, vt = np.linalg.svd(centred.T @ target)
    fitted = centred @ (u @ vt) * s.sum() / (centred**2).sum()
    assert np.sqrt(((fitted - target) ** 2).sum(1)).mean() < 5  # millimetres: people differ by as much
    for centre, ring in ((468, range(469, 473)), (473, range(474, 478))):
        radius = np.linalg.norm(points[list(ring)] - points[centre], axis=1)
        np.testing.assert_allclose(radius, 6, atol=0.8)


def test_expression_units_do_what_their_names_say(head):
    mean = head.identity.mean.astype(np.float64)
    left, right = landmark(head, mean, 54), landmark(head, mean, 48)

    smiling = mean + unit(head, "mouthSmileLeft")
    corner = landmark(head, smiling, 54) - left
    assert corner[0] > 2
    assert corner[1] > 2
    assert np.linalg.norm(landmark(head, smiling, 48) - right) < 1

    opened = mean + unit(head, "jawOpen")
    gap = (landmark(head, opened, 62) - landmark(head, opened, 66))[1]
    assert gap > 15

    blinking = mean + unit(head, "eyeBlinkRight")
    before, after = (landmark(head, v, 37)[1] - landmark(head, v, 41)[1] for v in (mean, blinking))
    assert after < 0.15 * before
    assert np.linalg.norm(landmark(head, blinking, 43) - landmark(head, mean, 43)) < 0.5

    frown = unit(head, "browDownLeft")[2432]
    assert frown[1] < -0.5

    looking = unit(head, "eyeLookInLeft")[12127]
    assert looking[0] < -1


def test_a_unit_mirrors_its_twin(head):
    smile = unit(head, "mouthSmileLeft")[head.mirror] * FLIP
    np.testing.assert_allclose(smile, unit(head, "mouthSmileRight"), atol=1.2)  # an artist drew both


def test_units_are_few_standard_deviations_away(head):
    lengths = np.linalg.norm(head.expression_units.coefficients, axis=1)
    assert len(head.expression_units.names) == 52
    assert lengths.max() < 8
    np.testing.assert_array_equal(head.expression.mean, 0)


@pytest.mark.parametrize("tone", range(10))
def test_every_monk_tone_is_within_reach(head, tone):
    code = MONK_TONES[tone]
    goal = srgb_to_linear(np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255)
    skin = head.masks["skin"]
    mean = head.albedo.mean[skin].mean(0)
    slope = head.albedo.basis.reshape(len(skin), 3, -1)[skin].mean(0) * head.albedo.standard_deviations
    precision = slope.T @ slope / 0.02**2 + np.eye(slope.shape[1])  # the most probable coefficients
    coefficients = np.linalg.solve(precision, slope.T @ (goal - mean) / 0.02**2)
    assert np.abs(coefficients).max() < 3
    assert np.abs(mean + slope @ coefficients - goal).max() < 0.04


def test_the_mean_albedo_is_skin(head):
    albedo, masks = head.albedo.mean, head.masks
    assert albedo.min() >= 0
    assert albedo.max() <= 1
    red, green, blue = albedo[masks["skin"]].mean(0)
    assert red > green > blue
    lips = albedo[masks["lips"]].mean(0)
    assert lips[1] / lips[0] < green / red - 0.05  # redder than the skin


@pytest.mark.parametrize("dimension", ANTHROPOMETRY, ids=lambda d: d[0])
def test_people_have_the_sizes_that_surveys_find(head, dimension):
    _, start, end, mean, deviation = dimension
    end = int(head.mirror[start]) if end is None else end
    rng = np.random.default_rng(3)
    coefficients = rng.normal(size=(3000, 80)) * head.identity.standard_deviations
    rows = [head.identity.basis[3 * v : 3 * v + 3].astype(np.float64) for v in (start, end)]
    a, b = (head.identity.mean[v] + coefficients @ row.T for v, row in zip((start, end), rows, strict=True))
    sizes = np.linalg.norm(a - b, axis=1)
    assert sizes.mean() == pytest.approx(mean, rel=0.05)
    assert sizes.std() == pytest.approx(deviation, rel=0.30)


def test_provenance_names_licence_and_sources(head):
    provenance = head.provenance
    assert provenance["licence"] == "CC0-1.0"
    assert len(provenance["sources"]) == 2
    assert all(source["licence"] == "CC0-1.0" for source in provenance["sources"])
