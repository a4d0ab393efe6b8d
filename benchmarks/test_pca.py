"""Principal components of faces beside scikit-learn, torch, and the matrix products they cannot do without.

CPU seconds of all threads; they say most with one thread each (OPENBLAS_NUM_THREADS, MKL_NUM_THREADS,
OMP_NUM_THREADS and NUMBA_NUM_THREADS = 1). The data are small unless told otherwise: scans, vertices and
components in ``MORPHKIT_PCA=1000,53215,199 pytest benchmarks/test_pca.py``. How far results are from a
float64 decomposition is in extra_info; `pytest -s` prints it. Slow peers run once.
"""

import os
import time

import h5py
import numpy as np
import pytest
import scipy.linalg

from morphkit.basis import fit_pca, fit_pca_with_missing, update_pca

pytestmark = pytest.mark.benchmark(timer=time.process_time, min_rounds=1, warmup=False)
N, V, K = map(int, os.environ.get("MORPHKIT_PCA", "200,5000,80").split(","))
MODES = min(150, N // 2)


def draw(n, rng, modes, mean):
    """Return scans of decaying modes and 0.05 mm of noise."""
    deviations = np.arange(1, len(modes) + 1, dtype=np.float32) ** -0.8
    deviations *= 3 / np.linalg.norm(deviations)
    data = (rng.standard_normal((n, len(modes)), np.float32) * deviations) @ modes
    data += np.float32(0.05) * rng.standard_normal(data.shape, np.float32)
    data += mean
    return data


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(V)
    return rng, rng.standard_normal((MODES, 3 * V), np.float32), 60 * rng.standard_normal(3 * V, np.float32)


@pytest.fixture(scope="module")
def data(source):
    return draw(N, *source)


@pytest.fixture(scope="module")
def truth(data):
    """Return the variances and the leading axes, of float64 inner products: as exact as an SVD here."""
    centered = data - data.mean(axis=0, dtype=np.float64)
    values, vectors = scipy.linalg.eigh(centered @ centered.T)
    values, vectors = values[::-1][: N - 1], vectors[:, ::-1][:, :MODES]
    return values / (N - 1), (centered.T @ vectors) / np.sqrt(values[:MODES])


@pytest.fixture
def compare(benchmark, truth):
    """Time a fit and say how far it is from the truth."""
    benchmark.group = f"pca {N} x {3 * V}, k = {K}"

    def run(fit, *arguments, rounds=3):
        variances, components = benchmark.pedantic(fit, arguments, rounds=rounds)
        exact, axes = truth
        components = np.asarray(components, np.float64)
        lead = min(MODES, K)
        outside = axes[:, :lead] - components[:, :lead] @ (components[:, :lead].T @ axes[:, :lead])
        benchmark.extra_info.update(
            variances=float(np.abs(np.asarray(variances) / exact[:K] - 1).max()),
            angle=float(np.sqrt(max(np.linalg.eigvalsh(outside.T @ outside)[-1], 0))),
            orthogonality=float(np.abs(components.T @ components - np.eye(components.shape[1])).max()),
        )
        print(benchmark.name, {name: f"{value:.1e}" for name, value in benchmark.extra_info.items()})

    return run


@pytest.mark.parametrize("method", ["exact", "randomized"])
def test_morphkit(compare, data, method):
    def fit(data):
        pca = fit_pca(data, K, method=method)
        return pca.variances, pca.components

    compare(fit, data)


def test_floor_syrk_and_gemm(benchmark, data):
    """What no method through inner products can do without: X Xᵀ and W X, both at once."""
    weights = np.random.default_rng(0).standard_normal((K, N), np.float32)
    benchmark.group = f"pca {N} x {3 * V}, k = {K}"
    benchmark.pedantic(lambda: (data @ data.T, weights @ data), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("solver", ["full", "randomized", "arpack"])
def test_sklearn(compare, data, solver):
    decomposition = pytest.importorskip("sklearn.decomposition")

    def fit(data):
        model = decomposition.PCA(K, svd_solver=solver, random_state=0).fit(data)
        return model.explained_variance_, model.components_.T

    compare(fit, data, rounds=1)


@pytest.mark.parametrize("solver", ["svd", "pca_lowrank"])
def test_torch(compare, data, solver):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    def fit(data):
        tensor = torch.from_numpy(data)
        if solver == "pca_lowrank":
            _, singular, right = torch.pca_lowrank(tensor, q=K)
            return (singular**2 / (N - 1)).numpy(), right.numpy()
        _, singular, right = torch.linalg.svd(tensor - tensor.mean(0), full_matrices=False)
        return (singular[:K] ** 2 / (N - 1)).numpy(), right[:K].T.numpy()

    compare(fit, data, rounds=1)


@pytest.fixture(scope="module", params=["contiguous", "tiles"])
def stored(request, source, tmp_path_factory):
    """Yield four times as many scans in a file."""
    path = tmp_path_factory.mktemp("pca") / "scans.h5"
    chunks = (min(200, N), min(4096, 3 * V)) if request.param == "tiles" else None
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (4 * N, 3 * V), np.float32, chunks=chunks)
        for start in range(0, 4 * N, 200):
            stop = min(start + 200, 4 * N)
            dataset[start:stop] = draw(stop - start, *source)
    with h5py.File(path, "r") as file:
        yield file["x"]
    path.unlink()


def test_streaming(benchmark, stored):
    benchmark.group = f"pca {4 * N} x {3 * V} from HDF5, k = {K}"
    benchmark.pedantic(fit_pca, (stored, K), rounds=1)


def test_streaming_sklearn_incremental(benchmark, stored):
    """Two batches, of which the second costs what each further one does; extrapolated in extra_info."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    if stored.chunks is not None:
        pytest.skip("a batch is whole rows: the layout matters little")
    batch = max(200, K)
    model = decomposition.IncrementalPCA(K).partial_fit(stored[:batch])
    benchmark.group = f"pca {4 * N} x {3 * V} from HDF5, k = {K}"
    start = time.process_time()
    benchmark.pedantic(lambda: model.partial_fit(stored[batch : 2 * batch]), rounds=1)
    benchmark.extra_info["all_batches"] = (time.process_time() - start) * 4 * N / batch
    print(benchmark.name, benchmark.extra_info)


def test_update_with_a_tenth(benchmark, data):
    benchmark.group = "new scans into a model"
    pca = fit_pca(data[: -N // 10], K)
    benchmark.pedantic(update_pca, (pca, data[-N // 10 :]), rounds=3)


def test_holes(benchmark, data):
    benchmark.group = "a tenth of the vertices missing"
    few = data[:200]
    valid = np.random.default_rng(0).random((len(few), V)) > 0.1
    benchmark.pedantic(
        fit_pca_with_missing, (few, min(K, 80)), {"valid": valid, "max_iterations": 4}, rounds=1
    )
