import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt.equations import ElmanEquations, GRUEquations, LSTMEquations
from bptt.walks.call import Call
from bptt.walks.unfold import input_gradient, previous_states, unfold_adjoint, unfold_layer, weight_factors
from support import CELLS, assert_close, layer, normal


def factors_of(call, forward, adjoint):
    unprojected = None if call.weights.W_hr is None else forward.kept.o * forward.kept.tanh_c
    h_prev = previous_states(forward.states, call.batch_sizes)
    return [f for f in weight_factors(call.weights, adjoint, call.x, h_prev, unprojected) if f is not None]


def walked_both_ways(cell, x, state, weights, dy, d_state, batch_sizes=None):
    """Gradients by the adjoint and by autograd through the forward walk, in one order."""
    call = Call(cell, x, state, weights, batch_sizes)
    forward = unfold_layer(call)
    inputs = [x, *state, *(w for w in weights if w is not None)]
    loss = (forward.y * dy).sum() + sum((s * d).sum() for s, d in zip(forward.state, d_state, strict=True))
    wanted = torch.autograd.grad(loss, inputs)
    with torch.no_grad():
        adjoint = unfold_adjoint(call, forward.kept, dy, d_state)
        found = [input_gradient(adjoint, weights), *adjoint.d_state]
        found += [factor.summed() for factor in factors_of(call, forward, adjoint)]
    return found, wanted


@pytest.mark.parametrize(("name", "R"), [(name, None) for name in CELLS] + [("lstm", 2)])
@pytest.mark.parametrize("batch_sizes", [None, [3, 3, 2, 1, 1]])
def test_adjoint_is_autograds(name, R, batch_sizes):
    cell, T, B, I, H = CELLS[name], 5, 3, 2, 4
    state, weights = layer(cell, B, I, H, R)
    rows = (T, B) if batch_sizes is None else (sum(batch_sizes),)
    x, dy = normal(*rows, I, grad=True), normal(*rows, R or H, seed=1)
    d_state = tuple(normal(*s.shape, seed=2) for s in state)
    found, wanted = walked_both_ways(cell, x, state, weights, dy, d_state, batch_sizes)
    for i, (f, w) in enumerate(zip(found, wanted, strict=True)):
        assert_close(f, w, f"{name}, gradient {i}", 1e-12)


@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from([ElmanEquations(), GRUEquations(), LSTMEquations()]),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    I=st.integers(1, 3),
    H=st.integers(1, 4),
)
def test_packed_rows_are_each_sequence_on_its_own(cell, lengths, I, H):
    lengths = sorted(lengths, reverse=True)
    batch_sizes = [sum(n > t for n in lengths) for t in range(lengths[0])]
    state, weights = layer(cell, len(lengths), I, H, grad=False)
    x = normal(sum(lengths), I)
    packed = unfold_layer(Call(cell, x, state, weights, batch_sizes))
    starts = [sum(batch_sizes[:t]) for t in range(len(batch_sizes))]
    for row, length in enumerate(lengths):
        alone = torch.stack([x[starts[t] + row] for t in range(length)]).unsqueeze(1)
        single = unfold_layer(Call(cell, alone, tuple(s[row : row + 1] for s in state), weights))
        for together, on_its_own in zip(packed.state, single.state, strict=True):
            assert_close(together[row], on_its_own[0], f"final state of row {row}", 1e-12)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(list(CELLS)), seed=st.integers(0, 99), scale=st.floats(-3, 3))
def test_backward_is_linear_in_the_output_gradient(name, seed, scale):
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4, grad=False)
    call = Call(cell, normal(6, 2, 3), state, weights)
    forward = unfold_layer(call)
    one, two = normal(6, 2, 4, seed=seed), normal(6, 2, 4, seed=seed + 1000)

    def delta(dy):
        return unfold_adjoint(call, forward.kept, dy).delta_ih

    assert_close(delta(one + scale * two), delta(one) + scale * delta(two), name, 1e-12)


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_a_permuted_batch_permutes_the_states(name):
    cell, order = CELLS[name], torch.tensor([2, 0, 1])
    state, weights = layer(cell, 3, 2, 4, grad=False)
    x = normal(5, 3, 2)
    straight = unfold_layer(Call(cell, x, state, weights)).states
    permuted = unfold_layer(Call(cell, x[:, order], tuple(s[order] for s in state), weights)).states
    assert_close(permuted, straight[:, order], name, 1e-14)


@pytest.mark.parametrize("name", list(CELLS))
def test_contributions_by_step_sum_to_the_gradient(name):
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4, grad=False)
    x = normal(6, 2, 3)
    call = Call(cell, x, state, weights)
    forward = unfold_layer(call)
    adjoint = unfold_adjoint(call, forward.kept, normal(6, 2, 4, seed=3))
    for factor in factors_of(call, forward, adjoint):
        assert_close(factor.by_step().sum(0), factor.summed(), name, 1e-13)


def test_without_keeping_nothing_is_kept():
    state, weights = layer(LSTMEquations(), 2, 3, 4, grad=False)
    assert unfold_layer(Call(LSTMEquations(), normal(6, 2, 3), state, weights), keep=False).kept is None
