"""Contributions inside models of many kinds: they sum up to autograd's gradient, and leave the model as it was."""

from abc import ABC
from contextlib import nullcontext
from operator import attrgetter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import bptt
from support import assert_close, normal

B, T = 3, 6
LENGTHS = torch.tensor([4, 6, 2])


class Tagger(nn.Module):
    """An embedding, a packed bidirectional stack with dropout, attention, a normalisation; a score a token."""

    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.encoder = kind(4, 3, 2, bidirectional=True, batch_first=True, dropout=0.3)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 2)

    def forward(self, tokens):
        packed = pack_padded_sequence(self.embedding(tokens), LENGTHS, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        return self.head(self.norm(y + self.attention(y, y, y)[0]))


class Translator(nn.Module):
    """An encoder's final state into a decoder of cells, fed with its own outputs."""

    def __init__(self, rnn, cell):
        super().__init__()
        self.encoder, self.decoder = rnn(4, 5), cell(2, 5)
        self.head = nn.Linear(5, 2)
        self.embedding = nn.Embedding(9, 4)

    def forward(self, tokens):
        _, state = self.encoder(self.embedding(tokens.mT))
        state = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
        y, outputs = torch.zeros(len(tokens), 2, dtype=torch.float64), []
        for _ in range(4):
            state = self.decoder(y, state)
            y = self.head(state[0] if isinstance(state, tuple) else state)
            outputs.append(y)
        return torch.stack(outputs)


class Twice(nn.Module):
    """One module called on two inputs, its output used by a second one, a skip, a convolution."""

    def __init__(self):
        super().__init__()
        self.embedding, self.shared = nn.Embedding(9, 4), nn.GRU(4, 4, batch_first=True)
        self.conv, self.upper = nn.Conv1d(4, 4, 3, padding=1), nn.RNN(4, 4, nonlinearity="relu", batch_first=True)
        self.upper.weight_hh_l0 = self.shared_weight = nn.Parameter(0.3 * torch.eye(4))

    def forward(self, tokens):
        x = self.embedding(tokens)
        left, right = self.shared(x)[0], self.shared(x.flip(1))[0]
        y = self.conv((left + right).mT).mT + x
        return self.upper(y)[0] @ self.shared_weight


class OneStepCalls(nn.Module):
    """A loop of calls of one step that hand the state on, through dropout."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.GRU(4, 4)

    def forward(self, tokens):
        h, outputs = None, []
        for x_t in self.embedding(tokens.mT):
            y, h = self.rnn(x_t[None], h)
            h = nn.functional.dropout(h, 0.2)
            outputs.append(y)
        return torch.cat(outputs)


class Scaled(nn.GRU):
    """A subclass whose forward surrounds torch's own."""

    def forward(self, input, hx=None):
        y, h = super().forward(2 * input, hx)
        return y + 1, h


class SubclassedCell(nn.LSTMCell):
    """A subclass that changes nothing."""


class Subclassed(nn.Module):
    """Subclasses of torch's modules, with hooks."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.cells = nn.Embedding(9, 4), Scaled(4, 3, 2, dropout=0.3), nn.ModuleList()
        self.cells.append(SubclassedCell(3, 3))
        self.rnn.register_forward_hook(lambda module, inputs, outputs: (outputs[0].sin(), outputs[1]))
        self.rnn.register_full_backward_hook(lambda module, d_inputs, d_outputs: (3 * d_inputs[0],))

    def forward(self, tokens):
        state, outputs = None, []
        for y_t in self.rnn(self.embedding(tokens.mT))[0]:
            state = self.cells[0](y_t, state)
            outputs.append(state[0])
        return torch.stack(outputs)


class Checkpointed(nn.Module):
    """A stack with dropout and a loop of cells, each computed again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.cell = nn.Embedding(9, 4), nn.GRU(4, 3, 2, dropout=0.3), nn.GRUCell(3, 3)

    def loop(self, rows):
        h, outputs = None, []
        for x_t in nn.functional.dropout(rows.sin(), 0.3):
            h = self.cell(x_t, h)
            outputs.append(h)
        return torch.stack(outputs).exp()

    def forward(self, tokens):
        y = checkpoint(lambda x: self.rnn(x.sin())[0].exp(), self.embedding(tokens.mT), use_reentrant=False)
        return checkpoint(self.loop, y, use_reentrant=False)


class WeightDrop(nn.Module):
    """A weight computed and set before each call, as an AWD-LSTM does."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 3)
        self.raw = nn.Parameter(self.rnn._parameters.pop("weight_ih_l0").detach())

    def forward(self, tokens):
        self.rnn.weight_ih_l0 = nn.functional.dropout(self.raw, 0.4)
        return self.rnn(self.embedding(tokens.mT))[0]


class Shrinking(nn.Module):
    """A loop over packed steps: the batch shrinks as the shorter sequences end."""

    def __init__(self):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(9, 4), nn.LSTMCell(4, 3)

    def forward(self, tokens):
        packed = pack_padded_sequence(self.embedding(tokens), LENGTHS, batch_first=True, enforce_sorted=False)
        h = c = self.embedding.weight.new_zeros(B, 3)
        outputs = []
        for x_t in packed.data.split(packed.batch_sizes.tolist()):
            h, c = self.cell(x_t, (h[: len(x_t)], c[: len(x_t)]))
            outputs.append(h)
        return torch.cat(outputs)


class Base(ABC, nn.RNNBase):
    """A base class of another layout."""


class Handled(Base, nn.GRU):
    """A subclass by two branches, as pytorch-forecasting's."""

    def forward(self, input, hx=None):
        return super().forward(input, hx)


class TwoBranches(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), Handled(4, 3)

    def forward(self, tokens):
        return self.rnn(self.embedding(tokens.mT))[0]


def normed(model):
    for name in ("weight_hh_l0", "weight_ih_l1_reverse"):
        parametrizations.weight_norm(model.encoder, name)
    return model


MODELS = {
    "tagger of RNN": lambda: Tagger(nn.RNN),
    "tagger of GRU": lambda: Tagger(nn.GRU),
    "tagger of LSTM": lambda: Tagger(nn.LSTM),
    "tagger of ours": lambda: Tagger(bptt.LSTM),
    "translator of RNN": lambda: Translator(nn.RNN, nn.RNNCell),
    "translator of GRU": lambda: Translator(nn.GRU, nn.GRUCell),
    "translator of LSTM": lambda: Translator(bptt.LSTM, nn.LSTMCell),
    "twice": Twice,
    "one-step calls": OneStepCalls,
    "subclassed": Subclassed,
    "checkpointed": Checkpointed,
    "weight drop": WeightDrop,
    "shrinking batch": Shrinking,
    "two branches": TwoBranches,
    "weight norm": lambda: normed(Tagger(nn.GRU)),
}


def made(name):
    torch.manual_seed(0)
    model = MODELS[name]().double()
    return model, torch.randint(0, 9, (B, T))


def loss_of(y):
    return (y * normal(*y.shape, seed=5)).sum() + y.square().mean()


def run(model, tokens, context=None):
    """The loss, with the same draws each time, and what the context gave."""
    torch.manual_seed(1)
    with context or nullcontext() as walks:
        loss = loss_of(model(tokens))
    return loss, walks


@pytest.mark.parametrize("name", MODELS)
def test_contributions_sum_up_to_autograds_gradient(name):
    model, tokens = made(name)
    plain, _ = run(made(name)[0], tokens)
    loss, walks = run(model, tokens, bptt.record(model))
    assert_close(loss, plain, "loss")
    c = bptt.contributions(walks, loss)
    assert all(p.grad is None for p in model.parameters())
    assert not {"forward", "run"} & {key for module in model.modules() for key in vars(module)}
    parameters = dict(model.named_parameters())
    wanted = dict(zip(parameters, torch.autograd.grad(loss, parameters.values()), strict=True))
    recurrent = {id(p) for module in walks.modules.values() for p in module.parameters()}
    assert set(c.gradient) == {key for key, p in parameters.items() if id(p) in recurrent}
    for key, gradient in c.gradient.items():
        uses = [m for m in c.values() for w in m.by_step if f"{m.name}.{w}" == key]
        assert len(uses) <= 1
        if key != "shared_weight" and "upper.weight_hh" not in key:  # tied to a use outside of recurrent modules
            assert_close(gradient, wanted[key], key)
    for module in c.values():
        norms = {weight: module.by_step.norms(weight) for weight in module.by_step}
        for weight, by_step in module.by_step.items():
            assert_close(norms[weight], by_step.flatten(1).norm(dim=1), weight)
            assert_close(module.by_step.norms(weight), norms[weight], weight)
            assert by_step.shape[1:] == attrgetter(weight)(walks.modules[module.name]).shape
            assert_close(by_step.sum(0), module.gradient[weight], weight)
            assert_close(
                sum(loop.by_step.summed(weight) for loop in module.loops), module.gradient[weight], weight
            )
    assert all(name in str(c) for name in c)


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_model_trains_as_it_would_have(name):
    model, tokens = made(name)
    other, _ = made(name)
    plain, _ = run(other, tokens)
    plain.backward()
    after = torch.get_rng_state()
    loss, walks = run(model, tokens, bptt.record(model))
    assert torch.equal(torch.get_rng_state(), after)
    bptt.contributions(walks, loss)
    loss.backward()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert_close(p.grad, q.grad, "gradient")
    for p, q in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(p, q)


def test_outputs_may_be_changed_in_place():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4).double(), normal(T, B, 3)
    wanted = torch.autograd.grad(rnn(x)[0].square().sum(), rnn.parameters())
    with bptt.record(rnn) as walks:
        y, _ = rnn(x)
        loss = y.square_().sum()
    c = bptt.contributions(walks, loss)[""]
    for (name, _), gradient in zip(rnn.named_parameters(), wanted, strict=True):
        assert_close(c.gradient[name], gradient, name)


