"""Order, learning rate and averaged weights: laws that hold whoever draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphkit.training.average import WeightAverage
from morphkit.training.config import LoopSettings
from morphkit.training.randomness import keyed_generator
from morphkit.training.sampler import Order, shared_out
from morphkit.training.schedule import learning_rate


@given(
    count=st.integers(1, 200),
    batch=st.integers(1, 6),
    accumulate=st.integers(1, 3),
    world=st.integers(1, 4),
    epoch=st.integers(0, 50),
)
def test_an_epoch_shows_each_photo_at_most_once_and_processes_share_it(
    count: int, batch: int, accumulate: int, world: int, epoch: int
) -> None:
    orders = [Order(count, 7, batch, accumulate, world, rank) for rank in range(world)]
    shown = orders[0].epoch(epoch)
    assert all(np.array_equal(order.epoch(epoch), shown) for order in orders)
    positions = [o.positions(s, m) for s in range(orders[0].steps) for m in range(accumulate) for o in orders]
    assert np.array_equal(np.concatenate(positions), np.arange(len(shown)))
    if count >= orders[0].step_size:
        assert len(np.unique(shown)) == len(shown) > count - orders[0].step_size
    else:
        assert set(shown) == set(range(count)) or len(shown) < count


def test_two_processes_see_what_one_with_twice_the_batch_sees() -> None:
    one = Order(40, 3, batch=4, accumulate=2)
    two = [Order(40, 3, batch=2, accumulate=2, world=2, rank=rank) for rank in range(2)]
    assert one.steps == two[0].steps
    for step in range(one.steps):
        for micro in range(2):
            together = np.concatenate([order.positions(step, micro) for order in two])
            assert np.array_equal(together, one.positions(step, micro))
            assert np.array_equal(two[0].epoch(5), one.epoch(5))


def test_order_changes_with_seed_and_epoch_only() -> None:
    first = Order(100, 1, 4).epoch(0)
    assert np.array_equal(first, Order(100, 1, 2, 2).epoch(0))
    assert not np.array_equal(first, Order(100, 1, 4).epoch(1))
    assert not np.array_equal(first, Order(100, 2, 4).epoch(0))


def test_weighted_draws_come_as_often_as_their_share_says() -> None:
    weights = np.array([0.0, 1.0, 2.5, 4.0, 0.5])
    draws = np.concatenate([Order(5, 0, 1, weights=weights).epoch(epoch) for epoch in range(400)])
    counts = np.bincount(draws, minlength=5) / 400
    np.testing.assert_allclose(counts, 5 * weights / weights.sum(), atol=0.1)
    assert counts[0] == 0
    per_epoch = np.bincount(Order(5, 0, 1, weights=weights).epoch(3), minlength=5)
    assert (np.abs(per_epoch - 5 * weights / weights.sum()) < 1).all()


@pytest.mark.parametrize(
    "weights", [np.ones(4), np.array([1.0, -1, 1]), np.zeros(3), np.array([1, np.nan, 1])]
)
def test_unusable_weights_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="weights must be 3 numbers"):
        Order(3, 0, 1, weights=weights)


def test_generators_are_keyed() -> None:
    def drawn(*key: int) -> float:
        return float(keyed_generator("augmentation", *key).random())

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    values = [drawn(seed, epoch, place) for seed in range(4) for epoch in range(4) for place in range(50)]
    values.append(float(keyed_generator("order", 0, 0, 0).random()))
    assert len(set(values)) == len(values)
    streams = [keyed_generator("sets", 0, 0, place).random(1000) for place in range(2)]
    assert not np.intersect1d(*streams).size


@given(count=st.integers(0, 40), world=st.integers(1, 5))
def test_validation_is_shared_out_whole(count: int, world: int) -> None:
    parts = [shared_out(count, world, rank) for rank in range(world)]
    assert sorted(np.concatenate(parts)) == list(range(count))


def test_schedules_by_hand() -> None:
    constant = LoopSettings(epochs=1, schedule="constant", learning_rate=0.5, warmup=4)
    assert [learning_rate(constant, step, 10) for step in range(6)] == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    step = LoopSettings(epochs=1, schedule="step", learning_rate=1.0, schedule_factor=0.2)
    assert [learning_rate(step, at, 10) for at in (0, 4, 5, 9)] == [1.0, 1.0, 0.2, 0.2]
    cosine = LoopSettings(epochs=1, learning_rate=2.0, warmup=2, schedule_floor=0.1)
    assert learning_rate(cosine, 2, 12) == 2.0
    assert learning_rate(cosine, 7, 12) == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert learning_rate(cosine, 12, 12) == pytest.approx(0.2)
    assert learning_rate(cosine, 4, 12) == pytest.approx(0.2 + 0.9 * (1 + math.cos(0.2 * math.pi)))


def test_average_follows_weights_and_buffers_and_can_be_lent() -> None:
    network = torch.nn.BatchNorm1d(2)
    average = WeightAverage(network, 0.5)
    for value in (1.0, 3.0):
        with torch.no_grad():
            network.running_mean.fill_(value)
            network.weight.fill_(value)
            network.num_batches_tracked += 1
        average.update(network)
    first = 0.1 * 0.0 + 0.9 * 1.0
    expected = 2 / 11 * first + 9 / 11 * 3.0
    torch.testing.assert_close(average.values["running_mean"], torch.full((2,), expected))
    assert average.values["num_batches_tracked"] == 2
    with average.applied(network):
        torch.testing.assert_close(network.running_mean, torch.full((2,), expected))
    torch.testing.assert_close(network.running_mean, torch.full((2,), 3.0))
    again = WeightAverage(network, 0.5)
    again.load(**average.state())
    assert again.count == 2
    torch.testing.assert_close(again.values, average.values)
    with pytest.raises(ValueError, match="names and shapes"):
        again.load(1, {"weight": torch.zeros(2)})
