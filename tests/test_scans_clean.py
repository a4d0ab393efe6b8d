"""Cleaning: what is sound stays as it is, what is broken is mended and reported, or refused."""

import dataclasses

import numpy as np
import pytest

from morphkit.errors import RejectedScanError
from morphkit.mesh import Mesh
from morphkit.scans import CleanSettings, clean_scan
from morphkit.scans._repairs import find_edges

LOW = CleanSettings(min_triangles=4)


def make_shell(n=24):
    """A half ellipsoid of a face's size, open at the back, facing +z, counter-clockwise from outside."""
    u, v = np.meshgrid(np.linspace(-1.2, 1.2, n), np.linspace(-1.2, 1.2, n), indexing="ij")
    x, y, z = np.sin(u) * np.cos(v), np.sin(v), np.cos(u) * np.cos(v)
    vertices = np.stack([75 * x, 110 * y, 90 * z], axis=-1).reshape(-1, 3)
    i = np.arange(n - 1)[:, None] * n + np.arange(n - 1)
    a, b, c, d = (k.ravel() for k in (i, i + n, i + n + 1, i + 1))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    colors = np.linspace(0, 1, 3 * n * n).reshape(-1, 3).astype(np.float32)
    return Mesh(vertices, faces.astype(np.int32), colors=colors)


def with_parts(mesh, vertices, faces):
    """Append vertices and faces (which count from the appended vertices on)."""
    grey = np.full((len(vertices), 3), 0.5, np.float32)
    return dataclasses.replace(
        mesh,
        vertices=np.concatenate([mesh.vertices, vertices]),
        faces=np.concatenate([mesh.faces, np.asarray(faces) + len(mesh.vertices)]).astype(np.int32),
        colors=np.concatenate([mesh.colors, grey]),
    )


def same_surface(a, b):
    """Whether two meshes have the same triangles, whatever their order, start and vertex numbers."""

    def keys(mesh):
        corners = mesh.vertices[mesh.faces]
        first = np.array([np.lexsort(c.T[::-1])[0] for c in corners])
        return {tuple(np.roll(c, -f, axis=0).ravel()) for c, f in zip(corners, first, strict=True)}

    return keys(a) == keys(b)


def test_a_sound_scan_is_untouched():
    shell = make_shell()
    cleaned = clean_scan(shell)
    assert cleaned.report.actions == cleaned.report.remarks == ()
    assert cleaned.report.scale == 1.0
    np.testing.assert_array_equal(cleaned.mesh.vertices, shell.vertices)
    np.testing.assert_array_equal(cleaned.mesh.faces, shell.faces)
    np.testing.assert_array_equal(cleaned.mesh.colors, shell.colors)


def test_what_is_left_is_said():
    shell = make_shell()
    doubled = dataclasses.replace(shell, faces=np.concatenate([shell.faces, shell.faces[:3]]))
    report = clean_scan(doubled).report
    assert report.remarks == (*report.actions, "1,058 of 1,061 triangles are left.")
    assert len(report.actions) == 1