def test_calls_are_told_apart():
    model, tokens = made("twice")
    loss, walks = run(model, tokens, bptt.record(model))
    c = bptt.contributions(walks, loss)
    assert len(c["shared"].loops) == 2
    assert c["shared"].by_step["weight_hh_l0"].shape == (2 * T, 12, 4)
    model, tokens = made("translator of GRU")
    c = bptt.contributions(*run(model, tokens, bptt.record(model))[::-1])
    assert len(c["decoder"].loops) == 1
    assert c["decoder"].by_step["weight_hh"].shape == (4, 15, 5)
    model, tokens = made("one-step calls")
    c = bptt.contributions(*run(model, tokens, bptt.record(model))[::-1])
    assert len(c["rnn"].loops) == 1


def test_steps_of_packed_sequences_are_each_sequences_own():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4, bidirectional=True).double(), normal(T, B, 3)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    with bptt.record(rnn) as walks:
        y, _ = pad_packed_sequence(rnn(packed)[0])
    c = bptt.contributions(walks, loss_of(y))[""]
    alone = []
    for b, length in enumerate(LENGTHS.tolist()):
        with bptt.record(rnn) as walks:
            own, _ = rnn(x[:length, b : b + 1])
        seed = normal(*y.shape, seed=5)[:length, b : b + 1]
        part = bptt.contributions(walks, (own * seed).sum() + own.square().sum() / y.numel())[""]
        alone.append(
            {
                name: nn.functional.pad(by_step.flatten(1), (0, 0, 0, T - length))
                for name, by_step in part.by_step.items()
            }
        )
    for name, by_step in c.by_step.items():
        assert_close(by_step.flatten(1), sum(part[name] for part in alone), name)


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


