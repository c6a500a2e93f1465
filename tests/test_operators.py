"""The native walks as operators: what a compiler, an exporter and a tracer see."""

import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import bptt
from bptt import fused
from bptt.equations import GRU, LSTM, Elman
from bptt.trees import leaves
from support import NATIVE, layer, normal

pytestmark = pytest.mark.skipif(not fused.available(), reason="installed without the native kernels")


@pytest.mark.parametrize("name", ["tanh", "softplus", "leaky gelu", "gru", "lstm"])
@pytest.mark.parametrize("batch_sizes", [None, [2, 2, 1]])
def test_operators_pass_opcheck(name, batch_sizes):
    cell = NATIVE[name]
    state, weights = layer(cell, 2, 3, 4)
    x = normal(*((3, 2) if batch_sizes is None else (5,)), 3, grad=True)
    c0 = state[1] if len(state) == 2 else None
    activation, leak = 0, 1.0
    if isinstance(cell, Elman):
        activation, leak = fused.NAMES.index(cell.activation.name), cell.leak
    arguments = (fused.CELLS.index(type(cell)), activation, leak, True, batch_sizes, x, state[0], c0, *weights[:4])
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


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("with_readout", [False, True])
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
    state, weights = layer(LSTM(), 2, 3, 4, grad=False)
    arguments = [2, 0, 1.0, False, None, normal(5, 2, 3), *state, *weights[:4]]
    arguments[place] = bad
    with pytest.raises(ValueError, match=words):
        torch.ops.bptt.walk(*arguments)


class Watching(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def test_who_looks_on_sees_an_operator():
    """A tracer, and a mode that watches the dispatcher; autocast takes a way of its own."""
    module, x = bptt.GRU(3, 5), normal(4, 2, 3, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, x, check_trace=False)
    other = normal(4, 2, 3, seed=1, dtype=torch.float32)
    assert torch.equal(traced(other)[0], module(other)[0])
    with Watching() as watching:
        module(x)
    assert "bptt.walk.default" in watching.seen
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x)[0].dtype == torch.bfloat16


def test_nothing_is_kept_without_gradients():
    state, weights = layer(LSTM(), 2, 3, 4, grad=False)
    *_, kept, _, _ = torch.ops.bptt.walk(2, 0, 1.0, False, None, normal(5, 2, 3), *state, *weights[:4])
    assert kept.numel() == 0
    assert isinstance(GRU(), fused.CELLS[1])
