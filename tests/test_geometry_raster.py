"""The z-buffer: coverage, ids, depth, clipping and determinism."""

import numpy as np
import pytest

from morphkit.geometry import parallel
from morphkit.geometry.raster import rasterize, rasterize_batch


def pixel_centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x = 2 * (np.arange(width) + 0.5) / width - 1
    y = 2 * (np.arange(height) + 0.5) / height - 1
    return np.meshgrid(x, y)


def random_soup(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all sizes, many partly behind the camera or beyond the near and far planes."""
    centre = rng.uniform(-1, 1, (count, 1, 4)) * (1.2, 1.2, 1.2, 0) + (0, 0, 0, 0.6)
    corners = centre + rng.normal(size=(count, 3, 4)) * rng.choice([0.05, 0.3, 1.0], (count, 1, 1))
    return corners.reshape(-1, 4).astype(np.float32), np.arange(3 * count).reshape(-1, 3)


def brute_force(
    vertices: np.ndarray, faces: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Solve b0 p0 + b1 p1 + b2 p2 = (X, Y, 1) for each pixel and face; all b >= 0 is inside and in front."""
    x, y = pixel_centres(height, width)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    corners = vertices[faces].astype(np.float64)
    b = np.einsum("fij,pj->pfi", np.linalg.inv(corners[..., [0, 1, 3]].transpose(0, 2, 1)), rays)
    weights = b / b.sum(axis=2, keepdims=True)
    z, w = (np.einsum("pfi,fi->pf", weights, corners[..., axis]) for axis in (2, 3))
    seen = (b >= 0).all(axis=2) & (w > 0) & (np.abs(z) <= w)
    depth = np.where(seen, z / w, np.inf)
    nearest = depth.argmin(axis=1)
    depth = depth[np.arange(len(rays)), nearest]
    return np.where(np.isfinite(depth), nearest, -1).reshape(height, width), depth.reshape(height, width)


def test_ids_and_depth_equal_brute_force(rng):
    vertices, faces = random_soup(rng, 150)
    buffer = rasterize(vertices, faces, 37, 53)
    ids, depth = brute_force(vertices, faces, 37, 53)
    assert len(np.unique(ids)) > 20
    np.testing.assert_array_equal(buffer.face_index, ids)
    np.testing.assert_allclose(buffer.depth, depth, rtol=0, atol=2e-6)


def test_barycentrics_are_perspective_correct(rng):
    vertices, faces = random_soup(rng, 40)
    height, width = 41, 29
    buffer = rasterize(vertices, faces, height, width)
    seen = buffer.face_index >= 0
    weights = buffer.barycentrics[seen].astype(np.float64)
    clip = np.einsum("nk,nkd->nd", weights, vertices[faces[buffer.face_index[seen]]].astype(np.float64))
    x, y = pixel_centres(height, width)
    np.testing.assert_allclose(clip[:, 0], x[seen] * clip[:, 3], rtol=0, atol=3e-6)
    np.testing.assert_allclose(clip[:, 1], y[seen] * clip[:, 3], rtol=0, atol=3e-6)
    assert (weights >= -1e-6).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-6)
    assert not buffer.barycentrics[~seen].any()


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_shared_edges_are_covered_exactly_once(rng, jitter):
    """A grid whose vertices and edges run through pixel centres, and one that is bent at random."""
    size = 32
    grid = 2 * (np.arange(-2, size + 2) + 0.5) / size - 1
    x, y = np.meshgrid(grid, grid)
    x, y = (a + jitter * rng.uniform(-1, 1, a.shape) / size for a in (x, y))
    w = rng.uniform(0.5, 3, x.shape) if jitter else np.ones_like(x)
    vertices = np.stack([x * w, y * w, 0 * w, w], axis=-1).reshape(-1, 4).astype(np.float32)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    count = np.zeros((size, size), int)
    for face in faces:
        count += rasterize(vertices, face[None], size, size).face_index >= 0
    np.testing.assert_array_equal(count, 1)


def test_triangle_through_the_eye_reaches_the_horizon():
    """A floor one unit below the eye, from behind it to far ahead, fills the picture below the horizon."""
    near, far = 0.1, 1000.0
    corners = np.array([[-1e5, -1, -50.0], [1e5, -1, -50.0], [0, -1, 1e5]])  # x, y up, distance ahead
    depth = ((far + near) * corners[:, 2] - 2 * far * near) / (far - near)
    vertices = np.column_stack([corners[:, :2], depth, corners[:, 2]]).astype(np.float32)
    buffer = rasterize(vertices, np.array([[0, 1, 2]]), 64, 64)
    _, y = pixel_centres(64, 64)
    np.testing.assert_array_equal(buffer.face_index == 0, y < 0)  # row 0 is the bottom
    expected = (far + near - 2 * far * near * -y) / (far - near)
    np.testing.assert_allclose(buffer.depth[y < 0], expected[y < 0], rtol=0, atol=1e-5)