def test_a_loss_of_the_final_state_enters_at_the_last_step():
    torch.manual_seed(0)
    rnn, x = nn.RNN(3, 4).double(), normal(T, B, 3)
    with bptt.record(rnn) as walks:
        loss = rnn(x)[1].square().sum()
    with bptt.record(rnn) as others:
        same = rnn(x)[0][-1].square().sum()
    found, wanted = (bptt.contributions(*of, pairs=True)[""] for of in ((walks, loss), (others, same)))
    assert found.steps == wanted.steps == (T,)
    assert_close(found.by_pair.states["l0"], wanted.by_pair.states["l0"], "pairs")


def test_weights_tied_within_a_module():
    rnn = nn.GRU(4, 4, 2).double()
    rnn.weight_ih_l1, rnn.weight_hh_l1 = rnn.weight_ih_l0, rnn.weight_hh_l0
    with bptt.record(rnn) as walks:
        loss = rnn(normal(T, B, 4))[0].square().sum()
    c = bptt.contributions(walks, loss)
    for name, wanted in rnn.named_parameters():
        assert_close(c.gradient[name], torch.autograd.grad(loss, wanted, retain_graph=True)[0], name)


def test_an_empty_batch():
    rnn = nn.GRU(3, 4)
    with bptt.record(rnn) as walks:
        loss = rnn(torch.empty(T, 0, 3))[0].sum()
    c = bptt.contributions(walks, loss)[""]
    assert c.steps == ()
    assert not c.by_step["weight_hh_l0"].any()


