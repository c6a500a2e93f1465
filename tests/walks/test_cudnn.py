"""cuDNN's backend beside the reference, through a stand-in on CPUs."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence

import bptt
from bptt.walks import cudnn as cudnn_backend
from bptt.walks import cudnn_calls
from bptt.walks.reference import REFERENCE
from standin_cudnn import cudnn_on_cpus
from support import any_grad_is_read, assert_close, normal

KINDS = {
    "tanh": (bptt.RNN, {}),
    "relu": (bptt.RNN, {"nonlinearity": "relu"}),
    "GRU": (bptt.GRU, {}),
    "LSTM": (bptt.LSTM, {}),
    "projected": (bptt.LSTM, {"proj_size": 2}),
}
CASES = list(itertools.product(KINDS, (1, 2), (False, True), (True, False), (False, True)))


@pytest.fixture
def cudnn():
    with cudnn_on_cpus() as stand_in:
        yield stand_in


def made(kind, layers=1, bidirectional=False, bias=True, dtype=torch.float64, **options):
    module, own = KINDS[kind]
    torch.manual_seed(0)
    return module(3, 4, layers, bidirectional=bidirectional, bias=bias, dtype=dtype, **own, **options)


def inputs(packed, dtype=torch.float64):
    if not packed:
        return normal(5, 3, 3, dtype=dtype, grad=True)
    return PackedSequence(normal(9, 3, dtype=dtype, grad=True), torch.tensor([3, 3, 2, 1]))


def tensors_of(results):
    y, state = results
    return [
        getattr(y, "data", y) if isinstance(y, PackedSequence) else y,
        *(state if isinstance(state, tuple) else [state]),
    ]


def loss_of(results):
    return sum((t * normal(*t.shape, seed=9).to(t)).sum() + t.square().sum() for t in tensors_of(results))


def run_by(module, x, walk):
    y, state = module.run(x, None, walk)
    return y, state if len(state) > 1 else state[0]


@pytest.mark.parametrize(("kind", "layers", "bidirectional", "bias", "packed"), CASES)
def test_values_gradients_and_second_derivatives_are_the_references(
    cudnn, kind, layers, bidirectional, bias, packed
):
    module, x = made(kind, layers, bidirectional, bias), inputs(packed)
    sources = [x.data if packed else x, *module.parameters()]
    found, wanted = module(x), run_by(module, x, REFERENCE.walk)
    assert cudnn.log == [("flatten",), ("forward", True)]  # one call for the whole stack
    for f, w in zip(tensors_of(found), tensors_of(wanted), strict=True):
        assert_close(f, w, "value")
    first = [torch.autograd.grad(loss_of(r), sources, create_graph=True) for r in (module(x), wanted)]
    plain = torch.autograd.grad(loss_of(found), sources)
    assert [name for name, *_ in cudnn.log] == ["flatten", "forward", "forward", "backward"]
    for f, c, w in zip(plain, first[0], first[1], strict=True):
        assert_close(f, w, "gradient")
        assert_close(c, w, "differentiable gradient")
    second = [torch.autograd.grad(sum(g.square().sum() for g in of), sources) for of in first]
    for f, w in zip(*second, strict=True):
        assert_close(f, w, "second derivative", 1e-8)


@pytest.mark.parametrize("order", ["matrices first", "layer by layer", "padded"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_buffer_is_learnt(kind, bias, order):
    module, x = made(kind, 2, True, bias), inputs(False)
    with cudnn_on_cpus(order) as stand_in:
        for f, w in zip(tensors_of(module(x)), tensors_of(run_by(module, x, REFERENCE.walk)), strict=True):
            assert_close(f, w, "value")
        module(x)
        assert stand_in.log.count(("flatten",)) == 1  # once a shape


@pytest.mark.parametrize("order", ["matrices first", "layer by layer"])
def test_weights_that_lie_as_cudnn_reads_them_are_not_copied(order, monkeypatch):
    module, x = made("GRU"), inputs(False)
    with cudnn_on_cpus(order) as stand_in:
        wanted = module(x)[0]
        weights = [p.detach() for p in module.parameters()]
        with torch.no_grad():
            buffer = stand_in.flatten(weights, 4, 3, 3, 4, 0, 1, False, False)
        for parameter, view in zip(module.parameters(), weights, strict=True):
            parameter.data = view
        monkeypatch.setattr(torch, "cat", lambda *_: pytest.fail("copied"))
        assert torch.equal(module(x)[0], wanted)
        assert stand_in.buffers[-1] == buffer.data_ptr()


def test_a_bias_with_gaps_between_its_numbers_is_copied(cudnn):
    module, x = made("GRU"), inputs(False)
    weights = [p.detach() for p in module.parameters()]
    with torch.no_grad():
        buffer = cudnn.flatten(weights, 4, 3, 3, 4, 0, 1, False, False)
        memory = torch.cat([buffer, buffer.new_zeros(len(buffer))])
        for parameter, view in zip(module.parameters(), weights, strict=True):
            parameter.data = memory.as_strided(view.shape, view.stride(), view.storage_offset())
        last = module.bias_hh_l0
        last.data = memory.as_strided(last.shape, (2,), last.storage_offset())
        last.copy_(weights[-1])
    assert_close(module(x)[0], run_by(module, x, REFERENCE.walk)[0], "y")


@pytest.mark.parametrize("which", ["x", "weight_ih_l0", "bias_hh_l1_reverse"])
def test_a_tensor_whose_storage_was_emptied_is_refused_before_the_walk(cudnn, which):
    module, x = made("LSTM", 2, True), inputs(False)
    (x if which == "x" else getattr(module, which)).untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="lost its memory"):
        module(x)


def test_an_order_that_no_concatenation_makes_is_left_to_cudnn(cudnn, monkeypatch):
    monkeypatch.setattr(cudnn_calls, "order_of", lambda *_: None)
    module, x = made("LSTM", 2), inputs(False)
    found, wanted = module(x), run_by(module, x, REFERENCE.walk)
    assert_close(found[0], wanted[0], "y")
    loss_of(found).backward()
    assert all(p.grad.shape == p.shape for p in module.parameters())


@pytest.mark.parametrize("mode", ["train", "eval", "no_grad", "frozen", "inference"])
def test_the_reserve_is_kept_where_a_gradient_is_wanted(cudnn, mode):
    module, x = made("LSTM"), inputs(False).detach()
    module.train(mode == "train").requires_grad_(mode != "frozen")
    with torch.inference_mode(mode == "inference"), torch.set_grad_enabled(mode not in ("no_grad", "inference")):
        y, _ = module(x)
    assert cudnn.log[-1] == ("forward", mode in ("train", "eval"))
    if y.requires_grad:
        y.sum().backward()


def test_a_backward_pass_can_be_repeated(cudnn):
    module, x = made("GRU", 2), inputs(False)
    loss = loss_of(module(x))
    first = torch.autograd.grad(loss, module.parameters(), retain_graph=True)
    again = torch.autograd.grad(loss, module.parameters())
    for f, a in zip(first, again, strict=True):
        assert torch.equal(f, a)


def test_outputs_and_inputs_changed_after_the_forward_pass(cudnn):
    module, x = made("GRU", 2), inputs(False)
    wanted = torch.autograd.grad(module(x)[0].sum(), module.parameters())
    y, _ = module(x)
    y.add_(1)
    for f, w in zip(torch.autograd.grad(y.sum(), module.parameters()), wanted, strict=True):
        assert torch.equal(f, w)
    y, _ = module(x)
    x.data = torch.zeros_like(x)
    for parameter in module.parameters():
        parameter.data = torch.zeros_like(parameter)
    for f, w in zip(torch.autograd.grad(y.sum(), module.parameters()), wanted, strict=True):
        assert torch.equal(f, w)
    y, _ = module(x)
    with torch.no_grad():
        module.weight_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_outputs_changed_in_place_where_hooks_save_tensors(cudnn):
    module, x = made("GRU"), inputs(False)
    wanted = torch.autograd.grad(module(x)[0].sum(), module.parameters())
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y, _ = module(x)
    y.add_(1)
    for f, w in zip(torch.autograd.grad(y.sum(), module.parameters()), wanted, strict=True):
        assert torch.equal(f, w)


def test_many_gradients_at_once(cudnn):
    module, x = made("LSTM", 2), inputs(False)
    y, _ = module(x)
    seeds = torch.eye(y.numel()).double().view(-1, *y.shape)[:7]
    found = torch.autograd.grad(y, x, seeds, is_grads_batched=True, retain_graph=True)[0]
    for f, seed in zip(found, seeds, strict=True):
        assert_close(f, torch.autograd.grad(y, x, seed, retain_graph=True)[0], "gradient")


def test_dropout_walks_layer_by_layer(cudnn):
    module, x = made("GRU", 3, True, dropout=0.5), inputs(False)
    torch.manual_seed(3)
    found = module(x)
    assert [name for name, *_ in cudnn.log] == ["flatten", "forward", "flatten", "forward", "forward"]
    torch.manual_seed(3)
    assert_close(found[0], run_by(module, x, REFERENCE.walk)[0], "y")
    assert torch.equal(module.eval()(x)[0], module(x)[0])


def test_other_ways_to_call_a_module(cudnn):
    module, x = made("LSTM", 2, True), inputs(False)
    wanted = module(x)[0]
    assert torch.equal(copy.deepcopy(module)(x)[0], wanted)
    other = {name: p * 2 for name, p in module.named_parameters()}
    y, _ = functional_call(module, other, (x,))
    found = torch.autograd.grad(y.sum(), module.weight_hh_l1)[0]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    y, _ = module(x)
    assert_close(found, 2 * torch.autograd.grad(y.sum(), module.weight_hh_l1)[0], "gradient")
    parametrizations.weight_norm(module, "weight_hh_l0")
    loss_of(module(x)).backward()
    assert module.parametrizations.weight_hh_l0.original1.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_and_autocast(cudnn, kind, dtype):
    module, x = made(kind, 2, True, dtype=dtype), inputs(False, dtype)
    y, _ = module(x)
    assert y.dtype == dtype
    assert_close(y, made(kind, 2, True, dtype=dtype).double()(x.double())[0].to(dtype), "y")
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = module(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert module.weight_hh_l0.grad.dtype == dtype
    assert cudnn.log[-1] == ("backward",)


def test_sizes_that_cudnn_has_no_kernel_for_take_the_reference(cudnn):
    module, x = made("GRU", 2, True), inputs(False)
    cudnn.failure = "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"
    found = module(x)
    assert_close(found[0], run_by(module, x, REFERENCE.walk)[0], "y")
    loss_of(found).backward()
    assert ("backward",) not in cudnn.log
    cudnn.failure = "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"
    with pytest.raises(RuntimeError, match="EXECUTION_FAILED"):
        module(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.parametrize(("kind", "backend"), [*((kind, "aot_eager") for kind in KINDS), ("LSTM", "inductor")])
def test_compiled_with_fullgraph(cudnn, kind, backend):
    module, x = made(kind, 2, True, dtype=torch.float32), inputs(False, torch.float32)
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    wanted = torch.autograd.grad(loss_of(module(x)), module.parameters())
    cudnn.log.clear()
    found = torch.autograd.grad(loss_of(compiled(x)), module.parameters())
    assert [entry for entry in cudnn.log if entry != ("flatten",)] == [("forward", True), ("backward",)]
    for f, w in zip(found, wanted, strict=True):
        assert_close(f, w, "gradient")
    torch._dynamo.reset()


@any_grad_is_read
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_operators_pass_opcheck(cudnn, kind, packed):
    module, x = made(kind, 2), inputs(packed)
    stacks = []
    module.run(x, None, lambda call: stacks.append(call) or REFERENCE.walk(call))
    call = stacks[0]
    initial = tuple(s[None] for s in call.state)
    stack = cudnn_calls.Stack(call.cell, call.x, initial, (call.weights,), 1, call.batch_sizes)
    terms, operands, weights = cudnn_calls.Terms.of(stack)
    torch.library.opcheck(torch.ops.bptt.cudnn_walk.default, (*terms, True, *operands, weights))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_exported_with_dynamic_time_and_batch(cudnn, kind):
    module = made(kind, 2, True, dtype=torch.float32).eval()
    T, B = torch.export.Dim("T", min=1), torch.export.Dim("B", min=1)
    x = normal(4, 2, 3, dtype=torch.float32)
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: T, 1: B},)).module()
    for shape in ((4, 2, 3), (9, 5, 3), (1, 1, 3)):
        x = normal(*shape, dtype=torch.float32)
        assert_close(exported(x)[0], module(x)[0], "y")


def test_the_lessons_network_and_one_bias(cudnn):
    net = bptt.Elman(3, 4, 2, bias=True, dtype=torch.float64)
    x = normal(5, 3, grad=True)
    found, wanted = net.hidden(x), net.hidden(x, None, REFERENCE.walk)
    assert ("forward", True) in cudnn.log
    assert_close(found, wanted, "states")
    sources = [x, net.W_x, net.W_s, net.b_s]
    gradients = [torch.autograd.grad(states.sin().sum(), sources) for states in (found, wanted)]
    for f, w in zip(*gradients, strict=True):
        assert_close(f, w, "gradient")


REFUSALS = [
    (lambda: bptt.RNN(3, 4, leak=0.5), "cuDNN has no leaky units"),
    (lambda: bptt.RNN(3, 4, nonlinearity="gelu"), "cuDNN has no activation 'gelu'"),
    (lambda: bptt.RNN(3, 4, nonlinearity=(torch.tanh, lambda s: 1 - s * s)), "cuDNN has no activation 'custom'"),
]


@pytest.mark.parametrize(("module", "words"), REFUSALS)
def test_why_says_what_cudnn_has_not(cudnn, module, words):
    assert f"cuDNN: refuses, as {words}" in bptt.why(module(), torch.zeros(5, 2, 3))
    module()(torch.zeros(5, 2, 3))
    assert not cudnn.log


def test_bfloat16_needs_a_gpu_that_has_it(cudnn, monkeypatch):
    module, x = bptt.GRU(3, 4, dtype=torch.bfloat16), torch.zeros(5, 2, 3, dtype=torch.bfloat16)
    assert bptt.why(module, x).startswith("cuDNN: takes")
    monkeypatch.setattr(cudnn_backend, "_has_bfloat16", lambda device: False)
    assert "cuDNN: refuses, as cuDNN needs compute capability 8.0 for bfloat16" in bptt.why(module, x)


def test_why_says_how_cudnn_takes_a_call(cudnn):
    answer = bptt.why(bptt.LSTM(3, 4, 2), torch.zeros(5, 2, 3)).split("\n")[0]
    assert answer.startswith(
        "cuDNN: takes LSTM in torch.float32 on cpu, by cuDNN, all layers in one call, through TF32"
    )
    assert "TF32" not in bptt.why(bptt.GRU(3, 4).double(), torch.zeros(5, 2, 3).double())
    before = torch.backends.cudnn.rnn.fp32_precision
    try:
        torch.backends.cudnn.rnn.fp32_precision = "ieee"
        assert "TF32" not in bptt.why(bptt.GRU(3, 4), torch.zeros(5, 2, 3))
    finally:
        torch.backends.cudnn.rnn.fp32_precision = before


def test_transforms_and_empty_batches_go_elsewhere(cudnn):
    module = made("GRU", 2)
    torch.func.vmap(lambda x: module(x)[0], 1)(normal(5, 4, 3))
    module(normal(5, 0, 3))
    assert not cudnn.log


def test_why_cudnn_cannot_be_used(monkeypatch):
    device = torch.device("cuda", 0)
    assert cudnn_backend.unavailable(torch.device("mps")) == "cuDNN runs on CUDA, and this is on mps"
    monkeypatch.setattr(cudnn_backend, "_HAS_CUDNN", False)
    assert cudnn_backend.unavailable(device) == "this torch has no cuDNN"
    monkeypatch.setattr(cudnn_backend, "_HAS_CUDNN", True)
    assert cudnn_backend.unavailable(device) is None
    with torch.backends.cudnn.flags(enabled=False):
        assert "enabled is False" in cudnn_backend.unavailable(device)
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert "ROCm" in cudnn_backend.unavailable(device)


def test_a_compiler_can_ask_whether_there_is_cudnn():
    """The question as it is on a GPU, which the stand-in leaves out."""
    device = torch.device("cuda", 0)
    traced = torch.compile(lambda x: (x, cudnn_backend.unavailable(device)), fullgraph=True, backend="eager")
    assert traced(torch.zeros(1))[1] == cudnn_backend.unavailable(device)


def test_workers_share_the_gradients(cudnn, tmp_path):
    """DistributedDataParallel's buckets and hooks, in a group of one process."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        module, x = made("LSTM", 2), inputs(False)
        wanted = torch.autograd.grad(module(x)[0].sum(), module.parameters())
        nn.parallel.DistributedDataParallel(module)(x)[0].sum().backward()
        for parameter, w in zip(module.parameters(), wanted, strict=True):
            assert torch.equal(parameter.grad, w)
        assert cudnn.log[-1] == ("backward",)
    finally:
        torch.distributed.destroy_process_group()