def test_near_and_far_planes_cut_per_pixel():
    """A quad tilted in depth from z/w = -2 on the left to 2 on the right is seen in its middle half."""
    vertices = np.array([[-1, -1, -2, 1], [1, -1, 2, 1], [1, 1, 2, 1], [-1, 1, -2, 1]], np.float32)
    buffer = rasterize(vertices, np.array([[0, 1, 2], [0, 2, 3]]), 8, 64)
    x, _ = pixel_centres(8, 64)
    np.testing.assert_array_equal(buffer.face_index >= 0, np.abs(2 * x) <= 1)


def test_nearer_wins_and_a_tie_goes_to_the_first():
    square = np.array([[-1, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]], np.float32)
    vertices = np.concatenate([square, square - [0, 0, 0.5, 0], square - [0, 0, 0.5, 0]]).astype(np.float32)
    faces = np.arange(9).reshape(3, 3)
    assert (rasterize(vertices, faces, 5, 5).face_index == 1).all()
    assert (rasterize(vertices, faces[::-1], 5, 5).face_index == 0).all()


def test_degenerate_and_nonfinite_triangles_are_unseen(rng):
    good = np.array([[-1, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]], np.float32)
    bad = np.array([[np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [0, 0, 0, 0], [0, 0, -0.9, -1]], np.float32)
    vertices = np.concatenate([good, bad])
    faces = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 3], [1, 2, 4], [6, 6, 6], [5, 5, 5], [0, 1, 2]])
    assert (rasterize(vertices, faces, 6, 7).face_index == 6).all()
    buffer = rasterize(vertices, faces[:-1], 6, 7)
    assert (buffer.face_index == -1).all()
    assert np.isposinf(buffer.depth).all()
    assert (rasterize(vertices, np.zeros((0, 3), int), 2, 2).face_index == -1).all()


@pytest.mark.parametrize("pictures", [1, 2, 7])
def test_any_number_of_threads_gives_the_same_bits(pictures, monkeypatch):
    """Soups that reach behind the camera, with bands and blocks of faces cut in every way."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        vertices, faces = random_soup(rng, 300)
        many = np.stack([vertices * rng.choice([-1, 1], (1, 4)) for _ in range(pictures)])
        drawn = []
        for threads in (1, 2, 3, 8):
            monkeypatch.setattr("morphkit.geometry.raster.thread_count", lambda n=threads: n)
            monkeypatch.setattr(parallel, "thread_count", lambda n=threads: n)
            drawn.append(rasterize_batch(many, faces, 201, 67))
        assert all(np.array_equal(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("winding", [1, -1])
@pytest.mark.parametrize("wall_winding", [1, -1])
def test_a_face_that_reaches_behind_the_camera_is_not_taken_for_hidden(first, winding, wall_winding):
    """Its one corner in front lies behind a wall, what is seen of it does not: nothing may drop it."""
    wall = [(-1, -1, 0.5, 1), (-1, 1, 0.5, 1), (1, 1, 0.5, 1), (1, -1, 0.5, 1)]
    face = [(0, 0.5, 0.8, 1), (-3, -1, -1.5, -0.5), (3, -1, -1.5, -0.5)]
    corners = np.roll([4, 5, 6], -first)[::winding]
    squares = np.array([[0, 1, 2], [0, 2, 3]])[:, ::wall_winding]
    faces = np.concatenate([squares, corners[None]])
    clip = np.array(wall + face)
    alone = rasterize(clip, corners[None], 64, 64)
    both = rasterize(clip, faces, 64, 64)
    nearer = (alone.face_index == 0) & (alone.depth < 0.5)
    assert nearer.sum() > 1500
    assert ((both.face_index == 2) == nearer).all()


def test_wrong_arguments_are_named():
    vertices = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"faces must index 3 vertices, got 0\.\.3"):
        rasterize(vertices, np.array([[0, 1, 3]]), 4, 4)
    with pytest.raises(ValueError, match=r"height and width must be 1\.\.32767"):
        rasterize(vertices, np.array([[0, 1, 2]]), 0, 4)