def test_functional_call_and_autocast_and_compiled_models():
    model, tokens = made("tagger of GRU")
    model.eval()
    other = {name: p.detach() * 1.1 for name, p in model.named_parameters()}
    for p in other.values():
        p.requires_grad_()
    with bptt.record(model) as walks:
        loss = loss_of(functional_call(model, other, (tokens,)))
    c = bptt.contributions(walks, loss)["encoder"]
    wanted = torch.autograd.grad(loss, other["encoder.weight_hh_l0"], retain_graph=True)[0]
    assert_close(c.gradient["weight_hh_l0"], wanted, "gradient")
    model = model.float()
    with bptt.record(model) as walks, torch.autocast("cpu", torch.bfloat16):
        y = model(tokens)
    loss = y.float().square().sum()
    c = bptt.contributions(walks, loss)["encoder"]
    wanted = torch.autograd.grad(loss, model.encoder.weight_hh_l0)[0]
    assert_close(c.gradient["weight_hh_l0"], wanted, "gradient", 2e-2)
    compiled = torch.compile(model, backend="aot_eager")
    with bptt.record(model) as walks:
        loss = compiled(tokens).square().sum()
    assert_close(bptt.contributions(walks, loss).loss, model(tokens).square().sum().detach(), "loss")


def test_windows_of_a_long_sequence():
    """A user's loop that passes the state on: its windows count as one loop, without those before the cut."""
    torch.manual_seed(0)
    rnn, x, state = nn.GRU(3, 4).double(), normal(8, B, 3), None
    with bptt.record(rnn) as walks:
        for first in (0, 4):
            y, state = rnn(x[first : first + 4], None if state is None else state.detach())
            found = bptt.contributions(walks, loss_of(y))[""]
            wanted = torch.autograd.grad(loss_of(y), rnn.weight_hh_l0)[0]
            assert_close(found.gradient["weight_hh_l0"], wanted, "gradient")
            assert len(found.by_step["weight_hh_l0"]) == 4
        y, _ = rnn(x[:4])
        y, _ = rnn(x[4:], y[-1:])
    c = bptt.contributions(walks, loss_of(y))[""]
    assert len(c.loops) == 1
    assert len(c.by_step["weight_hh_l0"]) == 8
    walks.clear()
    assert repr(walks) == "Walks(calls of the model: 0)"


def test_truncated_and_checkpointed_run_as_they_do():
    torch.manual_seed(0)
    model, x, d = bptt.SequenceModel(bptt.GRU(3, 4), 2).double(), normal(8, B, 3), normal(8, B, 2)
    wanted = [window.loss for window in bptt.truncated(model, x, d, nn.MSELoss(), k1=4)]
    with bptt.record(model) as walks:
        found = [window.loss for window in bptt.truncated(model, x, d, nn.MSELoss(), k1=4)]
    assert found == wanted
    assert len(walks.calls["recurrent"]) == 2


RNNS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM, "ours": bptt.LSTM}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(RNNS)),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["outputs", "state", "both"]),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_the_law_over_random_models(kind, layers, bidirectional, batch_first, packed, used, steps, seed):
    torch.manual_seed(seed)
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
    model = nn.ModuleList(
        [RNNS[kind](2, 3, **options), RNNS[kind](3 * (1 + bidirectional), 2, **options)]
    ).double()
    x = torch.randn(2, steps, 2, dtype=torch.float64)
    x = x if batch_first else x.transpose(0, 1)
    with bptt.record(model) as walks:
        x = pack_padded_sequence(x, [steps, 1], batch_first) if packed else x
        y, first = model[0](x)
        y, state = model[1](y)
        rows = y.data if packed else y
        states = [s for of in (first, state) for s in (of if isinstance(of, tuple) else (of,))]
        loss = rows.sin().sum() * (used != "state") + sum(s.square().sum() for s in states) * (used != "outputs")
    c = bptt.contributions(walks, loss)
    wanted = torch.autograd.grad(loss, model.parameters(), materialize_grads=True)
    for (name, _), gradient in zip(model.named_parameters(), wanted, strict=True):
        assert_close(c.gradient[name], gradient, name)


def test_a_weight_set_before_each_call_is_the_one_recorded():
    model, tokens = made("weight drop")
    loss, walks = run(model, tokens, bptt.record(model))
    found = bptt.contributions(walks, loss)["rnn"].gradient["weight_ih_l0"]
    wanted = torch.autograd.grad(loss, model.rnn.weight_ih_l0)[0]
    assert_close(found, wanted, "gradient")


def test_a_subclass_is_its_own_class_again():
    model, _ = made("subclassed")
    with bptt.record(model):
        assert type(model.rnn).__name__ == "Scaled"
        with pytest.raises(ValueError, match="rnn is being recorded already"), bptt.record(model):
            pass
    assert type(model.rnn) is Scaled
    assert "forward" not in vars(model.cells[0])


def test_what_cannot_be_recorded():
    model, tokens = made("tagger of GRU")
    with (
        pytest.raises(ValueError, match=r"Linear has no recurrent module.*torch.nn.RNN"),
        bptt.record(nn.Linear(2, 2)),
    ):
        pass
    with pytest.raises(TypeError, match="got function"), bptt.record(loss_of):
        pass
    with (
        bptt.record(model),
        pytest.raises(ValueError, match="encoder is being recorded already"),
        bptt.record(model),
    ):
        pass
    with bptt.record(model) as walks, torch.no_grad():
        y = model(tokens)
    with pytest.raises(ValueError, match=r"no walk was recorded.*1 calls were made under torch.no_grad"):
        bptt.contributions(walks, y.sum())
    rnn = nn.GRU(2, 3)
    with bptt.record(rnn) as walks:
        y = checkpoint(lambda x: rnn(x)[0], torch.ones(2, 1, 2, requires_grad=True), use_reentrant=True)
    with pytest.raises(ValueError, match=r"no walk was recorded.*use_reentrant=False"):
        bptt.contributions(walks, y.sum())
    loss, walks = run(model, tokens, bptt.record(model))
    with pytest.raises(ValueError, match="depends on no recorded walk"):
        bptt.contributions(walks, model.embedding.weight.sum())
    with pytest.raises(ValueError, match="depends on no recorded walk"):
        bptt.contributions(walks, loss.detach())
    with pytest.raises(ValueError, match=r"depends on no recorded walk.*another"):
        bptt.contributions(walks, run(made("tagger of GRU")[0], tokens)[0])
    with pytest.raises(ValueError, match=r"there are 5 errors E_t, but.* 6 steps"):
        bptt.contributions(walks, loss * torch.ones(5))
    with pytest.raises(TypeError, match="a gradient is of a real loss"):
        bptt.contributions(walks, loss * 1j)
    with pytest.raises(TypeError, match="loss must be a scalar tensor"):
        bptt.contributions(walks, 1.0)
    with pytest.raises(ValueError, match=r"with packed sequences: pass the errors"):
        bptt.contributions(walks, loss, pairs=True)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"the graph of this loss is gone.*before loss.backward"):
        bptt.contributions(walks, loss)