def test_inputs_are_not_mutated(rng):
    shell = make_shell()
    shell.vertices[3] = np.nan
    copies = [array.copy() for array in (shell.vertices, shell.faces, shell.colors)]
    clean_scan(shell)
    for array, copy in zip((shell.vertices, shell.faces, shell.colors), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_nan_vertices_go_with_their_faces():
    shell = make_shell()
    vertices = shell.vertices.copy()
    vertices[[100, 300], [0, 2]] = np.nan, np.inf
    cleaned = clean_scan(dataclasses.replace(shell, vertices=vertices))
    assert np.isfinite(cleaned.mesh.vertices).all()
    assert len(cleaned.mesh.vertices) == len(vertices) - 2
    assert "2 vertices that were not numbers were removed." in cleaned.report.actions
    np.testing.assert_array_equal(cleaned.mesh.colors, np.delete(shell.colors, [100, 300], axis=0))


def test_triangle_soup_is_welded():
    shell = make_shell()
    soup = Mesh(
        shell.vertices[shell.faces].reshape(-1, 3),
        np.arange(3 * len(shell.faces), dtype=np.int32).reshape(-1, 3),
    )
    cleaned = clean_scan(soup)
    assert len(cleaned.mesh.vertices) == len(shell.vertices)
    assert same_surface(cleaned.mesh, shell)


def test_negative_zero_is_the_same_place():
    shell = make_shell(25)
    soup = shell.vertices[shell.faces].reshape(-1, 3)
    soup[::2] += 0.0
    soup[1::2] = np.where(soup[1::2] == 0, -0.0, soup[1::2])
    cleaned = clean_scan(Mesh(soup, np.arange(len(soup), dtype=np.int32).reshape(-1, 3)))
    assert len(cleaned.mesh.vertices) == len(shell.vertices)


def test_duplicate_and_degenerate_faces_go():
    shell = make_shell()
    faces = np.concatenate(
        [shell.faces, shell.faces[:, [1, 2, 0]], shell.faces[:50, ::-1], [[1, 1, 2], [5, 5, 5]]]
    )
    cleaned = clean_scan(dataclasses.replace(shell, faces=faces.astype(np.int32)))
    np.testing.assert_array_equal(cleaned.mesh.faces, shell.faces)
    assert f"{len(shell.faces) + 50} triangles given twice were removed." in cleaned.report.actions
    assert "2 triangles without area were removed." in cleaned.report.actions


def test_a_face_given_thousandfold():
    shell = make_shell()
    faces = np.concatenate([shell.faces, np.repeat(shell.faces[:1], 5000, axis=0)])
    cleaned = clean_scan(dataclasses.replace(shell, faces=faces))
    np.testing.assert_array_equal(cleaned.mesh.faces, shell.faces)


def test_fins_on_400_edges_go_and_the_surface_stays(rng):
    shell = make_shell(40)
    row, column = shell.faces.T // 40, shell.faces.T % 40
    inside = ((row > 0) & (row < 39) & (column > 0) & (column < 39)).all(axis=0)
    picked = rng.choice(np.flatnonzero(inside), 400, replace=False)
    tips = shell.vertices[shell.faces[picked]].mean(axis=1) * 1.1
    fins = np.stack(
        [shell.faces[picked, 1], shell.faces[picked, 0], len(shell.vertices) + np.arange(400)], axis=1
    )
    broken = Mesh(
        np.concatenate([shell.vertices, tips]), np.concatenate([shell.faces, fins]).astype(np.int32)
    )
    cleaned = clean_scan(broken)
    assert find_edges(cleaned.mesh.faces).counts.max() == 2
    assert same_surface(cleaned.mesh, shell)
    assert any("more than two triangles" in action for action in cleaned.report.actions)


def test_any_tangle_ends_with_at_most_two_faces_an_edge(rng):
    vertices = rng.standard_normal((60, 3)) * 80
    faces = np.sort(rng.integers(0, 60, (4000, 3)), axis=1).astype(np.int32)
    cleaned = clean_scan(Mesh(vertices, faces), LOW)
    assert find_edges(cleaned.mesh.faces).counts.max() <= 2


def test_small_pieces_go_and_large_ones_stay():
    shell = make_shell()
    square = np.array([[0, 0, 300], [5, 0, 300], [5, 5, 300], [0, 5, 300]], float)
    eye = square * [4, 4, 1] + [0, 0, 20]
    faces = [[0, 1, 2], [0, 2, 3]]
    cleaned = clean_scan(with_parts(with_parts(shell, square, faces), eye, faces))
    assert cleaned.report.actions == ("1 small loose piece was removed.",)
    assert len(cleaned.mesh.vertices) == len(shell.vertices) + 4


def test_two_sheets_are_both_kept():
    shell = make_shell()
    twice = with_parts(shell, shell.vertices + np.array([0, 0, 1.5]), shell.faces)
    assert len(clean_scan(twice).mesh.faces) == 2 * len(shell.faces)


def test_spikes_are_flattened_and_nothing_else_moves(rng):
    shell = make_shell(60)
    inner = np.flatnonzero((np.abs(shell.vertices[:, 0]) < 55) & (np.abs(shell.vertices[:, 1]) < 80))
    picked = rng.choice(inner, 7, replace=False)
    vertices = shell.vertices + 0.08 * rng.standard_normal(shell.vertices.shape)
    spiked = vertices.copy()
    spiked[picked] *= 1.25
    cleaned = clean_scan(dataclasses.replace(shell, vertices=spiked)).mesh
    assert np.linalg.norm(cleaned.vertices[picked] - shell.vertices[picked], axis=1).max() < 1.0
    rest = np.setdiff1d(np.arange(len(vertices)), picked)
    np.testing.assert_array_equal(cleaned.vertices[rest], vertices[rest])


def test_winding_is_made_to_agree(rng):
    shell = make_shell()
    faces = shell.faces.copy()
    turned = rng.random(len(faces)) < 0.4
    faces[turned] = faces[turned][:, ::-1]
    cleaned = clean_scan(dataclasses.replace(shell, faces=faces))
    assert same_surface(cleaned.mesh, shell)
    assert f"{turned.sum()} triangles were turned to agree with the rest." in cleaned.report.actions


def test_an_inside_out_scan_is_turned_over():
    shell = make_shell()
    cleaned = clean_scan(dataclasses.replace(shell, faces=shell.faces[:, ::-1].copy()))
    assert same_surface(cleaned.mesh, shell)
    assert cleaned.report.actions == ("The surface looked inwards and was turned over.",)


def make_eye(n=9):
    """A cap of 20 mm in front of the shell's nose, looking outwards."""
    shell = make_shell(n)
    return shell.vertices * [0.13, 0.09, 0.09] + [0, 0, 95], shell.faces


@pytest.mark.parametrize("depth", [1, -1])
@pytest.mark.parametrize("inside_out", [False, True])
def test_a_loose_piece_must_look_where_its_surroundings_do(depth, inside_out):
    vertices, faces = make_eye()
    vertices = (vertices - [0, 0, 95]) * [1, 1, depth] + [0, 0, 95]  # a cap, or a pocket
    right, wrong = (with_parts(make_shell(), vertices, f) for f in (faces, faces[:, ::-1]))
    given = dataclasses.replace(right, faces=right.faces[:, ::-1].copy()) if inside_out else wrong
    cleaned = clean_scan(given)
    assert same_surface(cleaned.mesh, right)
    whole = "The surface looked inwards and was turned over."
    piece = "1 loose piece looked inwards and was turned over."
    assert cleaned.report.actions == ((whole, piece) if inside_out else (piece,))


@pytest.mark.parametrize("part", ["small", "as large"])
def test_what_lies_beneath_the_surface_is_not_turned(part):
    vertices, faces = make_eye() if part == "small" else (make_shell().vertices * 0.98, make_shell().faces)
    shell = with_parts(make_shell(), vertices - [0, 0, 20 * (part == "small")], faces[:, ::-1])
    cleaned = clean_scan(shell)
    assert cleaned.report.actions == ()
    np.testing.assert_array_equal(cleaned.mesh.faces, shell.faces)


def test_a_torso_beside_the_head_is_turned_on_its_own():
    shell = make_shell()
    torso = shell.vertices * [2.5, 1, 1] - [0, 210, 0]
    right = with_parts(shell, torso, shell.faces)
    for given in (
        with_parts(shell, torso, shell.faces[:, ::-1]),
        with_parts(dataclasses.replace(shell, faces=shell.faces[:, ::-1]), torso, shell.faces),
    ):
        assert same_surface(clean_scan(given).mesh, right)


def test_corners_that_are_no_vertices_cost_their_triangles():
    shell = make_shell()
    faces = np.concatenate([shell.faces, [[0, 1, len(shell.vertices)], [-1, 2, 3]]]).astype(np.int32)
    cleaned = clean_scan(dataclasses.replace(shell, faces=faces))
    np.testing.assert_array_equal(cleaned.mesh.faces, shell.faces)
    assert cleaned.report.actions[0].startswith("2 triangles had corners that are no vertices")


@pytest.mark.parametrize("corners", [12, 60, 4000])
def test_edges_are_those_that_a_plain_count_finds(rng, corners):
    faces = rng.integers(0, corners, (3000, 3)).astype(np.int32)
    faces[:500, 0] = 0  # a hub
    pairs = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    ends, number, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    edges = find_edges(faces)
    np.testing.assert_array_equal(edges.ends, ends)
    np.testing.assert_array_equal(edges.counts, counts)
    np.testing.assert_array_equal(edges.number, number.ravel())
    np.testing.assert_array_equal(edges.order, np.argsort(number.ravel(), kind="stable"))


def test_texture_corners_follow_their_faces(rng):
    shell = make_shell()
    uv = (shell.vertices[shell.faces][..., :2] / 300 + 0.5).astype(np.float32)
    turned = rng.random(len(uv)) < 0.3
    faces = np.where(turned[:, None], shell.faces[:, ::-1], shell.faces).astype(np.int32)
    mixed = np.where(turned[:, None, None], uv[:, ::-1], uv)
    texture = np.zeros((4, 4, 3), np.uint8)
    cleaned = clean_scan(dataclasses.replace(shell, faces=faces, uv=mixed, texture=texture)).mesh
    np.testing.assert_allclose(cleaned.vertices[cleaned.faces][..., :2] / 300 + 0.5, cleaned.uv, atol=1e-6)


def test_a_moebius_strip_ends_and_is_said():
    n = 60
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    twist = angle / 2
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], 1)
    arm = np.stack([np.cos(angle) * np.cos(twist), np.sin(angle) * np.cos(twist), np.sin(twist)], 1)
    vertices = np.concatenate([100 * ring + 30 * arm, 100 * ring - 30 * arm])
    i = np.arange(n)
    j, far, far_j = (i + 1) % n, i + n, (i + 1) % n + n
    last = i == n - 1
    j, far_j = np.where(last, n, j), np.where(last, 0, far_j)
    faces = np.concatenate([np.stack([i, j, far_j], 1), np.stack([i, far_j, far], 1)]).astype(np.int32)
    cleaned = clean_scan(Mesh(vertices, faces), LOW)
    assert any("one-sided" in action for action in cleaned.report.actions)


