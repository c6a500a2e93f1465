import numpy as np
import pytest
import torch

import bptt
from bptt.sklearn.batch import batch_of

LENGTHS = [3, 7, 1, 5]


def ragged(lengths=LENGTHS):
    draw = np.random.RandomState(0)
    return [draw.randn(length, 2) for length in lengths]


def model(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return bptt.SequenceModel(kind(2, 3, 2, dtype=torch.float64), 2)


def test_a_target_a_sequence_stands_at_its_last_step():
    batch = batch_of([np.ones((3, 1)), np.ones((2, 1))], [np.array([[5.0]]), np.array([[6.0]])])
    assert batch.weight.nonzero().tolist() == [[1, 1], [2, 0]]
    assert batch.d[2, 0] == 5
    assert batch.d[1, 1] == 6


def test_of_one_length_they_are_dense_and_of_several_no_step_is_made_up():
    dense = batch_of(ragged([4, 4]), ragged([4, 4]))
    assert dense.rows is None
    assert dense.x.shape == (4, 2, 2)
    packed = batch_of(ragged(), ragged())
    assert packed.rows.x.shape == (sum(LENGTHS), 2)
    assert packed.rows.sizes.tolist() == [4, 3, 3, 2, 2, 1, 1]
    assert packed.of(torch.float32).rows.x.dtype == torch.float32


@pytest.mark.parametrize("kind", [bptt.GRU, bptt.LSTM])
@pytest.mark.parametrize("k1", [7, 2])
def test_the_walk_is_that_of_each_alone_whole_or_in_windows(kind, k1):
    net, sequences = model(kind), ragged()
    batch, state, found = batch_of(sequences, sequences), None, []
    walk = batch.walked_by(net)
    for start in range(0, 7, k1):
        y, state = walk(batch.x[start : start + k1], state)
        assert y.shape[1] == 4
        found.append(y)
    y = torch.cat(found)
    for column, place in enumerate([1, 3, 0, 2]):  # the longest first
        alone, last = net(torch.tensor(sequences[place])[:, None])
        torch.testing.assert_close(y[: LENGTHS[place], column], alone[:, 0])
        for part, wanted in zip(
            state if kind is bptt.LSTM else (state,), last if kind is bptt.LSTM else (last,), strict=True
        ):
            torch.testing.assert_close(part[:, column], wanted[:, 0])
        assert torch.equal(batch.d[: LENGTHS[place], column], torch.tensor(sequences[place]))


def test_a_window_is_told_as_the_network_read_it():
    batch = batch_of(ragged(), ragged())
    state = torch.arange(4.0).reshape(1, 4, 1)
    packed, own = batch.packed(batch.x[3:6], state)
    assert packed.batch_sizes.tolist() == [2, 2, 1]
    assert own.flatten().tolist() == [0, 1]
