import pytest
import torch

import bptt
from bptt.training.watch import Watch
from support import SINE, assert_close, normal

NETS = {
    "elman": lambda: bptt.Elman(2, 3, 2, softmax=True, leak=0.5),
    "rnn": lambda: bptt.SequenceModel(bptt.RNN(2, 4, 2, leak=0.5), 2),
    "own activation": lambda: bptt.SequenceModel(bptt.RNN(2, 4, nonlinearity=SINE), 2),
    "gru": lambda: bptt.SequenceModel(bptt.GRU(2, 4, 2, batch_first=True), 2),
    "lstm": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, 2), 2),
    "projected": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, proj_size=3), 2),
}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("name", list(NETS))
def test_every_lag_is_the_mean_of_what_explain_finds_there(name, batch, grad):
    net, T, lags = NETS[name]().double(), 12, 4
    shape = (T,) if batch is None else (batch, T) if net.batch_first else (T, batch)
    x, d = normal(*shape, 2), normal(*shape, 2, seed=1)
    watch = Watch(net, T, batch or 1, lags=lags)
    with torch.set_grad_enabled(grad):
        y = watch(x)
        assert torch.equal(y, net(x)[0])
        if grad:
            y.sum().backward()
    found = watch.by_lag(d)
    ends, rows = watch._at.steps[-1].tolist(), watch._at.rows.tolist()
    assert len(ends) == 4
    assert (min(ends), max(ends)) == (lags + 1, T - 1)
    norms = {}
    for end, row in zip(ends, rows, strict=True):
        one = slice(None) if batch is None else row if net.batch_first else (slice(None), row)
        for layer, by_step in bptt.explain(net, x[one], d[one], t=end + 1).state_gradients.items():
            norms.setdefault(layer, []).append(by_step.norm(dim=-1)[-1 - lags :].flip(0))
    assert list(found) == list(norms)
    for layer, wanted in norms.items():
        assert_close(torch.tensor(found[layer]).double(), torch.stack(wanted).mean(0), layer, 1e-6)


def test_training_is_what_it_is_without_a_watch():
    net = bptt.SequenceModel(bptt.GRU(2, 4), 1)
    x, d = normal(9, 2, 2).float(), normal(9, 2, 1).float()
    gradients = []
    watch = Watch(net, 9, 2)
    for walk in (lambda: net(x)[0], lambda: watch(x)):
        net.zero_grad()
        bptt.squared_error(walk(), d).backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    watch.by_lag(d)
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients[0], strict=True))


def test_a_state_goes_in_where_a_window_goes_on():
    net = bptt.SequenceModel(bptt.LSTM(2, 4), 1).double()
    x = normal(9, 2, 2)
    _, state = net(x[:4])
    watch = Watch(net, 5, 2)
    assert_close(watch(x[4:], state), net(x)[0][4:], "y", 1e-13)


def test_how_often_follows_from_the_sizes():
    small, large = bptt.SequenceModel(bptt.RNN(2, 12), 1), bptt.SequenceModel(bptt.GRU(8, 64), 1)
    often = Watch(small, 219)
    assert often.every > 1
    due = [epoch for epoch in range(1, 2 * often.every + 2) if often.due(epoch)]
    assert due == [1, 1 + often.every, 1 + 2 * often.every]
    assert Watch(large, 1000, 32).every == 1


def test_short_sequences_have_short_lags():
    net = bptt.Elman(2, 3, 1)
    watch = Watch(net, 2)
    watch(torch.ones(2, 2))
    assert [len(norms) for norms in watch.by_lag(torch.ones(2, 1)).values()] == [1]


def test_a_walk_is_needed_with_the_weights_it_had():
    net, d = bptt.Elman(2, 3, 1), torch.ones(5, 1)
    watch = Watch(net, 5)
    with pytest.raises(RuntimeError, match=r"call watch\(x\) first"):
        watch.by_lag(d)
    watch(torch.ones(5, 2))
    with torch.no_grad():
        net.W_s.mul_(2)
    with pytest.raises(RuntimeError, match=r"before optimizer\.step"):
        watch.by_lag(d)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Watch(bptt.SequenceModel(bptt.GRU(2, 3, bidirectional=True), 1), 5), ValueError, "bidirectional"),
        (lambda: Watch(bptt.Elman(2, 3, 1), 1), ValueError, "at least 2"),
        (lambda: Watch(bptt.Elman(2, 3, 1), 5.0), TypeError, "steps must be an int"),
        (lambda: Watch(bptt.Elman(2, 3, 1), 5)(torch.ones(6, 2)), ValueError, "T=6, B=1.*T=5, B=1"),
        (lambda: Watch(bptt.Elman(2, 3, 1).half(), 5)(torch.ones(5, 2).half()), TypeError, "float32 or float64"),
    ],
)
def test_bad_calls(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_one_stretch_alone_ends_with_the_last_step():
    net, x, d = bptt.Elman(2, 3, 1).double(), normal(12, 2), normal(12, 1)
    watch = Watch(net, 12, lags=4, most=1)
    watch(x)
    wanted = bptt.explain(net, x, d, t=12).state_gradients["l0"].norm(dim=-1)[-5:].flip(0)
    assert_close(torch.tensor(watch.by_lag(d)["l0"]).double(), wanted, "by lag", 1e-6)
