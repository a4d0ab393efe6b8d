"""Coefficients to vertices and albedo, and gradients back, beside the machine's limit and the usual ways.

A model of the size that the field uses: 35,709 vertices, 80 identity, 64 expression, 80 albedo components.
The limit is that of the same run: what must be read and written at the bandwidth of summing 256 MB, or the
products at the speed of a large matrix product, whichever takes longer. All take turns, and of two calls in a
row the second counts. `pytest -s` prints milliseconds and multiples of the limit, of medians and of minima.
"""

import time

import numpy as np
import pytest
import torch

from morphkit.model import Coefficients, FaceModel
from morphkit.morphable import LinearModel, MorphableModel

VERTICES, GROUPS = 35_709, (80, 64, 80)
ROUNDS = 25
LONG = torch.ones(1 << 26)
SQUARE = torch.rand(1000, 4000), torch.rand(4000, 1000)


@pytest.fixture(scope="module")
def morphable():
    rng = np.random.default_rng(0)

    def group(components):
        basis = rng.standard_normal((components, 3 * VERTICES), np.float32).T
        return LinearModel(rng.standard_normal((VERTICES, 3), np.float32), basis, np.ones(components))

    return MorphableModel(np.zeros((1, 3), np.int32), *(group(components) for components in GROUPS))


@pytest.fixture(scope="module")
def model(morphable):
    return FaceModel.from_morphable(morphable)


@pytest.mark.benchmark(group="model: convert")
def test_convert(benchmark, morphable):
    benchmark.pedantic(FaceModel.from_morphable, (morphable,), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("direction", ["forward", "gradient"])
@pytest.mark.parametrize("batch", [1, 32])
def test_evaluate(benchmark, model, batch, direction):
    benchmark.group = f"model: {direction}, batch {batch}"
    ways = {"morphkit": lambda c: faces(model, c), **naive_ways(model)}
    calls = {name: call(way, batch, direction) for name, way in ways.items()}
    limits = {"read 256 MB": LONG.sum, "multiply": lambda: SQUARE[0] @ SQUARE[1]}
    seconds = times({**limits, **calls})
    print(f"\n{benchmark.group}")
    for statistic in (np.median, np.min):
        took = {name: statistic(values) for name, values in seconds.items()}
        limit = floor(batch, took)
        print(f"{statistic.__name__:>6}: floor {1e3 * limit:.2f} ms", end="")
        for name in calls:
            print(f" · {name} {1e3 * took[name]:.2f} ({took[name] / limit:.2f})", end="")
            benchmark.extra_info[f"{name}, {statistic.__name__} / floor"] = took[name] / limit
        print()
    benchmark.pedantic(calls["morphkit"], rounds=ROUNDS, warmup_rounds=1)


def floor(batch, took):
    """Return the seconds that moving the numbers or multiplying them takes at least."""
    bandwidth = LONG.nbytes / took["read 256 MB"]
    speed = 2 * 1000 * 4000 * 1000 / took["multiply"]
    numbers = 3 * VERTICES * (sum(GROUPS) + 2 * (1 + batch))
    return max(4 * numbers / bandwidth, 2 * batch * 3 * VERTICES * sum(GROUPS) / speed)


def faces(model, coefficients):
    rest = coefficients[0].new_zeros(len(coefficients[0]), 3)
    instance = model.instance(Coefficients(*coefficients, rest, rest[:, :1, None].expand(-1, 9, 3), rest))
    return instance.vertices, instance.albedo


def naive_ways(model):
    """Return plain products with the bases stored by component, by coordinate, and one for every group."""
    shape, albedo = model.vertices.points, model.albedo
    maps = [(shape.mean.flatten(), shape.basis), (albedo.mean.flatten(), albedo.basis)]
    by_coordinate = [(mean, basis.T.contiguous().T) for mean, basis in maps]
    (mean, both), colors = by_coordinate
    identity, expression = both[: GROUPS[0]].T.contiguous().T, both[GROUPS[0] :].T.contiguous().T

    def two_products(coefficients, maps):
        joined = torch.cat(coefficients[:2], dim=1), coefficients[2]
        return tuple(c @ basis + mean for c, (mean, basis) in zip(joined, maps, strict=True))

    def three_products(c):
        return mean + c[0] @ identity + c[1] @ expression, colors[0] + c[2] @ colors[1]

    return {
        "(k, 3v)": lambda c: two_products(c, maps),
        "(3v, k)": lambda c: two_products(c, by_coordinate),
        "three bases (3v, k)": three_products,
    }


def call(way, batch, direction):
    coefficients = [torch.randn(batch, c) for c in GROUPS]
    if direction == "forward":
        return lambda: way(coefficients)
    coefficients = [c.requires_grad_() for c in coefficients]
    results = way(coefficients)
    grads = [torch.randn(r.shape) for r in results]
    return lambda: torch.autograd.grad(results, coefficients, grads, retain_graph=True)


def times(calls):
    """Return the seconds of each call, ROUNDS of them, taking turns."""
    seconds = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, function in calls.items():
            function()
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds
