"""Every error against every step inside models: norms of each error's own contributions."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import bptt
from bptt.insight.recorder import by_pair
from support import assert_close, normal
from written_models import LENGTHS, B, T, made


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_pairs_are_those_of_the_plain_model(layers, bidirectional):
    torch.manual_seed(0)
    model = bptt.SequenceModel(bptt.GRU(3, 4, layers, bidirectional=bidirectional), 2).double()
    x, d = normal(T, B, 3), normal(T, B, 2)
    wanted = bptt.contributions(model, x, d, nn.MSELoss(), pairs=True)
    with bptt.record(model) as walks:
        loss = nn.MSELoss()(model(x)[0], d)
    found = bptt.contributions(walks, loss, pairs=True)["recurrent"]
    for layer, norms in found.by_pair.states.items():
        assert_close(norms, wanted.by_pair.states[layer], layer)
    for weight, norms in found.by_pair.weights.items():
        assert_close(norms, wanted.by_pair.weights[f"recurrent.{weight}"], weight)
    for weight, norms in found.by_lag.weights.items():
        assert_close(norms, wanted.by_lag.weights[f"recurrent.{weight}"], weight)


def test_errors_by_step_go_back_through_the_whole_model():
    """By pair they are the norms of each error's own contributions, also where steps are mixed on the way."""
    model, tokens = made("tagger of GRU")
    model.eval()
    with bptt.record(model) as walks:
        errors = model(tokens).square().sum((0, 2))
    c = bptt.contributions(walks, errors, pairs=True)["encoder"]
    for t in range(T):
        one = bptt.contributions(walks, errors[t])["encoder"]
        for weight, by_step in one.by_step.items():
            assert_close(c.by_pair.weights[weight][t], by_step.flatten(1).norm(dim=1), weight, 1e-8)
    assert c.by_pair.states["l1_reverse"].shape == (T, T)


def check_pairs(found, parts, tolerance=1e-8):
    """The rows of by_pair are the norms of each error's own contributions, by step."""
    for t, part in enumerate(parts):
        for weight, by_step in part.by_step.items():
            if weight in found.by_pair.weights:
                wanted = by_step.flatten(1).norm(dim=1)
                assert_close(found.by_pair.weights[weight][t], wanted, f"{weight} of error {t + 1}", tolerance)


SINGLE = {
    "packed": lambda: nn.GRU(4, 3, 2),
    "packed, both directions": lambda: nn.LSTM(4, 3, 2, bidirectional=True),
    "packed, projected": lambda: nn.LSTM(4, 3, proj_size=2),
    "dropout between the layers": lambda: nn.RNN(4, 3, 2, dropout=0.4),
    "dropout, both directions": lambda: bptt.GRU(4, 3, 2, bidirectional=True, dropout=0.4),
}


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("swept", [1, 10**6])
def test_pairs_of_packed_sequences_and_of_dropout_as_drawn(kind, swept, monkeypatch):
    monkeypatch.setattr(by_pair, "SWEPT", swept)
    torch.manual_seed(0)
    rnn, x = SINGLE[kind]().double(), normal(T, B, 4)
    with bptt.record(rnn) as walks:
        if kind.startswith("packed"):
            y, _ = pad_packed_sequence(rnn(pack_padded_sequence(x, LENGTHS, enforce_sorted=False))[0])
        else:
            y, _ = rnn(x)
    found = bptt.contributions(walks, y.square().sum(), pairs=True)[""]
    assert found.steps == tuple(range(1, T + 1))
    check_pairs(found, [bptt.contributions(walks, y[t].square().sum())[""] for t in range(T)])
    assert found.by_lag.states["l0"].isfinite().all()


def test_an_error_of_every_final_state_counts_with_the_last_step():
    """Also of a lower layer, and of the cell state, which no row of the output holds."""
    torch.manual_seed(0)
    rnn, x = nn.LSTM(4, 3, 2).double(), normal(T, B, 4)
    with bptt.record(rnn) as walks:
        y, (h, c) = rnn(x)
    loss = y[1].sum() + h.square().sum() + c.square().sum()
    found = bptt.contributions(walks, loss, pairs=True)[""]
    assert found.steps == (2, T)
    parts = [bptt.contributions(walks, part)[""] for part in (y[1].sum(), h.square().sum() + c.square().sum())]
    for weight in found.by_step:
        for t, part in zip((1, T - 1), parts, strict=True):
            wanted = part.by_step[weight].flatten(1).norm(dim=1)
            assert_close(found.by_pair.weights[weight][t], wanted, weight, 1e-8)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("swept", [1, 10**6])
def test_pairs_of_a_loop_of_cells_are_those_of_the_layer(kind, swept, monkeypatch):
    monkeypatch.setattr(by_pair, "SWEPT", swept)
    torch.manual_seed(0)
    rnn, x = kind(4, 3).double(), normal(T, B, 4)
    cell = getattr(nn, kind.__name__ + "Cell")(4, 3).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in rnn.state_dict().items()})
    with bptt.record(rnn) as walks:
        loss = rnn(x)[0][1:].square().sum()
    wanted = bptt.contributions(walks, loss, pairs=True)[""]
    with bptt.record(cell) as walks:
        state, loss = None, 0
        for t, x_t in enumerate(x):
            state = cell(x_t, state)
            loss = loss + (t > 0) * (state[0] if kind is nn.LSTM else state).square().sum()
    found = bptt.contributions(walks, loss, pairs=True)[""]
    assert found.steps == wanted.steps == tuple(range(2, T + 1))
    assert_close(found.by_pair.states["l0"], wanted.by_pair.states["l0"], "states")
    for weight, norms in found.by_pair.weights.items():
        assert_close(norms, wanted.by_pair.weights[f"{weight}_l0"], weight, 1e-8)
        assert_close(found.by_lag.weights[weight], wanted.by_lag.weights[f"{weight}_l0"], weight, 1e-8)


class Feedback(nn.Module):
    """A decoder that reads its own outputs, and whose state is changed between its calls."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(2, 3), nn.Linear(3, 2)

    def forward(self, h, inputs=None, fed=True):
        states, given = [], []
        y = torch.zeros(len(h), 2, dtype=h.dtype)
        for t in range(T):
            given.append(y if inputs is None else inputs[t])
            states.append(self.cell(given[-1], h))
            h, y = 0.7 * states[-1].sin(), self.head(states[-1])
        return torch.stack(states), torch.stack(given)


def test_errors_do_not_leave_a_module_and_come_back():
    """E_t is all that enters step t from above, so it flows on by the states, and not by the fed back outputs."""
    torch.manual_seed(0)
    model, h = Feedback().double(), normal(B, 3)
    with bptt.record(model) as walks:
        states, given = model(h)
    found = bptt.contributions(walks, states.square().sum(), pairs=True)["cell"]
    total = bptt.contributions(walks, states.square().sum())["cell"].gradient["weight_hh"]
    weight = model.cell.weight_hh
    assert_close(total, torch.autograd.grad(states.square().sum(), weight, retain_graph=True)[0], "gradient")
    fixed = given.detach()
    entering, d = [], torch.zeros(B, 2, dtype=torch.float64)
    for t in reversed(range(T)):  # by hand: the step's own error, and what the step after it sends back as y_t
        entering.insert(0, 2 * states[t].detach() + d @ model.head.weight.detach())
        again, _ = model(h, inputs := fixed.clone().requires_grad_())
        later = sum((entering[i] * again[t + i]).sum() for i in range(len(entering)))
        (d_inputs,) = torch.autograd.grad(later, inputs, retain_graph=True)
        d = d_inputs[t]
    with bptt.record(model) as walks:
        again, _ = model(h, fixed)
    check_pairs(found, [bptt.contributions(walks, (e * again[t]).sum())["cell"] for t, e in enumerate(entering)])


@pytest.mark.parametrize("name", ["tagger of GRU", "translator of LSTM", "checkpointed", "weight norm", "twice"])
def test_errors_by_step_of_many_models(name, monkeypatch):
    """Together or one by one, they are the norms of each error's own contributions, dropout as drawn."""
    model, tokens = made(name)
    with bptt.record(model) as walks:
        y = model(tokens)
        y = y if len(y) == 4 or name == "checkpointed" else y.transpose(0, 1)
        y = torch.cat([y, y]) if name == "twice" else y
        errors = y.square().sum((1, 2))
    chosen = "decoder" if name.startswith("translator") else "shared" if name == "twice" else None
    together = bptt.contributions(walks, errors, pairs=True)
    found = together[chosen or next(iter(together))]
    parts = [bptt.contributions(walks, error) for error in errors]
    for t, part in enumerate(parts):
        for weight, by_step in part[found.name].by_step.items() if found.name in part else ():
            norms = found.by_pair.weights.get(weight)
            if norms is not None and len(by_step) == norms.shape[1]:
                assert_close(norms[t], by_step.flatten(1).norm(dim=1), f"{weight} of error {t + 1}", 1e-7)
    monkeypatch.setattr(by_pair, "_vmapped", refusing_many(by_pair._vmapped))
    for layer, states in bptt.contributions(walks, errors, pairs=True)[found.name].by_pair.states.items():
        assert_close(states, found.by_pair.states[layer], layer, 1e-9)


def refusing_many(backpropagated):
    def one_alone(back, seeds):
        if len(seeds[0]) > 1:
            raise RuntimeError("vmap: no rule for this")
        backpropagated(back, seeds)

    return one_alone


def test_errors_go_back_together_through_what_lies_between():
    rnns, passes = nn.ModuleList([nn.GRU(4, 3), nn.GRU(3, 3)]).double(), []
    with bptt.record(rnns) as walks:
        y, _ = rnns[0](normal(40, B, 4))
        y.register_hook(lambda d: passes.append(1))
        errors = rnns[1](y.sin())[0].square().sum((1, 2))
    bptt.contributions(walks, errors, pairs=True)
    assert len(passes) == 2  # of all errors side by side, and of their sum


def test_lags_of_a_graph_that_is_gone():
    cell, h, x = nn.GRUCell(4, 3), None, normal(T, B, 4, dtype=torch.float32)
    with bptt.record(cell) as walks:
        for x_t in x:
            h = cell(x_t, h)
    loss = h.square().sum()
    found = bptt.contributions(walks, loss)[""]
    loss.backward()
    with pytest.raises(RuntimeError, match=r"the graph of this loss is gone: ask for contributions before"):
        found.by_lag  # noqa: B018
