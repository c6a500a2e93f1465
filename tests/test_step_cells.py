import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

import bptt
from bptt.walks import kernels
from support import assert_close, normal

CELLS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("GRUCell", {}), ("LSTMCell", {})]
SIZES = [(1, 2, 1), (2, 3, 5), (3, 8, 8), (5, 17, 33), (9, 70, 40), (40, 30, 20), (13, 300, 257), (390, 3, 4)]
DTYPES = [torch.float64, torch.float32]


def twins(kind, I, H, **options):
    theirs = getattr(nn, kind)(I, H, **options)
    ours = getattr(bptt, kind)(I, H, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def state_of(kind, B, H, dtype=torch.float64, grad=True):
    state = tuple(normal(B, H, seed=seed, dtype=dtype, grad=grad) for seed in (1, 2))
    return state if kind == "LSTMCell" else state[0]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def gradients(cell, x, hx, steps=2):
    """The states of some steps, and the gradients of a loss of all of them."""
    states, initial = [], [] if hx is None else as_tuple(hx)
    for _ in range(steps):
        hx = cell(x, hx)
        states += as_tuple(hx)
    loss = sum((s * normal(*s.shape, seed=i, dtype=s.dtype)).sum() for i, s in enumerate(states))
    return states, torch.autograd.grad(loss, [x, *initial, *cell.parameters()])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("kind", "options"), CELLS)
def test_states_and_gradients_are_torchs(kind, options, size, dtype):
    B, I, H = size
    for bias in (True, False):
        theirs, ours = twins(kind, I, H, bias=bias, dtype=dtype, **options)
        for hx in (None, state_of(kind, B, H, dtype)):
            x = normal(B, I, dtype=dtype, grad=True)
            for found, wanted in zip(gradients(ours, x, hx), gradients(theirs, x, hx), strict=True):
                for a, b in zip(found, wanted, strict=True):
                    assert_close(a, b, f"{kind} {tuple(b.shape)}")
            with torch.no_grad():
                for a, b in zip(as_tuple(ours(x, hx)), as_tuple(theirs(x, hx)), strict=True):
                    assert_close(a, b, "without gradients")


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_row_does_not_depend_on_the_other_rows_and_threads(kind):
    _, ours = twins(kind, 96, 160)
    x, hx = normal(12, 96, dtype=torch.float32), state_of(kind, 12, 160, torch.float32, grad=False)
    with torch.no_grad():
        whole = as_tuple(ours(x, hx))
        for first, last in ((0, 1), (3, 5), (2, 11)):
            rows = tuple(s[first:last] for s in as_tuple(hx))
            part = as_tuple(ours(x[first:last], rows if kind == "LSTMCell" else rows[0]))
            for a, b in zip(part, whole, strict=True):
                assert torch.equal(a, b[first:last])


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_second_derivatives_jacobians_and_functional_calls_are_torchs(kind):
    theirs, ours = (cell.double() for cell in twins(kind, 3, 4))
    x, hx = normal(2, 3, grad=True), state_of(kind, 2, 4)
    seconds = []
    for cell in (theirs, ours):
        (d_x,) = torch.autograd.grad(as_tuple(cell(x, hx))[0].square().sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(d_x.square().sum(), [x, *cell.parameters()]))
    for a, b in zip(*seconds, strict=True):
        assert_close(a, b, "second derivative")
    weights = {name: p.detach() * 2 for name, p in ours.named_parameters()}
    for transformed in (
        lambda cell: as_tuple(functional_call(cell, weights, (x, hx)))[0],
        lambda cell: jacrev(lambda row: as_tuple(cell(row, hx))[0])(x.detach()),
        lambda cell: torch.autograd.functional.jacobian(lambda t: as_tuple(cell(t, hx))[0], x, vectorize=True),
    ):
        assert_close(transformed(ours), transformed(theirs), "transformed")


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_states_may_be_changed_in_place_after_a_step(kind):
    _, ours = twins(kind, 3, 4)
    x, hx = normal(2, 3, dtype=torch.float32, grad=True), state_of(kind, 2, 4, torch.float32)
    sources = [x, *ours.parameters()]
    wanted = torch.autograd.grad(sum(s.sum() for s in as_tuple(ours(x, hx))), sources)
    after = as_tuple(ours(x, hx))
    loss = sum(s.sum() for s in after)
    with torch.no_grad():
        for s in after:
            s.zero_()  # as a loop does for rows whose episode has ended
    for a, b in zip(torch.autograd.grad(loss, sources), wanted, strict=True):
        assert_close(a, b, "gradient")


def test_checkpointed_compiled_pickled_and_parametrized_cells_are_torchs():
    theirs, ours = twins("LSTMCell", 3, 4)
    x, hx = normal(2, 3, dtype=torch.float32, grad=True), state_of("LSTMCell", 2, 4, torch.float32)
    wanted = theirs(x, hx)[0]
    again = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    assert type(again) is bptt.LSTMCell
    traced = torch.compile(ours, backend="eager", fullgraph=True)
    for cell in (again, traced, lambda *args: checkpoint(ours, *args, use_reentrant=False)):
        assert_close(cell(x, hx)[0], wanted, "h")
    parametrizations.weight_norm(ours, "weight_hh")
    assert_close(ours(x, hx)[0], wanted, "h")


def test_what_torch_refuses_is_refused_in_its_words():
    for words, call in (
        ("has inconsistent hidden_size", lambda cell: cell(torch.ones(2, 3), torch.ones(2, 5))),
        ("has inconsistent input_size", lambda cell: cell(torch.ones(2, 4))),
        ("Expected input to be 1D or 2D", lambda cell: cell(torch.ones(1, 2, 3))),
        ("batch size 3 doesn't match", lambda cell: cell(torch.ones(3, 3), torch.ones(2, 4))),
        ("batch size 2 doesn't match", lambda cell: cell(torch.ones(2, 3), torch.ones(3, 4))),
        ("same dtype", lambda cell: cell(torch.ones(2, 3, dtype=torch.float64))),
    ):
        theirs, ours = twins("GRUCell", 3, 4)
        with pytest.raises((RuntimeError, ValueError)) as wanted:
            call(theirs)
        with pytest.raises((RuntimeError, ValueError), match=words) as found:
            call(ours)
        assert str(found.value) == str(wanted.value)
    assert ours(torch.ones(3)).shape == (4,)
    assert ours(torch.ones(0, 3)).shape == (0, 4)


@pytest.mark.skipif(not kernels.available(), reason="needs the native kernels")
def test_a_step_is_one_native_call(monkeypatch):
    cell, calls = bptt.GRUCell(3, 4), []
    native = kernels.forward_of_module
    monkeypatch.setattr(kernels, "forward_of_module", lambda *args: calls.append(native(*args)) or calls[-1])
    cell(torch.ones(2, 3))
    assert len(calls) == 1
    assert calls[0] is not None
