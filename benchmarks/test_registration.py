"""A template with 16 exact landmarks onto a scan of 100,000 triangles, beside the peers' defaults.

CPU seconds on one thread, everything included that a peer does in every call; the row "again" leaves out what
morphkit computes once per template. Errors are in the benchmark's extra_info; `pytest -s` prints them.
"""

import contextlib
import io
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from registration_pair import make_pair
from threadpoolctl import threadpool_limits

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.registration import RegistrationSettings, register

pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="module", params=[7_000, 27_000], ids=["7k", "27k"])
def pair(request, head):
    return make_pair(head.template().mesh, request.param)


@pytest.fixture
def compare(benchmark, pair, request):
    """Time a registration of the pair, once, and note how far off it is."""

    def run(call):
        benchmark.group = f"template {request.node.callspec.params['pair'] // 1000}k onto 100k triangles"
        with threadpool_limits(limits=1):
            vertices = np.asarray(benchmark.pedantic(call, rounds=1))
        errors = np.linalg.norm(vertices - pair.truth, axis=1)
        distances = ClosestPointQuery(pair.scan).query(vertices).distances
        benchmark.extra_info.update(
            correspondence_mean=float(errors.mean()), surface_p95=float(np.quantile(distances, 0.95))
        )
        print(
            f"\n{request.node.name}: correspondence mean {errors.mean():.2f} mm, "
            f"surface p95 {np.quantile(distances, 0.95):.3f} mm"
        )

    return run


def _register(pair, settings=None, *, landmarks=True):
    marks = pair.landmarks if landmarks else None
    return register(pair.scan, pair.template, landmarks=marks, settings=settings).mesh.vertices


@pytest.mark.parametrize("method", ["coarse-to-fine", "nicp"])
def test_morphkit(compare, pair, method):
    settings = RegistrationSettings(method=method)
    _register(pair, settings)  # compiles
    # another mesh object: nothing that is kept per template serves it
    fresh = replace(pair, template=replace(pair.template, mesh=replace(pair.template.mesh)))
    compare(lambda: _register(fresh, settings))


def test_morphkit_again(compare, pair):
    _register(pair)
    compare(lambda: _register(pair))


def test_morphkit_without_landmarks_again(compare, pair):
    _register(pair, landmarks=False)
    compare(lambda: _register(pair, landmarks=False))


def test_meshmonk_without_landmarks(compare, pair):
    meshmonk = pytest.importorskip("meshmonk")
    floating, target = _trimesh(pair.template.mesh), _trimesh(pair.scan)
    compare(lambda: meshmonk.pyramid_register(floating=floating, target=target).aligned_vertices)


@pytest.mark.parametrize("method", ["nricp_amberg", "nricp_sumner"])
def test_trimesh(compare, pair, method):
    pytest.importorskip("rtree")
    registration = pytest.importorskip("trimesh.registration")
    compare(
        lambda: getattr(registration, method)(
            _trimesh(pair.template.mesh),
            _trimesh(pair.scan),
            source_landmarks=pair.marked,
            target_positions=pair.truth[pair.marked],
        )
    )


def test_menpo3d(compare, pair):
    with _kept_stdout():
        correspond = pytest.importorskip("menpo3d.correspond")
        shape = pytest.importorskip("menpo.shape")
    source = shape.TriMesh(pair.template.mesh.vertices, pair.template.mesh.faces)
    target = shape.TriMesh(pair.scan.vertices, pair.scan.faces)
    source.landmarks["points"] = shape.PointCloud(source.points[pair.marked])
    target.landmarks["points"] = shape.PointCloud(pair.truth[pair.marked])

    def call():
        with _kept_stdout():
            return correspond.non_rigid_icp(source, target, landmark_group="points").points

    compare(call)


@contextlib.contextmanager
def _kept_stdout():
    # menpo3d closes the output stream and opens another on its file descriptor
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        warnings.simplefilter("ignore")
        yield


def _trimesh(mesh):
    trimesh = pytest.importorskip("trimesh")
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
