from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

import bptt
from bptt.errors import UserError
from bptt.training.network import build, count_of, sizes_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import SunspotOptions
from bptt.training.options.text import TextOptions


@pytest.mark.parametrize(
    ("config", "columns", "labels", "sizes"),
    [
        (SunspotOptions(lags=3), ["y", "a"], [], (6, 1)),
        (SunspotOptions(lags=3, target=("y", "a"), horizon=(1, 2, 6), missing="mask"), ["y", "a"], [], (12, 6)),
        (ClassifyOptions(), ["x", "y", "z"], ["no", "yes"], (3, 2)),
        (TextOptions(), [], list("abcd"), (4, 4)),
    ],
)
def test_each_task_has_the_sizes_it_needs(config, columns, labels, sizes):
    lags = range(config.lags) if isinstance(config, SunspotOptions) else ()
    assert sizes_of(config, columns, labels, [], lags) == sizes
    model = build(config, *sizes)
    assert (model.recurrent.input_size, model.readout.out_features) == sizes
    assert model.recurrent.hidden_size == config.hidden
    assert not model.training


def test_each_period_of_the_calendar_is_four_inputs():
    assert sizes_of(SunspotOptions(), ["y"], [], ["hour of day", "day of week"], [0, 1, 24]) == (11, 1)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_weights_are_drawn_by_the_seed_and_the_process_own_numbers_left_alone(cell):
    before = torch.get_rng_state()
    one, two, other = (build(SunspotOptions(cell=cell, seed=seed), 2) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert a.abs().max() <= 0.02 / 12**0.5


def test_dropout_acts_between_layers():
    model = build(SunspotOptions(layers=2, dropout=0.5), 1)
    assert model.recurrent.dropout == 0.5


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_seed_gives_the_weights_it_has_always_given(cell):
    config = SunspotOptions(cell=cell, layers=2, hidden=5, seed=7)
    kind = {"elman": bptt.RNN, "gru": bptt.GRU, "lstm": bptt.LSTM}[cell]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        wanted = bptt.SequenceModel(kind(3, 5, 2), 2)
        for weight in wanted.parameters():
            torch.nn.init.uniform_(weight, -config.init / 5**0.5, config.init / 5**0.5)
    for name, weight in build(config, 3, 2).state_dict().items():
        assert torch.equal(weight, wanted.state_dict()[name]), name


def test_weights_are_those_of_the_seed_whatever_the_process_computes_in(request):
    wanted = build(SunspotOptions(seed=7), 3).state_dict()
    request.addfinalizer(partial(torch.set_default_dtype, torch.get_default_dtype()))
    torch.set_default_dtype(torch.float64)
    for name, weight in build(SunspotOptions(seed=7), 3).state_dict().items():
        assert torch.equal(weight, wanted[name]), name


def test_threads_draw_the_weights_that_each_draws_alone():
    def drawn(seed):
        return [build(SunspotOptions(seed=seed), 3).readout.weight for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(drawn, range(4)))
    for seed, weights in enumerate(found):
        alone = build(SunspotOptions(seed=seed), 3).readout.weight
        assert all(torch.equal(weight, alone) for weight in weights)


@pytest.mark.parametrize(
    "config", [SunspotOptions(), SunspotOptions(cell="gru", layers=3), SunspotOptions(cell="lstm", hidden=5)]
)
def test_weights_are_counted_before_they_are_made(config):
    assert count_of(config, 7, 3) == sum(weight.numel() for weight in build(config, 7, 3).parameters())


def test_a_network_larger_than_the_machine_is_refused_before_it_is_made():
    with pytest.raises(
        UserError, match=r"--hidden 1073741824, --layers 1 and 2 inputs has .* weights, which take"
    ):
        build(SunspotOptions(hidden=2**30), 2)
