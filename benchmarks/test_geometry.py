import numpy as np
import pytest

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.raster import rasterize


@pytest.fixture(scope="session")
def queries(scan):
    rng = np.random.default_rng(1)
    return scan.vertices[rng.integers(len(scan.vertices), size=27_000)] + rng.normal(0, 1, (27_000, 3))


@pytest.mark.benchmark(group="closest point")
def test_closest_point(benchmark, scan, queries):
    query = ClosestPointQuery(scan)
    benchmark(query.query, queries)


@pytest.mark.benchmark(group="closest point")
def test_closest_point_trimesh(benchmark, scan, queries):
    pytest.importorskip("rtree")
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.Trimesh(scan.vertices, scan.faces, process=False)
    benchmark.pedantic(trimesh.proximity.closest_point, (mesh, queries), rounds=2, warmup_rounds=1)


@pytest.mark.parametrize("size", [224, 1024])
def test_rasterize(benchmark, head, size):
    vertices = head.identity.mean.astype(np.float64)
    clip = np.c_[(vertices - vertices.mean(0)) / 160, np.ones(len(vertices))] * [1, 1, -1, 1]
    benchmark(rasterize, clip, head.faces, size, size)
