import pytest
import torch

from bptt.insight.diagnosis.input_memory import FOUND, input_memory
from support import normal


def delayed(x, lag):
    return torch.cat([torch.zeros(lag, *x.shape[1:], dtype=x.dtype), x[: len(x) - lag]])


@pytest.mark.parametrize("lag", [0, 1, 7, 11, 23])
def test_a_delay_is_found_exactly(lag):
    x = normal(200, 1, 1)
    found = input_memory(x, delayed(x, lag), 40)
    assert found.lag == lag
    assert found.r2[found.lags.index(lag)] > 0.99
    assert all(r2 < 0.3 for at, r2 in zip(found.lags, found.r2, strict=True) if at < lag)


def test_a_decaying_memory_ends_where_a_hundredth_is_left():
    """d_t = Σ 0.5^k x_{t-k}: lags beyond k carry 4^-(k+1) of its variance, 0.004 beyond 3 and 0.016 beyond 2."""
    x = normal(600, 1, 1)
    d = sum(0.5**k * delayed(x, k) for k in range(20))
    assert input_memory(x, d, 50).lag == 3


def test_sequences_of_a_batch_are_kept_apart():
    x = normal(60, 8, 2)
    assert input_memory(x, delayed(x, 5)[..., :1], 15).lag == 5


def test_rows_with_a_missing_target_are_left_out():
    x = normal(300, 1, 1)
    d = delayed(x, 6)
    d[::3] = torch.nan
    assert input_memory(x, d, 30).lag == 6


def test_class_numbers():
    x = normal(300, 1, 1)
    assert input_memory(x, (delayed(x, 4)[..., 0] > 0).long(), 30).lag == 4


def test_more_features_than_rows():
    x = normal(80, 1, 300)
    found = input_memory(x, delayed(x, 2)[..., :1], 10)
    assert len(found.lags) == len(found.r2)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_in_noise(seed):
    found = input_memory(normal(300, 1, 1, seed=seed), normal(300, 1, 1, seed=seed + 50), 40)
    assert found.lag is None
    assert max(found.r2) < FOUND


def test_what_only_a_product_tells_is_not_seen():
    """The limit of a linear answer: d_t = x_{t-1} x_{t-2}."""
    x = normal(400, 1, 1)
    assert input_memory(x, delayed(x, 1) * delayed(x, 2), 20).lag is None


@pytest.mark.parametrize(("T", "d"), [(20, None), (200, torch.ones(200, 1, 1))])
def test_too_few_rows_or_a_constant_target(T, d):
    assert input_memory(normal(T, 1, 1), normal(T, 1, 1, seed=1) if d is None else d, 10) is None


def test_a_constant_feature_does_no_harm():
    x = normal(200, 1, 2)
    x[..., 1] = 3.0
    assert input_memory(x, delayed(x, 2)[..., :1], 20).lag == 2
