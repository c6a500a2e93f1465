import pytest
import torch
from torch.autograd import forward_ad

import bptt
from bptt.equations import ElmanEquations, GRUEquations, LSTMEquations, Weights
from bptt.walks import door, kernels
from bptt.walks.call import Call
from bptt.walks.plain import PLAIN
from bptt.walks.reference import REFERENCE
from support import CELLS, SINE, assert_close, layer, normal

CASES = [(name, None) for name in ("tanh", "softplus", "leaky gelu", "own", "gru", "lstm")] + [("lstm", 2)]


def as_function(cell, n_state, batch_sizes=None):
    """The door with flat arguments, as gradcheck calls it."""

    def call(x, *rest):
        y, state = door.walk(Call(cell, x, rest[:n_state], Weights(*rest[n_state:]), batch_sizes))
        return y, *state

    return call


@pytest.mark.parametrize(("name", "R"), CASES)
@pytest.mark.parametrize("batch_sizes", [None, [2, 2, 1]])
def test_first_and_second_derivatives_by_finite_differences(name, R, batch_sizes):
    cell, T, B, I, H = CELLS[name], 3, 2, 2, 3
    state, weights = layer(cell, B, I, H, R)
    x = normal(*((T, B) if batch_sizes is None else (sum(batch_sizes),)), I, grad=True)
    call = as_function(cell, len(state), batch_sizes)
    assert torch.autograd.gradcheck(call, (x, *state, *weights))
    assert torch.autograd.gradgradcheck(call, (x, *state, *weights))


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_the_walk_is_the_reference(name):
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4)
    x = normal(5, 2, 3, grad=True)
    y, final = door.walk(Call(cell, x, state, weights))
    outputs, state = PLAIN.walk(Call(cell, x, state, weights))
    assert_close(y, outputs, "outputs", 1e-13)
    for found, wanted in zip(final, state, strict=True):
        assert_close(found, wanted, "final state", 1e-13)


def test_what_is_frozen_gets_no_gradient_and_the_rest_all_of_it():
    cell = LSTMEquations()
    state, weights = layer(cell, 2, 3, 4, grad=False)
    x = normal(5, 2, 3)
    weights.W_hh.requires_grad_()
    y, _ = door.walk(Call(cell, x, state, weights))
    y.square().sum().backward()
    assert weights.W_ih.grad is None
    again = weights._replace(W_hh=weights.W_hh.detach().requires_grad_())
    PLAIN.walk(Call(cell, x, state, again))[0].square().sum().backward()
    assert_close(weights.W_hh.grad, again.W_hh.grad, "W_hh", 1e-12)


@pytest.mark.parametrize("name", [*(n for n in CELLS if "softplus" in n or "tanh" in n), "own", "gru", "lstm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_delta_itself_is_the_references(name, dtype):
    """The walk recorded and taken back without a sum; then its first steps alone."""
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4, grad=False)
    state, weights = tuple(s.to(dtype) for s in state), weights.each(lambda w: w.to(dtype))
    x, dy = normal(5, 2, 3, dtype=dtype), normal(5, 2, 4, dtype=dtype)
    d_state = tuple(normal(2, 4, seed=5, dtype=dtype) for _ in state)
    bound = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 0}[dtype]
    recordings = [way(Call(cell, x, state, weights)).recording for way in (door.record_walk, REFERENCE.record)]
    for steps in (5, 3):
        found, reference = (recording.up_to(steps).adjoint(dy[:steps], d_state) for recording in recordings)
        assert_close(found.delta_ih, reference.delta_ih, "delta_ih", bound)
        assert_close(found.delta_hh, reference.delta_hh, "delta_hh", bound)
        assert_close(found.dh, reference.dh, "dh", bound)
        for f, w in zip(found.d_state, reference.d_state, strict=True):
            assert_close(f, w, "initial state", bound)


def test_weights_changed_in_place_before_backward_are_noticed():
    state, weights = layer(ElmanEquations(), 2, 3, 4)
    y, _ = door.walk(Call(ElmanEquations(), normal(5, 2, 3), state, weights))
    with torch.no_grad():
        weights.W_hh.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_one_weight_used_in_two_layers_is_differentiated_twice_rightly():
    """The second walk's input depends on the weight as well: its history must count once."""
    state, _ = layer(ElmanEquations(), 2, 4, 4, grad=False)
    x = normal(3, 2, 4)

    def twice(W):
        y = x
        for _ in range(2):
            y, _ = door.walk(Call(ElmanEquations(), y, state, Weights(W, W)))
        return y

    assert torch.autograd.gradgradcheck(twice, normal(4, 4, grad=True))


