"""States carried from call to call: windows compute what the whole sequence would, whatever they are walked in."""

import contextlib
import copy
import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import bptt
from support import any_grad_is_read, assert_close, normal
from zoo import Decay

B, I, H = 3, 2, 4

KINDS = {
    "torch RNN": nn.RNN,
    "torch GRU": nn.GRU,
    "torch LSTM": partial(nn.LSTM, proj_size=2),
    "RNN": bptt.RNN,
    "GRU": bptt.GRU,
    "LSTM": bptt.LSTM,
}


class Hiding(nn.Module):
    """A model (x) -> y whose state nobody sees: an embedding of x, recurrent modules in series, a read-out."""

    def __init__(self, make, **options):
        super().__init__()
        self.inward = nn.Linear(I, I)
        self.rnn = make(I, H, **options)
        self.readout = nn.LazyLinear(2)

    def forward(self, x):
        return self.readout(self.rnn(torch.tanh(self.inward(x)))[0])


def made(make, **options):
    torch.manual_seed(0)
    model = Hiding(make, **options).double()
    axis = int(options.get("batch_first", False))
    model(torch.zeros(1, 1, I, dtype=torch.float64).transpose(0, axis))
    return model


def windows_of(model, x, length, axis=0):
    with bptt.stateful(model) as carry:
        return torch.cat([model(window) for window in x.split(length, axis)], axis), carry


@pytest.mark.parametrize("kind", KINDS)
@given(length=st.integers(1, 9), layers=st.integers(1, 2), batch_first=st.booleans(), training=st.booleans())
@settings(max_examples=6, deadline=None)
def test_windows_compute_what_the_whole_sequence_does(kind, length, layers, batch_first, training):
    model = made(KINDS[kind], num_layers=layers, batch_first=batch_first).train(training)
    x = normal(8, B, I).transpose(0, int(batch_first))
    y, carry = windows_of(model, x, length, int(batch_first))
    assert_close(y, model(x), "outputs", 1e-12)
    assert list(carry.modules) == ["rnn"]


@pytest.mark.parametrize("make", [Decay, lambda I, H: bptt.Elman(I, I, H)])
def test_a_custom_cell_and_the_lessons_network_carry_theirs(make):
    model = made(make)
    x = normal(7, B, I)
    if isinstance(model.rnn, bptt.Elman):
        x = x.transpose(0, 1)
        assert_close(windows_of(model, x, 3, 1)[0], model(x), "outputs", 1e-12)
    else:
        assert_close(windows_of(model, x, 3)[0], model(x), "outputs", 1e-12)


def test_one_sequence_without_a_batch():
    model = made(nn.LSTM)
    x = normal(7, I)
    y, carry = windows_of(model, x, 3)
    assert_close(y, model(x), "outputs", 1e-12)
    with pytest.raises(ValueError, match=r"one sequence without a batch; reset it by reset\(\), without rows"):
        carry.reset([0])


def test_gradients_are_those_of_windows_with_the_state_handed_on():
    model, x = made(nn.LSTM, num_layers=2), normal(8, B, I)
    expected = [torch.zeros_like(w) for w in model.parameters()]
    state = None
    for window in x.split(3):
        y, state = model.rnn(torch.tanh(model.inward(window)), state)
        found = torch.autograd.grad(model.readout(y).square().sum(), list(model.parameters()))
        expected = [a + b for a, b in zip(expected, found, strict=True)]
        state = tuple(s.detach() for s in state)
    with bptt.stateful(model):
        for window in x.split(3):
            model(window).square().sum().backward()
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        assert_close(weight.grad, gradient, "gradient", 1e-12)


def test_modules_in_series_and_cells_in_a_loop_carry_their_own():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.lower, self.cell, self.upper = nn.GRU(I, H), nn.LSTMCell(H, H), nn.RNNCell(H, H)

        def forward(self, x):
            y, state, h = [], None, None
            for row in self.lower(x)[0]:
                state = self.cell(row, state)
                h = self.upper(input=state[0], hx=h)
                y.append(h)
            return torch.stack(y)

    model, x = Both().double(), normal(7, B, I)
    y, carry = windows_of(model, x, 3)
    assert_close(y, model(x), "outputs", 1e-12)
    assert list(carry.modules) == ["lower", "cell", "upper"]


