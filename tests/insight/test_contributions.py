import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt
from support import SINE, assert_close, normal

MODELS = {
    "lesson": lambda: bptt.Elman(2, 3, 3),
    "softmax": lambda: bptt.Elman(2, 3, 3, softmax=True, bias=True, leak=0.6),
    "rnn": lambda: bptt.RNN(2, 4),
    "own activation": lambda: bptt.RNN(2, 4, nonlinearity=SINE),
    "gru": lambda: bptt.GRU(2, 4, 2, bias=False),
    "lstm": lambda: bptt.LSTM(2, 4, batch_first=True),
    "model": lambda: bptt.SequenceModel(bptt.GRU(2, 4, 2, batch_first=True), 3),
    "projected": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, 2, proj_size=3), 3, bias=False),
    "bidirectional": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, 2, bidirectional=True), 3),
    "projected, bidirectional": lambda: bptt.LSTM(2, 4, 2, bidirectional=True, proj_size=2),
}
LOSSES = {
    "sum": bptt.squared_error,
    "mean": torch.nn.MSELoss(),
    "last step": lambda y, d: (y - d)[-1].square().sum(),
    "one number of all": lambda y, d: (y.mean() - d.mean()) ** 2,
}


def case(name: str, batch: int | None = 3, T: int = 6):
    """A model, x and d, laid out for it, and its parameters by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = MODELS[name]().double()
    shape = (T,) if batch is None else (batch, T) if model.batch_first else (T, batch)
    x = normal(*shape, 2)
    return model, x, normal(*model(x)[0].shape, seed=1), dict(model.named_parameters())


def gradients(loss, parameters):
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("batch", [None, 3])
def test_steps_sum_to_autograds_gradient(name, loss, batch):
    model, x, d, parameters = case(name, batch)
    error = LOSSES[loss](model(x)[0], d)
    c = bptt.contributions(model, x, d, LOSSES[loss])
    assert_close(c.loss, error.detach(), "loss", 1e-14)
    assert list(c.by_step) == list(parameters)
    for parameter, wanted in gradients(error, parameters).items():
        assert c.by_step[parameter].shape == (6, *wanted.shape), parameter
        assert_close(c.by_step[parameter].sum(0), wanted, f"sum of by_step of {parameter}", 1e-10)
        assert_close(c.gradient[parameter], wanted, parameter, 1e-10)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("batch", [None, 3])
def test_the_errors_of_single_steps_sum_to_the_loss_and_their_norms_are_the_pairs(name, batch):
    model, x, d, parameters = case(name, batch)
    whole = bptt.contributions(model, x, d, torch.nn.MSELoss(), pairs=True)
    assert whole.by_pair is not None
    alone = [bptt.contributions(model, x, d, torch.nn.MSELoss(), t=t, pairs=True) for t in range(1, 7)]
    for parameter in parameters:
        pairs = torch.stack([c.by_step[parameter] for c in alone])  # (t, k, *shape)
        assert_close(pairs.sum(0), whole.by_step[parameter], parameter, 1e-10)
        assert_close(whole.by_pair.weights[parameter], pairs.flatten(2).norm(dim=2), parameter, 1e-7)
    for t, c in enumerate(alone, start=1):
        assert c.steps == (t,)
        of_whole = whole.by_pair.states | whole.by_pair.weights
        for key, pairs in (c.by_pair.states | c.by_pair.weights).items():
            assert_close(pairs[t - 1], of_whole[key][t - 1], key, 1e-7)
            assert pairs.count_nonzero() == pairs[t - 1].count_nonzero(), f"{key}: rows of other errors"


@pytest.mark.parametrize("name", ["lesson", "model", "projected"])
def test_a_step_is_what_explain_says(name):
    model, x, d, _ = case(name, batch=None)
    c = bptt.contributions(model, x, d, bptt.squared_error, t=4, pairs=True)
    e = bptt.explain(model, x, d, t=4)
    for parameter, parts in e.contributions.items():
        assert_close(c.by_step[parameter][:4], parts, parameter, 1e-12)
        assert c.by_step[parameter][4:].count_nonzero() == 0
    for layer, gradient in e.state_gradients.items():
        assert_close(c.by_pair.states[layer][3, :4], gradient.norm(dim=-1), layer, 1e-10)


def test_states_are_autograds():
    model = bptt.GRU(2, 4).double()
    x, d = normal(5, 3, 2), normal(5, 3, 4, seed=1)
    state, states = torch.zeros(1, 3, 4, dtype=torch.float64), []
    for x_t in x:
        _, state = model(x_t[None], state)
        states.append(state)
    found = bptt.contributions(model, x, d, bptt.squared_error, pairs=True).by_pair.states["l0"]
    for t in range(5):
        error = bptt.squared_error(states[t][0], d[t])
        wanted = torch.autograd.grad(error, states, retain_graph=True, allow_unused=True, materialize_grads=True)
        assert_close(found[t], torch.stack([w.norm() for w in wanted]), f"row {t}", 1e-10)


@pytest.mark.parametrize("name", list(MODELS))
def test_nothing_stands_above_the_diagonal_but_for_walks_backwards(name):
    model, x, d, _ = case(name)
    by_pair = bptt.contributions(model, x, d, bptt.squared_error, pairs=True).by_pair
    for key, pairs in (by_pair.states | by_pair.weights).items():
        above = pairs.triu(1).count_nonzero()
        if "bidirectional" not in name:
            assert above == 0, key
        elif key == "l1_reverse":
            assert above > 0
            assert pairs.tril(-1).count_nonzero() == 0, "the last layer's way back in time is forward"


@pytest.mark.parametrize("name", ["lesson", "projected", "bidirectional"])
@pytest.mark.parametrize("loss", ["mean", "last step"])
def test_lags_are_the_means_of_pairs(name, loss):
    model, x, d, _ = case(name)
    c = bptt.contributions(model, x, d, LOSSES[loss], pairs=True)
    later = bptt.contributions(model, x, d, LOSSES[loss])
    for key, pairs in (c.by_pair.states | c.by_pair.weights).items():
        found = (c.by_lag.states | c.by_lag.weights)[key]
        sign = -1 if key.endswith("_reverse") else 1
        for lag in range(6):
            reached = [pairs[t - 1, t - 1 - sign * lag] for t in c.steps if 0 <= t - 1 - sign * lag < 6]
            wanted = torch.stack(reached).mean() if reached else torch.zeros((), dtype=torch.float64)
            assert_close(found[lag], wanted, f"{key} at lag {lag}", 1e-12)
        assert_close((later.by_lag.states | later.by_lag.weights)[key], found, f"{key}, asked for later", 1e-12)


def test_what_was_told_stays_though_x_and_weights_change():
    model, x, d, parameters = case("gru")
    c, kept = (bptt.contributions(model, x, d, bptt.squared_error) for _ in range(2))
    wanted = {name: c.by_step[name] for name in parameters}, c.by_lag
    x.zero_()
    with torch.no_grad():
        for p in parameters.values():
            p.zero_()
    for name in parameters:
        assert torch.equal(kept.by_step[name], wanted[0][name])
    assert torch.equal(kept.by_lag.states["l0"], wanted[1].states["l0"])


def test_classes_by_number_and_cross_entropy_before_the_softmax():
    model, x, _, parameters = case("softmax")
    d = normal(3, 6, 3, seed=2).argmax(-1)
    s = model.hidden(x)
    wanted = gradients(bptt.cross_entropy(model.readout(s), d), parameters)
    named = bptt.contributions(model, x, d, bptt.cross_entropy)
    likelihood = torch.nn.NLLLoss(reduction="sum")
    own = bptt.contributions(model, x, d, lambda y, d: likelihood(y.log().mT, d))
    for name, gradient in wanted.items():
        assert_close(named.gradient[name], gradient, name, 1e-10)
        assert_close(own.gradient[name], gradient, name, 1e-10)


def test_nothing_of_the_model_changes_and_frozen_parameters_are_told():
    model = bptt.SequenceModel(bptt.LSTM(2, 4, 2, dropout=0.5), 1).requires_grad_(False)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with torch.no_grad():
        c = bptt.contributions(model, torch.ones(5, 2), torch.ones(5, 1), bptt.squared_error, pairs=True)
    assert model.training
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all(c.by_step[name].norm() > 0 for name in before)
    assert not any(t.requires_grad for t in (c.loss, *c.by_step.values(), *c.by_pair.states.values()))


def test_shares_sum_to_one():
    model, x, d, _ = case("projected")
    for name, share in bptt.contributions(model, x, d, bptt.squared_error).shares.items():
        assert share.shape == (6,)
        assert share.sum().item() == pytest.approx(1), name


def test_a_zero_gradient_has_no_shares_and_no_pairs():
    model, x, _, _ = case("model")
    c = bptt.contributions(model, x, model(x)[0].detach(), bptt.squared_error, pairs=True)
    assert c.steps == ()
    assert all(share.count_nonzero() == 0 for share in c.shares.values())
    assert all(p.count_nonzero() == 0 for p in (c.by_lag.states | c.by_pair.weights).values())
    assert "nan" not in str(c)


@settings(max_examples=15, deadline=None)
@given(T=st.integers(1, 7), B=st.integers(0, 3), name=st.sampled_from(["rnn", "model", "bidirectional"]))
def test_any_size(T, B, name):
    model, x, d, parameters = case(name, B, T)
    c = bptt.contributions(model, x, d, bptt.squared_error, pairs=True)
    wanted = gradients(bptt.squared_error(model(x)[0], d), parameters)
    for parameter, gradient in wanted.items():
        assert_close(c.by_step[parameter].sum(0), gradient, parameter, 1e-10)
        assert c.by_pair.weights[parameter].shape == (T, T)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": torch.nn.GRU(2, 3)}, TypeError, "got GRU; record the model"),
        ({"model": torch.nn.Sequential(bptt.GRU(2, 3))}, TypeError, "got Sequential; record the model"),
        ({"model": "gru"}, TypeError, "got str"),
        ({"x": [1.0]}, TypeError, "x must be a torch.Tensor"),
        ({"x": torch.zeros(5, 4, 7)}, ValueError, "input_size=2"),
        ({"t": 6}, ValueError, "t is 6.*1 to 5"),
        ({"t": 1.0}, TypeError, "t must be an int.*float"),
        ({"criterion": "squared_error"}, TypeError, "function.*str"),
        ({"criterion": lambda y, d: y - d}, ValueError, r"scalar.*\(5, 4, 3\)"),
        ({"criterion": lambda y, d: d.sum()}, ValueError, "leaves y out"),
    ],
)
def test_bad_calls(change, error, words):
    call = {"model": bptt.GRU(2, 3), "x": torch.zeros(5, 4, 2), "d": torch.zeros(5, 4, 3)}
    with pytest.raises(error, match=words):
        bptt.contributions(**{**call, "criterion": bptt.squared_error, **change})


def test_packed_sequences_are_refused():
    packed = bptt.pack_padded_sequence(torch.zeros(4, 2, 3), [4, 2])
    with pytest.raises(TypeError, match="packed"):
        bptt.contributions(bptt.GRU(3, 5), packed, torch.zeros(4, 2, 5), bptt.squared_error)  # pyright: ignore


def test_parameters_in_two_places_and_computed_ones_are_refused():
    shared = bptt.GRU(3, 3, 2)
    shared.weight_hh_l1 = shared.weight_hh_l0
    computed = torch.nn.utils.parametrizations.weight_norm(bptt.GRU(3, 3), "weight_hh_l0")
    for model, name in ((shared, "weight_hh_l1"), (computed, "parametrizations")):
        with pytest.raises(ValueError, match=name):
            bptt.contributions(model, torch.zeros(4, 3), torch.zeros(4, 3), bptt.squared_error)


def contributed(T, **options):
    torch.manual_seed(0)
    net = bptt.SequenceModel(bptt.GRU(2, 3, 2), 1)
    return bptt.contributions(net, torch.randn(T, 2), torch.randn(T, 1), torch.nn.MSELoss(), **options)


def test_every_parameter_has_its_row_and_shares_sum_to_one():
    c = contributed(40)
    lines = str(c).splitlines()
    rows = [line for line in lines if line.startswith(("recurrent.", "readout."))]
    assert [row.split()[0] for row in rows] == list(c.by_step)
    for row in rows:
        assert abs(sum(float(part.rstrip("%")) for part in row.split()[2:]) - 100) < 0.5
    assert "lag" not in str(c)


def test_lags_are_told_with_pairs_alone_and_by_powers_of_two():
    lines = str(contributed(40, pairs=True)).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("lag"))
    assert lines[place].split() == ["lag", "0", "1", "2", "4", "8", "16", "32"]
    assert [line.split()[0] for line in lines[place + 1 :]] == ["l0", "l1"]
    assert max(map(len, lines)) < 110


def test_contributions_of_a_single_step():
    assert "step 1" in str(contributed(1, t=1, pairs=True))
