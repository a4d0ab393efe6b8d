import numpy as np
import pytest

from morphkit.basis import fit_pca
from morphkit.registration import register


@pytest.mark.benchmark(group="registration")
def test_register(benchmark, head, scan):
    benchmark.pedantic(register, (scan, head.template()), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="pca 200 x 60k")
def test_pca(benchmark):
    data = np.random.default_rng(2).standard_normal((200, 60_000)).astype(np.float32)
    benchmark(fit_pca, data, 80)


@pytest.mark.benchmark(group="pca 200 x 60k")
def test_pca_sklearn_full(benchmark):
    decomposition = pytest.importorskip("sklearn.decomposition")
    data = np.random.default_rng(2).standard_normal((200, 60_000)).astype(np.float32)
    benchmark(decomposition.PCA(80, svd_solver="full").fit, data)