def test_a_last_step_only_loss_needs_no_output_gradient():
    state, weights = layer(LSTMEquations(), 2, 3, 4)
    x = normal(5, 2, 3, grad=True)
    _, (h, _) = door.walk(Call(LSTMEquations(), x, state, weights))
    (found,) = torch.autograd.grad(h.sum(), x)
    (wanted,) = torch.autograd.grad(PLAIN.walk(Call(LSTMEquations(), x, state, weights))[1][0].sum(), x)
    assert_close(found, wanted, "dx", 1e-13)


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_forward_mode(name):
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4)
    x, v = normal(5, 2, 3), normal(5, 2, 3, seed=1)
    with forward_ad.dual_level():
        y, _ = door.walk(Call(cell, forward_ad.make_dual(x, v), state, weights))
        found = forward_ad.unpack_dual(y).tangent
    step = 1e-6
    (up, _), (down, _) = (door.walk(Call(cell, x + s * v, state, weights)) for s in (step, -step))
    assert_close(found, (up - down) / (2 * step), name, 1e-8)


def test_autocast_walks_in_its_dtype_and_gives_gradients_in_the_weights():
    state, weights = layer(LSTMEquations(), 2, 3, 4)
    weights = weights.each(lambda w: w.detach().float().requires_grad_())
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = door.walk(Call(LSTMEquations(), normal(5, 2, 3, dtype=torch.float32), state, weights))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert weights.W_hh.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["gru", "lstm", "own"])
def test_many_gradients_at_once_are_those_one_by_one(name):
    cell, x = CELLS[name], normal(4, 2, 3)
    state, weights = layer(cell, 2, 3, 5)

    def outputs(x):
        return door.walk(Call(cell, x, state, weights))[0]

    for of in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian):
        function = outputs if of is torch.autograd.functional.jacobian else lambda x: outputs(x).square().sum()
        assert_close(of(function, x, vectorize=True), of(function, x), f"{of.__name__} of {name}")


@pytest.mark.parametrize("name", ["gru", "own"])
def test_outputs_changed_in_place_where_hooks_save_tensors(name):
    cell, x = CELLS[name], normal(4, 2, 3)
    state, weights = layer(cell, 2, 3, 5)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y, _ = door.walk(Call(cell, x, state, weights))
    y.mul_(2)
    (found,) = torch.autograd.grad(y.sum(), weights.W_hh)
    (wanted,) = torch.autograd.grad(2 * door.walk(Call(cell, x, state, weights))[0].sum(), weights.W_hh)
    assert_close(found, wanted, name)


@pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")
@pytest.mark.parametrize(
    ("module", "x", "first", "fused"),
    [
        (bptt.GRU(3, 5), torch.zeros(4, 2, 3), "fused: takes GRU in torch.float32 on cpu", "kernels ("),
        (bptt.GRU(3, 5).half(), torch.zeros(4, 2, 3).half(), "fused: takes GRU", "computed in float32"),
        (bptt.LSTM(3, 5, proj_size=2), torch.zeros(4, 2, 3), "reference: takes LSTM", "a projected LSTM"),
        (bptt.RNN(3, 5, nonlinearity=SINE), torch.zeros(4, 2, 3), "reference: takes", "the user's own"),
        (bptt.RNN(3, 5), torch.zeros(4, 0, 3), "reference: takes RNN", "the batch is empty"),
        (bptt.RNN(3, 5, device="meta"), torch.zeros(4, 2, 3, device="meta"), "reference: takes", "on meta"),
    ],
)
def test_why_gives_every_backends_answer(module, x, first, fused):
    answers = door.why(module, x).split("\n")
    assert answers[0].startswith(first)
    assert fused in next(answer for answer in answers if answer.startswith("fused: "))
    assert sorted(answer.split(":")[0] for answer in answers) == [
        "CUDA kernels",
        "autograd",
        "cuDNN",
        "fused",
        "reference",
    ]


def test_backends_are_asked_in_order_and_the_first_that_does_not_refuse_walks(monkeypatch):
    asked = []

    class Other(type(PLAIN)):
        def __init__(self, name, refusal):
            self.name, self.refusal = name, refusal

        def refuses(self, call):
            asked.append(self.name)
            return self.refusal

    busy, free = Other("busy", "it is busy"), Other("free", None)
    monkeypatch.setattr(door, "BACKENDS", (busy, free, *door.BACKENDS))
    state, weights = layer(ElmanEquations(), 2, 3, 4)
    call = Call(ElmanEquations(), normal(5, 2, 3), state, weights)
    assert door.backend_of(call) is free
    assert asked == ["busy", "free"]
    assert_close(door.walk(call)[0], REFERENCE.walk(call)[0], "outputs", 1e-13)
    assert door.why(bptt.RNN(3, 4), torch.zeros(5, 2, 3)).startswith("free: takes RNN")
    assert "busy: refuses, as it is busy" in door.why(bptt.RNN(3, 4), torch.zeros(5, 2, 3))


