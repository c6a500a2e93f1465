"""The model of how training scales."""

from pathlib import Path

import numpy as np
import pytest

from support import loaded

PATH = Path(__file__).parents[2] / "benchmarks" / "scaling_model.py"


@pytest.fixture(scope="module")
def scaling():
    return loaded(PATH)


def test_one_worker_sends_nothing(scaling):
    for way in (scaling.ring, scaling.tree, scaling.quicker):
        assert way(1, 1e9, scaling.ETHERNET) == 0


def test_a_ring_and_a_tree_by_hand(scaling):
    network = scaling.Network(latency=1e-3, bandwidth=1e6)
    assert scaling.ring(2, 4e6, network) == pytest.approx(2 * 1e-3 + 4)
    assert scaling.ring(4, 4e6, network) == pytest.approx(6 * 1e-3 + 6)
    assert scaling.tree(4, 4e6, network) == pytest.approx(4 * 1e-3 + 8)
    assert scaling.tree(5, 4e6, network) == pytest.approx(6 * 1e-3 + 8)


def test_a_tree_is_quicker_for_small_messages_and_a_ring_for_large_ones(scaling):
    assert scaling.quicker(64, 4, scaling.FABRIC) == scaling.tree(64, 4, scaling.FABRIC)
    assert scaling.quicker(64, 1e9, scaling.FABRIC) == scaling.ring(64, 1e9, scaling.FABRIC)


def test_the_expected_maximum_is_the_mean_of_one_draw_and_tends_to_the_largest(scaling):
    times = [3.0, 1.0, 2.0, 6.0]
    assert scaling.expected_maximum(times, 1) == pytest.approx(3.0)
    assert scaling.expected_maximum(times, 2) == pytest.approx((1 + 2 * 3 + 3 * 5 + 6 * 7) / 16)
    assert scaling.expected_maximum(times, 1000) == pytest.approx(6.0)


def test_most_workers(scaling):
    assert scaling.most_workers(0.5, lambda count: 1 / count) == 2
    assert scaling.most_workers(0.8, lambda count: 0.1) == 1
    assert scaling.most_workers(0.8, lambda count: 1.0) > 1000


def test_a_network_is_found_from_what_messages_took(scaling):
    network, sizes = scaling.Network(latency=3e-4, bandwidth=2e9), np.logspace(0, 7, 8)
    found = scaling.fitted(sizes, [scaling.ring(2, size, network) for size in sizes])
    assert found == pytest.approx(network)