def test_a_gradient_penalty_is_refused_and_works():
    rnn, x = nn.GRU(3, 4).double(), normal(T, B, 3, grad=True)
    with bptt.record(rnn) as walks:
        y, _ = rnn(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        loss = y.square().sum() + slope.square().sum()
    with pytest.raises(ValueError, match="second derivatives are not recorded"):
        bptt.contributions(walks, loss)
    found = torch.autograd.grad(loss, rnn.parameters())
    y, _ = rnn(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    for f, w in zip(
        found, torch.autograd.grad(y.square().sum() + slope.square().sum(), rnn.parameters()), strict=True
    ):
        assert_close(f, w, "gradient")


def test_errors_of_a_loop_are_told_from_what_its_steps_hand_on():
    """Only the first and the third step's output count: what flows from call to call is no error."""
    for kind in (nn.GRUCell, nn.LSTMCell):
        torch.manual_seed(0)
        cell, h, x = kind(3, 4).double(), None, normal(T, B, 3)
        with bptt.record(cell) as walks:
            outputs = []
            for x_t in x:
                h = cell(x_t, h)
                outputs.append(h[0] if isinstance(h, tuple) else h)
        c = bptt.contributions(walks, outputs[0].sum() + outputs[2].square().sum())[""]
        assert c.steps == (1, 3)


def test_a_lessons_network_inside_has_its_weights_as_it_reads_them():
    net, x = bptt.Elman(2, 3, 1, bias=True).double(), normal(4, T, 2)
    with bptt.record(net) as walks:
        loss = net(x)[0].square().sum()
    c = bptt.contributions(walks, loss)[""]
    for name in ("W_x", "W_s", "b_s"):
        assert_close(
            c.by_step[name].sum(0), torch.autograd.grad(loss, getattr(net, name), retain_graph=True)[0], name
        )


def test_pairs_after_dropout_between_the_layers_are_refused_or_by_errors():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4, 2, dropout=0.5).double(), normal(T, B, 3)
    with bptt.record(rnn) as walks:
        errors = rnn(x)[0].square().sum((1, 2))
    with pytest.raises(ValueError, match=r"dropout was drawn.*eval mode"):
        bptt.contributions(walks, errors.sum(), pairs=True)
    c = bptt.contributions(walks, errors, pairs=True)[""]
    one = bptt.contributions(walks, errors[-1])[""]
    assert_close(
        c.by_pair.weights["weight_hh_l0"][-1], one.by_step["weight_hh_l0"].flatten(1).norm(dim=1), "pairs"
    )
    with bptt.record(rnn.eval()) as walks:
        loss = rnn(x)[0].square().sum()
    assert bptt.contributions(walks, loss, pairs=True)[""].by_pair is not None


def test_a_loss_of_two_recordings_of_a_module_is_refused():
    """Each would give its own part alone; of two models each recording has the whole part of its own."""
    first, second, x = nn.GRU(3, 4), nn.GRU(3, 4), normal(T, B, 3, dtype=torch.float32)
    total = torch.zeros(())
    for part in x.split(3):
        with bptt.record(first) as walks:
            total = total + first(part)[0].sum()
    for function in (bptt.contributions, bptt.diagnose, bptt.explain):
        with pytest.raises(ValueError, match=r"calls of the model in another `record` too.*inside one `with"):
            function(walks, total)
    with bptt.record(first) as walks, bptt.record(second) as others:
        loss = first(x)[0].sum() + second(x)[0].sum()
    for of, module in ((walks, first), (others, second)):
        wanted = torch.autograd.grad(loss, module.weight_hh_l0, retain_graph=True)[0]
        assert_close(bptt.contributions(of, loss)[""].gradient["weight_hh_l0"], wanted, "gradient", 1e-5)
