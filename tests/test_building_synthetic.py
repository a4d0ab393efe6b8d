import numpy as np
import pytest
from scipy.spatial import cKDTree

from morphkit.building.synthetic import ScannerSettings, scan_head
from morphkit.geometry.closest_point import closest_points
from morphkit.mesh import Mesh


@pytest.fixture(scope="module")
def ball() -> Mesh:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=5, radius=100.0)
    vertices = np.asarray(sphere.vertices, dtype=np.float64)
    colors = np.clip(0.5 + vertices / 400, 0, 1).astype(np.float32)
    return Mesh(vertices, np.asarray(sphere.faces, dtype=np.int32), colors)


def _scan(ball: Mesh, seed: int, **settings: object):
    quiet = ScannerSettings(spikes=(0, 1), **settings)
    return scan_head(ball, np.array([0.0, 0.0, 100.0]), np.random.default_rng(seed), quiet)


def test_the_scan_lies_on_the_surface_and_carries_its_colours(ball):
    scan = _scan(ball, 1)
    back = scan.pose.inverse().apply(scan.mesh.vertices)
    distances = closest_points(ball, back).distances
    # 0.12 and 0.06 mm of noise give 0.11 mm on average; decimation and facets add a little
    assert 0.05 < distances.mean() < 0.2
    assert np.abs(scan.mesh.colors - (0.5 + back / 400)).mean() < 0.012


def test_the_tessellation_is_its_own_and_has_a_border(ball):
    scan = _scan(ball, 2)
    back = scan.pose.inverse().apply(scan.mesh.vertices)
    nearest = cKDTree(ball.vertices).query(back)[0]
    spread = np.linalg.norm(ball.vertices[ball.faces[:, 0]] - ball.vertices[ball.faces[:, 1]], axis=1).mean()
    assert np.median(nearest) > 0.2 * spread  # scan vertices do not sit on the head's
    assert np.linalg.norm(back - [0, 0, 100], axis=1).max() < 135 + 20


def test_the_seed_decides_everything(ball):
    first, second, other = (_scan(ball, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.mesh.vertices, second.mesh.vertices)
    assert np.array_equal(first.mesh.faces, second.mesh.faces)
    assert len(first.mesh.vertices) != len(other.mesh.vertices)


def test_the_pose_stays_within_its_limits(ball):
    scan = _scan(ball, 5, max_rotation=25.0, max_translation=150.0)
    angle = np.arccos((np.trace(scan.pose.rotation) - 1) / 2)
    assert np.rad2deg(angle) <= 25.0
    assert np.linalg.norm(scan.pose.translation) <= 150.0


def test_spikes_stand_out(ball):
    settings = ScannerSettings(spikes=(5, 6), spike_height=(10.0, 11.0))
    scan = scan_head(ball, np.array([0.0, 0.0, 100.0]), np.random.default_rng(6), settings)
    radii = np.linalg.norm(scan.pose.inverse().apply(scan.mesh.vertices), axis=1)
    assert 1 <= (radii > 108).sum() <= 5
