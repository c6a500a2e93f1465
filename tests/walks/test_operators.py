"""The native walks as operators: what a compiler, an exporter and a tracer see."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import bptt
from bptt.equations import GRUEquations, LSTMEquations
from bptt.trees import leaves
from bptt.walks import kernels
from support import NATIVE, any_grad_is_read, covering, layer, normal

pytestmark = pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")


@any_grad_is_read
@pytest.mark.parametrize("batch_sizes", [None, [2, 2, 1]], ids=["whole", "packed"])
@pytest.mark.parametrize(
    "name",
    ["tanh", "gru", "lstm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("softplus", "leaky gelu"))],
)
def test_operators_pass_opcheck(name, batch_sizes):
    cell = NATIVE[name]
    state, weights = layer(cell, 2, 3, 4)
    x = normal(*((3, 2) if batch_sizes is None else (5,)), 3, grad=True)
    c0 = state[1] if len(state) == 2 else None
    arguments = (*kernels.Choices.of(cell), True, batch_sizes, x, state[0], c0, *weights[:4])
    torch.library.opcheck(torch.ops.bptt.walk.default, arguments)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_compiled_with_fullgraph_gives_the_same_numbers(kind):
    module = getattr(bptt, kind)(3, 5, num_layers=2, bidirectional=True)
    x = normal(4, 2, 3, dtype=torch.float32)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    parameters = list(module.parameters())
    assert torch.equal(compiled(x)[0], module(x)[0])
    found = torch.autograd.grad(compiled(x)[0].sum(), parameters)
    wanted = torch.autograd.grad(module(x)[0].sum(), parameters)
    for f, w in zip(found, wanted, strict=True):
        assert torch.equal(f, w)


@pytest.mark.parametrize("layers", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize(
    ("kind", "bidirectional", "with_readout"), covering(["RNN", "GRU", "LSTM"], [False, True], [False, True])
)
def test_exported_with_dynamic_time_and_batch(kind, layers, bidirectional, with_readout):
    """The same numbers at other T and B, going on from a state or from none."""
    module = getattr(bptt, kind)(3, 5, layers, bidirectional=bidirectional).eval()
    model = bptt.SequenceModel(module, 2).eval() if with_readout else module
    T, B = torch.export.Dim("T", min=1), torch.export.Dim("B", min=1)

    def arguments(T, B):
        state = [normal(layers * module.num_directions, B, 5, seed=i).float() for i in range(2)]
        return normal(T, B, 3).float(), tuple(state) if kind == "LSTM" else state[0]

    of_state = ({1: B}, {1: B}) if kind == "LSTM" else {1: B}
    ways = {2: ({0: T, 1: B}, of_state), 1: ({0: T, 1: B},)}
    for given, shapes in ways.items():
        exported = torch.export.export(model, arguments(4, 2)[:given], dynamic_shapes=shapes).module()
        for size in ((4, 2), (9, 5), (1, 3), (6, 1)):
            found, wanted = exported(*arguments(*size)[:given]), model(*arguments(*size)[:given])
            for f, w in zip(leaves(list(found)), leaves(list(wanted)), strict=True):
                assert torch.equal(f, w)


def test_the_lessons_network_exported_with_dynamic_time_and_batch():
    net = bptt.Elman(3, 5, 2, softmax=True).eval()
    T, B = torch.export.Dim("T", min=1), torch.export.Dim("B", min=1)
    shapes = ({0: B, 1: T}, {0: B})
    exported = torch.export.export(net, (normal(2, 4, 3).float(), normal(2, 5).float()), dynamic_shapes=shapes)
    for B, T in ((2, 4), (5, 9), (3, 1), (1, 6)):
        x, s_0 = normal(B, T, 3).float(), normal(B, 5).float()
        for found, wanted in zip(exported.module()(x, s_0), net(x, s_0), strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("place", "bad", "words"),
    [
        (5, normal(5, 3, 3), "x is"),
        (8, normal(2, 2), r"W_ih is \(2, 2\).*\(16, 3\)"),
        (9, normal(16, 4).float(), "W_hh is .*float32.*float64"),
        (7, None, "c0"),
    ],
)
def test_the_bare_operator_checks_what_the_native_code_trusts(place, bad, words):
    state, weights = layer(LSTMEquations(), 2, 3, 4, grad=False)
    arguments = ["LSTM", "tanh", 1.0, False, None, normal(5, 2, 3), *state, *weights[:4]]
    arguments[place] = bad
    with pytest.raises(ValueError, match=words):
        torch.ops.bptt.walk(*arguments)


def of_gru(packed, **changed):
    """The arguments of `walk` for a GRU of T=3, B=2, I=3, H=4, and of its `walk_backward`, by name."""
    state, weights = layer(GRUEquations(), 2, 3, 4, grad=False)
    sizes = [2, 2, 1] if packed else None
    x = normal(*((5,) if packed else (3, 2)), 3)
    y, _, kept, _, _ = torch.ops.bptt.walk("GRU", "tanh", 1.0, True, sizes, x, *state, None, *weights[:4])
    names = "x", "h0", "c0", "W_ih", "W_hh", "b_ih", "b_hh"
    operands = dict(zip(names, (x, *state, None, *weights[:4]), strict=True))
    numbers = {"cell": "GRU", "activation": "tanh", "leak": 1.0, "batch_sizes": sizes}
    forward = {**numbers, "keep": True, **operands}
    seeds = {"dy": normal(*y.shape), "dh_n": None, "dc_n": None}
    back = {**numbers, "wanted": [True] * 7, **operands, "y": y, "c": None, "kept": kept, **seeds}
    return [{**arguments, **{k: v for k, v in changed.items() if k in arguments}} for arguments in (forward, back)]


BAD = {
    "batch_sizes": [[10, -3], [], [1, 4], [2, 2, 2], [2, 2, 0, 1], [5], [2**40, 1], [2, 1, 2]],
    "cell": ["", "gru", "MGU", 1],
    "activation": ["", "Tanh", "swish", 0],
    "leak": [0.0, -1.0, 1.5, float("nan")],
    "x": [normal(5), normal(5, 2), normal(5, 0)],
    "h0": [normal(4), normal(3, 4), normal(2, 5), normal(2, 4, dtype=torch.float32)],
    "c0": [normal(2, 4)],
    "W_ih": [normal(2, 2), normal(12, 3, dtype=torch.float32)],
    "W_hh": [normal(12, 5), normal(4), normal(0, 4)],
    "b_ih": [normal(11), normal(12, 1)],
    "b_hh": [normal(1)],
    "y": [normal(5, 5), normal(4, 4)],
    "c": [normal(5, 4)],
    "kept": [None, normal(5, 12)],
    "dy": [normal(5, 5), normal(1, 4)],
    "dh_n": [normal(1, 4), normal(2, 3, 4)],
    "dc_n": [normal(2, 4)],
    "wanted": [[], [True] * 6, [True] * 8],
}


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, values in BAD.items() for bad in values])
def test_both_operators_refuse_what_is_out_of_range(name, bad):
    forward, back = of_gru(True, **{name: bad})
    if name in forward:
        with pytest.raises((ValueError, RuntimeError)):
            torch.ops.bptt.walk(**forward)
    with pytest.raises((ValueError, RuntimeError)):
        torch.ops.bptt.walk_backward(**back)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["x", "h0", "W_ih", "W_hh", "b_ih", "b_hh", "y", "kept", "dy"])
def test_other_strides_and_negated_views_are_read_as_they_are(name, packed):
    _, back = of_gru(packed)
    wanted = torch.ops.bptt.walk_backward(**back)
    t = back[name]
    spread = torch.stack([t, t + 1], -1)[..., 0]
    for other in (spread, t.mT.contiguous().mT if t.dim() > 1 else spread, torch._neg_view(-t)):
        for found, w in zip(torch.ops.bptt.walk_backward(**{**back, name: other}), wanted, strict=True):
            assert torch.equal(found, w)


@pytest.mark.parametrize("name", ["x", "h0", "W_ih", "W_hh", "b_ih", "y", "kept", "dy"])
@pytest.mark.parametrize("bytes_left", [0, 8])
def test_a_tensor_without_its_memory_is_refused(name, bytes_left):
    forward, back = of_gru(False)
    for operator, arguments in ((torch.ops.bptt.walk, forward), (torch.ops.bptt.walk_backward, back)):
        if name in arguments:
            t = arguments[name].clone()
            t.untyped_storage().resize_(bytes_left)
            with pytest.raises(ValueError, match="lost its memory"):
                operator(**{**arguments, name: t})


def test_a_batch_of_none_and_a_length_of_none():
    forward, back = of_gru(False)
    forward |= {"x": normal(7, 0, 3), "h0": normal(0, 4)}
    y, _, _, h_n, _ = torch.ops.bptt.walk(**forward)
    assert (y.shape, h_n.shape) == ((7, 0, 4), (0, 4))
    back |= {"x": forward["x"], "h0": forward["h0"], "y": y, "kept": normal(7, 0, 16), "dy": torch.empty_like(y)}
    assert all(not g.any() for g in torch.ops.bptt.walk_backward(**back))
    with pytest.raises(ValueError, match="length 0"):
        torch.ops.bptt.walk(**forward | {"x": normal(0, 2, 3), "h0": normal(2, 4)})


class Watching(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def test_who_looks_on_sees_an_operator():
    """A mode that watches the dispatcher; autocast takes a way of its own."""
    module, x = bptt.GRU(3, 5), normal(4, 2, 3, dtype=torch.float32)
    with Watching() as watching:
        module(x)
    assert "bptt.walk.default" in watching.seen
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x)[0].dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:.torch.jit.trace", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_module_traced_without_gradients_can_be_trained(kind):
    module, x = getattr(bptt, kind)(3, 5), normal(4, 2, 3, dtype=torch.float32)
    with torch.no_grad():
        traced = torch.jit.trace(module, x)
    torch.jit.trace(module, x)  # whose check traces again, without gradients
    other = normal(4, 2, 3, seed=1, dtype=torch.float32)
    y, again = traced(other)[0], module(other)[0]
    assert torch.equal(y, again)
    weights = list(module.parameters())
    found, once = (torch.autograd.grad(y.sum(), weights) for y in (y, again))
    assert all(torch.equal(a, b) for a, b in zip(found, once, strict=True))


def test_nothing_is_kept_without_gradients():
    state, weights = layer(LSTMEquations(), 2, 3, 4, grad=False)
    *_, kept, _, _ = torch.ops.bptt.walk("LSTM", "tanh", 1.0, False, None, normal(5, 2, 3), *state, *weights[:4])
    assert kept.numel() == 0