@pytest.mark.parametrize("layout", ["batch first", "unbatched", "packed"])
def test_why_asks_about_the_call_that_the_module_makes(layout, monkeypatch):
    seen = []

    class Other(type(PLAIN)):
        def refuses(self, call):
            seen.append(call)

    monkeypatch.setattr(door, "BACKENDS", (Other(),))
    lstm = bptt.LSTM(3, 5, 2, batch_first=layout == "batch first", bidirectional=True)
    x = normal(2, 7, 3).float()
    x = {"batch first": x, "unbatched": x[0], "packed": bptt.pack_padded_sequence(x, [2, 2, 1, 1, 1, 1, 1])}[
        layout
    ]
    door.why(lstm, x)
    asked = seen[0]
    seen.clear()
    lstm(x)
    walked = seen[0]
    assert asked.batch_sizes == walked.batch_sizes
    assert [t.shape for t in asked.tensors() if t is not None] == [
        t.shape for t in walked.tensors() if t is not None
    ]


def test_why_refuses_what_it_cannot_answer_for():
    for module, given in ((torch.nn.GRU(2, 2), "torch.nn.GRU"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"why takes a bptt.RNN.*got {given};.*from_torch"):
            bptt.why(module, torch.zeros(5, 2, 2))
    with pytest.raises(ValueError, match="x has 9 features"):
        bptt.why(bptt.GRU(3, 4), torch.zeros(5, 2, 9))
    for model in (bptt.Elman(2, 3, 1), bptt.SequenceModel(bptt.LSTM(2, 3), 1)):
        assert "takes" in bptt.why(model, torch.zeros(5, 2, 2))


def test_a_walk_is_recorded_inside_a_transform():
    state, weights = layer(GRUEquations(), 2, 3, 4, grad=False)
    x = normal(5, 2, 3)

    def loss(W_hh):
        return door.record_walk(Call(GRUEquations(), x, state, weights._replace(W_hh=W_hh))).y.square().sum()

    W_hh = weights.W_hh.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(W_hh), W_hh)
    assert_close(torch.func.grad(loss)(weights.W_hh), wanted, "W_hh", 1e-13)


@pytest.mark.parametrize("name", ["leaky gelu", "own", "gru", "lstm"])
def test_stretches_of_a_recorded_walk_are_taken_back_as_walks_of_their_own(name):
    """Recorded under autograd, and without a copy of its graph's tensors."""
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4)
    x = normal(6, 2, 3)
    y, _, recording = door.record_walk(Call(cell, x, state, weights))
    assert y.requires_grad
    assert not any(t is not None and t.requires_grad for t in (*recording.call.tensors(), recording.states))
    stretches, dy = recording.stretches([0, 2], [1, 0], 3), normal(3, 2, 4)
    found = stretches.adjoint(dy)
    for column, (start, row) in enumerate([(0, 1), (2, 0)]):
        before = tuple(part[start, row : row + 1] for part in recording.before)
        alone = Call(cell, x[start : start + 3, row : row + 1], before, recording.weights)
        wanted = REFERENCE.record(alone).recording.adjoint(dy[:, column : column + 1])
        assert_close(found.delta_hh[:, column], wanted.delta_hh[:, 0], "delta_hh", 1e-12)
        assert_close(found.dh[:, column], wanted.dh[:, 0], "dh", 1e-12)
        assert_close(stretches.states[:, column], recording.states[start : start + 4, row], "states", 1e-12)


def test_missing_kernels_are_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(kernels, "_native", None)
    answers = door.why(bptt.GRU(3, 5), torch.zeros(4, 2, 3)).split("\n")
    assert answers[0].startswith("reference: takes GRU")
    fused = next(
        answer for answer in answers if answer.startswith("fused: refuses, as the native kernels are not")
    )
    assert kernels.missing() in fused
    with pytest.raises(RuntimeError, match="are not installed"):
        bptt.isa()
    monkeypatch.setattr("sys.platform", "win32")
    assert "Windows" in door.why(bptt.GRU(3, 5), torch.zeros(4, 2, 3))