def test_packed_sequences_carry_each_ones_last_state():
    model = nn.Sequential(nn.GRU(I, H)).double()
    x, lengths = normal(6, B, I), torch.tensor([2, 6, 3])
    with bptt.stateful(model):
        model(pack_padded_sequence(x, lengths, enforce_sorted=False))
        y, _ = model(x)
    _, state = model(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert_close(y, model[0](x, state)[0], "outputs", 1e-12)


def test_a_state_that_the_model_gives_is_used_and_goes_on():
    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(I, H)

        def forward(self, x, state=None):
            return self.rnn(x, state)

    model, x, state = Given().double(), normal(5, B, I), normal(1, B, H)
    with bptt.stateful(model):
        model(x)
        y, after = model(x, state)
        assert torch.equal(y, model.rnn(x, state)[0])
        carried, _ = model(x)
    assert torch.equal(carried, model(x, after)[0])


def test_the_carry_resets_saves_and_loads():
    model, x = made(nn.LSTM), normal(4, B, I)
    with bptt.stateful(model) as carry:
        carry.reset([1])  # nothing is carried yet
        first = model(x)
        saved = carry.state_dict()
        second = model(x)
        carry.load_state_dict(saved)
        assert torch.equal(model(x), second)
        for rows in (torch.tensor([False, True, True]), [1, 2], torch.tensor([1, -1]), torch.tensor([1, 2]).int()):
            carry.load_state_dict(saved)
            carry.reset(rows)
            y = model(x)
            assert torch.equal(y[:, 0], second[:, 0]), f"rows {rows}"
            assert_close(y[:, 1:], first[:, 1:], f"rows {rows}", 1e-12)
        carry.load_state_dict(saved)
        carry.reset([])
        assert torch.equal(model(x), second)
        carry.reset()
        assert torch.equal(model(x), first)
    assert torch.equal(model(x), first)


def test_a_custom_cells_rows_go_back_to_its_own_initial_state():
    model, x = made(Decay), normal(4, B, I)
    with bptt.stateful(model) as carry:
        first, second = model(x), None
        carry.reset([0])
        second = model(x)
    assert_close(second[:, 0], first[:, 0], "a row that was reset", 1e-12)
    assert not torch.allclose(second[:, 1], first[:, 1])


def test_the_model_is_left_as_it_was_and_a_failed_call_does_not_count():
    model, x = made(nn.GRU), normal(4, B, I)
    whole = model(torch.cat([x, x]))
    with bptt.stateful(model):
        model(x)
        with break_of(model.readout), pytest.raises(RuntimeError, match="broken"):
            model(x)
        assert_close(model(x), whole[4:], "outputs after a call that failed", 1e-12)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    assert not model.rnn._forward_hooks
    assert not model.rnn._forward_pre_hooks


@contextlib.contextmanager
def break_of(module):
    """A module that fails for a while."""

    def fail(*_):
        raise RuntimeError("broken")

    handle = module.register_forward_pre_hook(fail)
    yield
    handle.remove()


def test_without_gradients_autocast_functional_calls_and_dropout():
    model, x = made(nn.GRU, num_layers=2, dropout=0.5).float(), normal(6, B, I).float()
    weights = dict(model.named_parameters())
    with bptt.stateful(model) as carry:
        with torch.inference_mode():
            model(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(x)
        assert carry.before["rnn"].dtype in (torch.bfloat16, torch.float32)
        functional_call(model, weights, (x,)).sum().backward()
    assert model.rnn.weight_hh_l0.grad is not None


def test_record_sees_the_calls():
    model, x = made(nn.GRU), normal(6, B, I)
    model(x[:3])
    with bptt.stateful(model), bptt.record(model) as walks:
        model(x[:3])
        walks.clear()
        loss = model(x[3:]).square().sum()
        c = bptt.contributions(walks, loss)
    wanted = torch.autograd.grad(loss, model.rnn.weight_hh_l0)[0]
    assert_close(c["rnn"].by_step["weight_hh_l0"].sum(0), wanted, "the gradient", 1e-10)


@any_grad_is_read
def test_compiled_models_run_without_it_meanwhile():
    model, x = made(nn.GRU), normal(6, B, I)
    compiled = torch.compile(model, backend="eager")
    whole = model(x)
    compiled(x[:3])
    assert_close(windows_of(compiled, x, 3)[0], whole, "outputs", 1e-12)


def test_parts_called_by_hand_need_the_windows_said():
    parts, x = nn.ModuleDict({"rnn": nn.GRU(I, H)}).double(), normal(6, B, I)
    with bptt.stateful(parts) as carry:
        y = []
        for window in x.split(3):
            y.append(parts["rnn"](window)[0])
            carry.next_window()
    assert_close(torch.cat(y), parts["rnn"](x)[0], "outputs", 1e-12)
    with bptt.stateful(parts):
        parts["rnn"](x)
        with pytest.raises(ValueError, match=r"rnn was called twice in one window.*next_window"):
            parts["rnn"](x)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (nn.GRU, TypeError, "takes a torch.nn.Module, got the class GRU"),
        (lambda x: x, TypeError, "takes a torch.nn.Module, got <lambda>"),
        (nn.Linear(2, 2), ValueError, "Linear has no recurrent module whose state could be carried"),
        (
            nn.Sequential(nn.GRU(2, 2, bidirectional=True)),
            ValueError,
            "0 is bidirectional: its other direction starts from the end",
        ),
    ],
)
def test_what_cannot_carry_is_refused(model, error, words):
    with pytest.raises(error, match=words), bptt.stateful(model):
        pass


