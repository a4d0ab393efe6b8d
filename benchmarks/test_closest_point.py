"""Closest points on scans of 100k and 500k triangles, beside libigl, open3d, point-cloud-utils and trimesh.

Compare CPU seconds on one thread: OMP_NUM_THREADS=1 IGL_NUM_THREADS=1 pytest benchmarks/test_closest_point.py
"""

import time

import fast_simplification
import numpy as np
import pytest
import trimesh

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.normals import vertex_normals
from morphkit.mesh import Mesh

QUERIES, CALLS = 27_000, 15
SIZES = [100_000, 500_000]
pytestmark = pytest.mark.benchmark(timer=time.process_time, min_rounds=5, max_time=1, warmup=True)


def morphkit_query(mesh):
    query = ClosestPointQuery(mesh)
    return lambda points: query.query(points).points


def libigl_query(mesh):
    igl = pytest.importorskip("igl")
    tree, faces = igl.AABB(), mesh.faces.astype(np.int64)
    tree.init(mesh.vertices, faces)
    return lambda points: tree.squared_distance(mesh.vertices, faces, points)[2]


def open3d_query(mesh):
    open3d = pytest.importorskip("open3d")
    scene, tensor = open3d.t.geometry.RaycastingScene(nthreads=1), open3d.core.Tensor
    scene.add_triangles(tensor(mesh.vertices.astype(np.float32)), tensor(mesh.faces.astype(np.uint32)))
    ask = scene.compute_closest_points
    ask(tensor(np.zeros((1, 3), np.float32)))  # builds the tree
    return lambda points: ask(tensor(points.astype(np.float32)), nthreads=1)["points"].numpy()


def point_cloud_utils_query(mesh):
    pcu = pytest.importorskip("point_cloud_utils")

    def query(points):
        _, faces, weights = pcu.closest_points_on_mesh(points, mesh.vertices, mesh.faces)
        return np.einsum("nk,nkd->nd", weights, mesh.vertices[mesh.faces[faces]])

    return query


def trimesh_query(mesh):
    pytest.importorskip("rtree")
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    _ = surface.triangles_tree
    return lambda points: trimesh.proximity.closest_point(surface, points)[0]


def name(peer):
    return peer.__name__.removesuffix("_query")


FAST = [morphkit_query, libigl_query, open3d_query]
SLOW = [point_cloud_utils_query, trimesh_query]  # seconds: asked once, on the smaller mesh only
every_size = pytest.mark.parametrize("dense", SIZES, indirect=True, ids=lambda size: f"{size // 1000}k")
every_gap = pytest.mark.parametrize("gap", [0.2, 3.0], ids=["near", "off"])


@pytest.fixture(scope="session")
def dense(request, scan):
    """The scan with so many triangles, and its noise."""
    vertices, faces = scan.vertices, scan.faces
    while len(faces) < 1.5 * request.param:
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    vertices, faces = fast_simplification.simplify(vertices, faces, target_count=request.param)
    noise = 0.05 * np.random.default_rng(0).standard_normal(vertices.shape)
    return Mesh(vertices + noise, faces.astype(np.int32))


def path(mesh, gap, calls):
    """Points in the surface's neighbourhood that come down on it, as in a registration."""
    rng = np.random.default_rng(1)
    picked = np.sort(rng.integers(len(mesh.vertices), size=QUERIES))
    rise = gap * vertex_normals(mesh.vertices, mesh.faces)[picked] + rng.normal(0, 0.1, (QUERIES, 3))
    return [mesh.vertices[picked] + 0.7**call * rise for call in range(calls)]


@every_size
@pytest.mark.parametrize("peer", FAST, ids=name)
def test_build(benchmark, dense, peer):
    benchmark.group = f"closest point: build, {len(dense.faces) // 1000}k triangles"
    benchmark(lambda: peer(dense)(dense.vertices[:1]))


@every_gap
@every_size
@pytest.mark.parametrize("peer", FAST + SLOW, ids=name)
def test_query(benchmark, dense, peer, gap):
    benchmark.group = f"closest point: {gap} mm off, {len(dense.faces) // 1000}k triangles"
    if peer in SLOW and len(dense.faces) > SIZES[0]:
        pytest.skip("slow")
    query, (points,) = peer(dense), path(dense, gap, 1)
    expected = ClosestPointQuery(dense).query(points).distances
    np.testing.assert_allclose(np.linalg.norm(query(points) - points, axis=1), expected, atol=1e-4)
    if peer in SLOW:
        benchmark.pedantic(query, (points,))
    else:
        benchmark(query, points)


@every_size
@pytest.mark.parametrize("peer", ["hints", *FAST[1:]], ids=["morphkit", "libigl", "open3d"])
def test_a_registrations_calls(benchmark, dense, peer):
    benchmark.group = (
        f"closest point: {CALLS} calls of one registration, {len(dense.faces) // 1000}k triangles"
    )
    steps = path(dense, 3.0, CALLS)
    if peer != "hints":
        query = peer(dense)
        benchmark(lambda: [query(points) for points in steps])
        return
    ours = ClosestPointQuery(dense)

    def follow():
        hints = None
        for points in steps:
            hints = ours.query(points, hints=hints).face_indices

    benchmark(follow)


def test_refit(benchmark, scan):
    query = ClosestPointQuery(scan)
    benchmark.group = "closest point: build, the scan itself"
    benchmark(query.refit, scan.vertices)
