import pytest
import torch

from bptt.insight.diagnosis.input_memory import FOUND, input_memory, targets_by_step
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


def embedded(tokens, size=16):
    return normal(int(tokens.max()) + 1, size)[tokens]


def random_tokens(T, B, kinds, seed=0):
    return torch.randint(kinds, (T, B), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("T", "B", "kinds", "lag"), [(200, 8, 10, 10), (200, 8, 50, 10), (40, 32, 10, 20)])
def test_copied_tokens_are_found_at_their_lag(T, B, kinds, lag):
    """Of 50 tokens in 16 numbers each, a probe of these numbers finds none."""
    tokens = random_tokens(T, B, kinds)
    found = input_memory(embedded(tokens), delayed(tokens, lag), 40)
    assert (found.lag, found.tokens) == (lag, kinds)


def bracketed(T, B, kinds, inside):
    """An opening bracket, so many fillers, and a closing one, whose target is the kind that was opened."""
    g = torch.Generator().manual_seed(0)
    tokens, d = torch.zeros(T, B, dtype=torch.long), torch.zeros(T, B, dtype=torch.long)
    for b in range(B):
        opened = b % 5
        while opened + inside + 1 < T:
            kind = 1 + int(torch.randint(kinds, (), generator=g))
            tokens[opened, b], tokens[opened + inside + 1, b] = kind, kinds + 1
            d[opened + inside + 1, b] = kind
            opened += inside + 2 + int(torch.randint(4, (), generator=g))
    return tokens, d


@pytest.mark.parametrize("inside", [8, 20])
def test_a_bracket_is_found_as_far_back_as_it_was_opened(inside):
    tokens, d = bracketed(200, 8, 3, inside)
    assert input_memory(embedded(tokens), d, 40).lag == inside + 1


def test_the_next_token_of_a_markov_chain_needs_the_last_one_alone():
    g = torch.Generator().manual_seed(0)
    likely = (3 * torch.randn(10, 10, generator=g)).softmax(1)
    tokens = torch.zeros(201, 8, dtype=torch.long)
    for t in range(200):
        tokens[t + 1] = likely[tokens[t]].multinomial(1, generator=g)[:, 0]
    assert input_memory(embedded(tokens[:-1]), tokens[1:], 40).lag == 0


@pytest.mark.parametrize("stays", [0.0, 0.9])
def test_nothing_is_found_between_independent_tokens(stays):
    def chain(seed):
        tokens = random_tokens(200, 8, 5, seed)
        keep = torch.rand(200, 8, generator=torch.Generator().manual_seed(seed + 9)) < stays
        for t in range(1, 200):
            tokens[t] = torch.where(keep[t], tokens[t - 1], tokens[t])
        return tokens

    assert input_memory(embedded(chain(0)), chain(1), 40).lag is None


def test_classes_below_0_and_rows_after_the_last_target_are_left_out():
    tokens = random_tokens(60, 40, 8)
    d, x = delayed(tokens, 12), embedded(tokens)
    d[:, ::3], d[50:] = -100, -100
    x[50:] = torch.randn(10, 40, 16, dtype=torch.float64)  # else every row there would be a token
    found = input_memory(x, d, 30)
    assert (found.lag, found.tokens) == (12, 8)


def test_one_target_a_sequence():
    tokens = random_tokens(30, 128, 6)
    d = torch.full((30, 128), -1)
    d[-1] = tokens[2]
    assert input_memory(embedded(tokens), d, 100).lag == 27


def test_targets_are_laid_by_step():
    lengths = torch.tensor([4, 2, 3])
    d = torch.arange(12).view(4, 3)
    wanted = [[0, 1, 2], [3, 4, 5], [6, -1, 8], [9, -1, -1]]
    assert targets_by_step(d, 4, lengths, batch_first=False).tolist() == wanted
    assert targets_by_step(d.T, 4, lengths, batch_first=True).tolist() == wanted
    alone = targets_by_step(torch.tensor([7, 8, 9]), 4, lengths, batch_first=True)
    assert alone.tolist() == [[-1, -1, -1], [-1, 8, -1], [-1, -1, 9], [7, -1, -1]]
    assert targets_by_step(torch.ones(3, 1), 4, lengths, batch_first=True).isfinite().sum() == 3
    assert targets_by_step(torch.ones(3, 3), 4, lengths, batch_first=True) is None
    square = torch.arange(9).view(3, 3)
    for batch_first, whole in ((True, square.T), (False, square)):
        assert torch.equal(targets_by_step(square, 3, torch.full((3,), 3), batch_first), whole)


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


@pytest.mark.parametrize(
    ("x", "d", "why"),
    [
        (normal(20, 1, 1), normal(20, 1, 1, seed=1), "d has 20 targets; pass more steps or sequences"),
        (normal(200, 1, 1), torch.ones(200, 1, 1), "d is the same wherever it was looked at"),
        (normal(200, 1, 1) / 0, normal(200, 1, 1), "its input is not finite"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(x, d, why):
    assert input_memory(x, d, 10).startswith(why)


def test_a_constant_feature_does_no_harm():
    x = normal(200, 1, 2)
    x[..., 1] = 3.0
    assert input_memory(x, delayed(x, 2)[..., :1], 20).lag == 2