def test_a_subclass_that_takes_no_state_is_refused():
    class Mine(nn.GRU):
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(TypeError, match=r"0.forward takes \(x\)"), bptt.stateful(nn.Sequential(Mine(2, 2))):
        pass


def test_bad_calls_are_refused():
    model, x = made(nn.GRU), normal(6, B, I)
    with bptt.stateful(model) as carry:
        model(x)
        with pytest.raises(ValueError, match=r"rnn carries the states of 3 sequences, but its input has 2 seq"):
            model(x[:, :2])
        with pytest.raises(ValueError, match=r"but its input has one sequence without a batch"):
            model(x[:, 0])
        with pytest.raises(ValueError, match="rnn carries its state already"), bptt.stateful(model):
            pass
        with pytest.raises(ValueError, match=r"under torch.utils.checkpoint.*use bptt.checkpointed"):
            checkpoint(model, x, use_reentrant=False)
        with pytest.raises(RuntimeError, match="under vmap, grad, jvp"):
            vmap(model)(x[None])
        for rows, error, words in (
            ([3], ValueError, "there is no row 3: the states are of 3 sequences"),
            ([True], ValueError, r"rows have shape \(1,\), but the states are of 3"),
            ([0.5], TypeError, "booleans"),
            ("all", TypeError, "rows must be booleans .*got 'all'"),
            ({0}, TypeError, "rows must be booleans"),
        ):
            with pytest.raises(error, match=words):
                carry.reset(rows)
        with pytest.raises(ValueError, match=r"states of 'other', but the recurrent modules here are 'rnn'"):
            carry.load_state_dict({"other": None})
        with pytest.raises(TypeError, match="a dict, by module, got list"):
            carry.load_state_dict([])
        assert model(x).shape == (6, B, 2)


def test_what_is_carried_prints_as_the_modules_names():
    with bptt.stateful(made(nn.GRU)) as carry:
        assert repr(carry) == "Carry(states of rnn)"
    with bptt.stateful(nn.GRU(I, H)) as carry:
        assert repr(carry) == "Carry(states of the model)"


def test_a_copy_or_a_file_of_the_model_carries_nothing(tmp_path):
    model, x = nn.Sequential(nn.Linear(I, I), nn.GRU(I, H)), normal(3, B, I, dtype=torch.float32)
    with torch.no_grad(), bptt.stateful(model) as carry:
        plain = model(x)[0]
        torch.save(model, tmp_path / "model.pt")
        twins = [copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)]
        for twin in twins:
            assert torch.equal(twin(x)[0], plain)
            assert torch.equal(twin(x)[0], plain)
        assert list(carry.state_dict()) == ["1"]
        after = model(x)[0]
    assert not torch.equal(after, plain)
    wanted = model(torch.cat([x, x]))[0][3:]
    assert_close(after, wanted.detach(), "the model itself carries", 1e-6)


@pytest.mark.parametrize(
    ("module", "good", "bad"),
    [
        (nn.GRU(2, 3, 2), (2, 5, 3), (1, 5, 3)),
        (nn.GRUCell(2, 3), (5, 3), (5, 4)),
        (bptt.RNN(2, 3), (1, 3), (3,)),
        (bptt.Elman(2, 3, 1), (5, 3), (5, 2)),
    ],
    ids=["GRU", "cell", "one sequence", "Elman"],
)
def test_saved_states_of_other_shapes_are_refused_when_they_are_loaded(module, good, bad):
    with bptt.stateful(module) as carry:
        carry.load_state_dict({"": torch.zeros(good)})
        with pytest.raises(ValueError, match=rf"state of the model has the shapes.*{re.escape(str(good))}|needs"):
            carry.load_state_dict({"": torch.zeros(bad)})
        assert carry.state_dict()[""].shape == good


def test_every_part_of_a_saved_state_is_checked():
    with bptt.stateful(Decay(2, 3)) as carry:
        counts = torch.zeros(5, dtype=torch.int64)
        carry.load_state_dict({"": {"h": torch.zeros(5, 3), "n": counts}})
        with pytest.raises(ValueError, match=r"the shapes \[\(5, 4\), \(5,\)\], but it needs \[\(5, 3\)"):
            carry.load_state_dict({"": {"h": torch.zeros(5, 4), "n": counts}})
    with bptt.stateful(nn.LSTM(2, 4, proj_size=3)) as carry:
        carry.load_state_dict({"": (torch.zeros(1, 5, 3), torch.zeros(1, 5, 4))})
        with pytest.raises(ValueError, match="has the shapes"):
            carry.load_state_dict({"": torch.zeros(1, 5, 3)})