@pytest.mark.parametrize(
    ("unit", "scale"), [(1, 1.0), (10, 10.0), (1000, 1000.0), (1e-3, 1e-3), (100, 100.0)]
)
def test_units_are_guessed(unit, scale):
    shell = make_shell()
    cleaned = clean_scan(dataclasses.replace(shell, vertices=shell.vertices / unit))
    assert cleaned.report.scale == scale
    np.testing.assert_allclose(cleaned.mesh.vertices, shell.vertices, rtol=1e-12)
    assert (cleaned.report.actions == ()) == (scale == 1.0)


def test_a_given_scale_is_obeyed():
    shell = make_shell()
    cleaned = clean_scan(shell, CleanSettings(scale=25.4))
    np.testing.assert_allclose(cleaned.mesh.vertices, shell.vertices * 25.4)


@pytest.mark.parametrize("size", [1.0, 3.0, 5.0])
def test_an_upper_body_in_metres_is_not_taken_for_decimetres(size):
    shell = make_shell()
    assert clean_scan(dataclasses.replace(shell, vertices=shell.vertices * size / 1000)).report.scale == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: dataclasses.replace(m, faces=m.faces[:20]), "20 usable triangles"),
        (lambda m: dataclasses.replace(m, faces=np.zeros((600, 3), np.int32)), "0 usable triangles"),
        (lambda m: dataclasses.replace(m, vertices=np.full_like(m.vertices, np.nan)), "0 usable triangles"),
        (lambda m: dataclasses.replace(m, vertices=m.vertices * [1, 1, 0.001]), "is flat"),
        (lambda m: dataclasses.replace(m, vertices=m.vertices * 1e-8), "units across"),
        (lambda m: dataclasses.replace(m, vertices=np.zeros_like(m.vertices)), "0 usable triangles"),
    ],
)
def test_what_cannot_be_mended_is_refused(change, message):
    with pytest.raises(RejectedScanError, match=message):
        clean_scan(change(make_shell()))
