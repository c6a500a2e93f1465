import copy
import io
import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import bptt
from module_twins import CASES, DEVICES, KINDS, assert_same, results, twins
from support import TOLERANCE, assert_close, normal


def state_for(module, batch):
    layers = module.num_layers * (2 if module.bidirectional else 1)
    sizes = [module.proj_size or module.hidden_size, module.hidden_size]
    parts = tuple(normal(layers, *batch, size, seed=i, grad=True) for i, size in enumerate(sizes))
    return parts if isinstance(module, nn.LSTM | bptt.LSTM) else parts[0]


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", [(4, 2, 3), (1, 2, 3), (6, 3), (4, 0, 3)])
def test_outputs_and_gradients_are_torchs(kind, options, given, shape):
    theirs, ours = twins(kind, dtype=torch.float64, **options)
    if options.get("batch_first") and len(shape) == 3:
        shape = (shape[1], shape[0], shape[2])
    x = normal(*shape, grad=True)
    batch = () if len(shape) == 2 else (shape[0 if options.get("batch_first") else 1],)
    hx = state_for(ours, batch) if given else None
    assert_same(results(ours, x, hx), results(theirs, x, hx))


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize(("lengths", "is_sorted"), [([4, 3, 1], True), ([1, 4, 2, 4], False), ([2], True)])
def test_packed_sequences_are_torchs(kind, options, lengths, is_sorted):
    theirs, ours = twins(kind, dtype=torch.float64, **options)
    B, T = len(lengths), max(lengths)
    x = normal(*((B, T) if ours.batch_first else (T, B)), 3, grad=True)
    hx = state_for(ours, (B,))
    packed = pack_padded_sequence(x, torch.tensor(lengths), ours.batch_first, is_sorted)
    assert_same(results(ours, packed, hx), results(theirs, packed, hx))
    (out, _), (wanted, _) = (pad_packed_sequence(m(packed, hx)[0], ours.batch_first) for m in (ours, theirs))
    assert_close(out, wanted, "unpacked")


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_mode_is_torchs(kind):
    assert getattr(bptt, kind)(2, 3).mode == getattr(nn, kind)(2, 3).mode
    subclass = type("Own", (getattr(bptt, kind),), {})
    assert subclass(2, 3).mode == getattr(nn, kind)(2, 3).mode
    assert bptt.RNN(2, 3, nonlinearity="relu").mode == nn.RNN(2, 3, nonlinearity="relu").mode
    assert bptt.RNN(2, 3, nonlinearity="softplus").mode == "RNN_SOFTPLUS"


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_same_initialisation_names_and_state_dict(kind, options):
    theirs, ours = twins(kind, **options)
    named = dict(theirs.named_parameters())
    assert list(named) == [name for name, _ in ours.named_parameters()]
    assert all(torch.equal(p, named[name]) for name, p in ours.named_parameters())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert [[w.shape for w in ws] for ws in ours.all_weights] == [
        [w.shape for w in ws] for ws in theirs.all_weights
    ]
    assert ours.flatten_parameters() is None


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_is_torchs(kind):
    theirs, ours = twins(kind, num_layers=3, dropout=0.5, dtype=torch.float64)
    x = normal(4, 2, 3)
    outputs = []
    for module in (theirs, ours):
        torch.manual_seed(7)
        outputs.append(module(x)[0])
    assert_close(outputs[1], outputs[0], "training")
    assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], "eval")


def test_dropout_without_a_place_warns_as_torch_does():
    with pytest.warns(UserWarning, match="num_layers=1"):
        bptt.GRU(3, 5, dropout=0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
def test_other_dtypes_and_devices(kind, dtype, device):
    theirs, ours = twins(kind, dtype=dtype, device=device)
    x = normal(6, 2, 3, dtype=dtype).to(device)
    found, wanted = ours(x)[0], theirs(x)[0]
    assert found.dtype == dtype
    assert found.device.type == device
    assert_close(found.float(), wanted.float(), kind, TOLERANCE[dtype])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_lengths_on_any_device(kind, device):
    _, ours = twins(kind, device=device)
    x = normal(4, 3, 3, dtype=torch.float32).to(device)
    packed = bptt.pack_padded_sequence(x, torch.tensor([2, 4, 1], device=device), enforce_sorted=False)
    y, _ = ours(packed)
    _, lengths = pad_packed_sequence(y)
    assert lengths.tolist() == [2, 4, 1]


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "gelu", "identity"])
@pytest.mark.parametrize("leak", [1.0, 0.25])
def test_any_activation_and_leak_follow_the_equation(activation, leak):
    functions = {
        "sigmoid": torch.sigmoid,
        "softplus": nn.functional.softplus,
        "gelu": nn.functional.gelu,
        "identity": lambda a: a,
    }
    rnn = bptt.RNN(3, 5, nonlinearity=activation, leak=leak, dtype=torch.float64)
    x, h = normal(4, 2, 3), torch.zeros(2, 5, dtype=torch.float64)
    W_ih, W_hh, b_ih, b_hh = rnn.all_weights[0]
    for x_t in x:
        a = x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh
        h = (1 - leak) * h + leak * functions[activation](a)
    assert_close(rnn(x)[1][0], h, activation, 1e-12)


def test_a_users_own_activation():
    pair = (lambda a: a / (1 + a.abs()), lambda s: (1 - s.abs()).square())
    rnn = bptt.RNN(3, 5, nonlinearity=pair, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: rnn(x)[0], normal(4, 2, 3, grad=True))


@pytest.mark.parametrize("kind", KINDS)
def test_strided_expanded_and_negated_inputs(kind):
    theirs, ours = twins(kind, dtype=torch.float64)
    for x in (
        normal(8, 2, 6)[::2, :, ::2],
        normal(1, 2, 3).expand(4, 2, 3),
        normal(3, 2, 4).permute(2, 1, 0),
        torch._neg_view(normal(4, 2, 3)),
    ):
        assert_same(results(ours, x.requires_grad_(), None), results(theirs, x, None))


@pytest.mark.parametrize("kind", KINDS)
def test_backward_in_eval_mode(kind):
    theirs, ours = twins(kind, dtype=torch.float64)
    x = normal(4, 2, 3, grad=True)
    assert_same(results(ours.eval(), x, None), results(theirs, x, None))


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_deepcopy_repr_and_saving(kind):
    theirs, ours = twins(kind, num_layers=2, bidirectional=True)
    assert repr(ours) == repr(theirs)
    x = normal(4, 2, 3, dtype=torch.float32)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    again = getattr(bptt, kind)(3, 5, num_layers=2, bidirectional=True)
    again.load_state_dict(torch.load(file, weights_only=True))
    for copied in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), again):
        assert torch.equal(copied(x)[0], ours(x)[0])


def test_repr_shows_what_torchs_rnn_has_not():
    assert repr(bptt.RNN(3, 5, nonlinearity="gelu", leak=0.5)) == "RNN(3, 5, nonlinearity=gelu, leak=0.5)"


@pytest.mark.parametrize("kind", KINDS)
def test_meta_device(kind):
    module = getattr(bptt, kind)(3, 5, num_layers=2, device="meta")
    y, _ = module(torch.empty(4, 2, 3, device="meta"))
    assert y.shape == (4, 2, 5)
    assert y.is_meta
    assert module.to_empty(device="cpu")(torch.zeros(4, 2, 3))[0].device.type == "cpu"


@pytest.mark.parametrize("kind", KINDS)
def test_to_another_dtype_and_back(kind):
    module = getattr(bptt, kind)(3, 5)
    assert module.double()(normal(4, 2, 3))[0].dtype == torch.float64
    assert module.to(torch.bfloat16)(normal(4, 2, 3, dtype=torch.bfloat16))[0].dtype == torch.bfloat16


def test_new_weights_count_at_the_next_call_however_they_came():
    module, x = bptt.GRU(3, 5), normal(4, 2, 3, dtype=torch.float32)
    before = module(x)[0]
    module.weight_hh_l0.data = module.weight_hh_l0.data * 2
    doubled = module(x)[0]
    module.weight_hh_l0.data.mul_(0.5)
    assert not torch.equal(doubled, before)
    assert torch.equal(module(x)[0], before)
    module.weight_hh_l0 = nn.Parameter(torch.zeros(15, 5))
    assert not torch.equal(module(x)[0], before)


def test_transposed_and_offset_weights_give_the_right_result():
    theirs, ours = twins("LSTM", dtype=torch.float64)
    W = ours.weight_hh_l0.detach()
    ours.weight_hh_l0 = nn.Parameter(W.T.contiguous().T)
    ours.weight_ih_l0 = nn.Parameter(
        torch.cat([torch.zeros(7).double(), ours.weight_ih_l0.detach().flatten()])[7:].view(20, 3)
    )
    x = normal(4, 2, 3, grad=True)
    assert_same(results(ours, x, None), results(theirs, x, None))


def test_building_and_calling_changes_no_global_state():
    before = (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        warnings.filters[:],
    )
    rng = torch.get_rng_state()
    module = bptt.LSTM(3, 5, device="meta")
    module.to_empty(device="cpu")(torch.zeros(4, 2, 3))
    assert torch.equal(torch.get_rng_state(), rng)
    assert before == (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        warnings.filters[:],
    )


AFTER_A_WALK = """
import multiprocessing, torch, bptt
from torch.utils.data import DataLoader

torch.set_num_threads(2)
gru, x = bptt.GRU(32, 64), torch.randn(50, 64, 32)

class Walked:
    def __len__(self):
        return 4

    def __getitem__(self, i):
        y, _ = gru(x)
        y.sum().backward()
        return y.detach()[-1]

def child():
    torch.set_num_threads(1)
    Walked()[0]

wanted = Walked()[0]
for found in DataLoader(Walked(), batch_size=2, num_workers=2, multiprocessing_context="fork"):
    torch.testing.assert_close(found, wanted.expand(2, -1, -1))
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(60)
assert process.exitcode == 0, process.exitcode
"""


def test_workers_forked_after_a_walk_by_two_threads_can_walk():
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", AFTER_A_WALK], check=True, timeout=120, env=environment)


@pytest.mark.skipif(len(DEVICES) == 1, reason="no accelerator here")
@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("lengths", [None, [1, 4, 2, 4]])
def test_an_accelerator_gives_the_cpus_numbers(kind, options, lengths):
    _, here = twins(kind, dtype=torch.float64, **options)
    there = copy.deepcopy(here).to(DEVICES[1])
    x = normal(4, 4, 3, grad=True)
    found = []
    for module in (there, here):
        device = module.weight_ih_l0.device
        source = x.detach().to(device).requires_grad_()
        given = source
        if lengths is not None:
            on_device = torch.tensor(lengths, device=device)
            given = bptt.pack_padded_sequence(source, on_device, module.batch_first, enforce_sorted=False)
        y, state = module(given)
        y = y.data if isinstance(y, PackedSequence) else y
        tensors = [y, *(state if isinstance(state, tuple) else (state,))]
        loss = sum((t * normal(*t.shape, seed=9).to(device)).sum() for t in tensors)
        found.append([*tensors, *torch.autograd.grad(loss, [source, *module.parameters()])])
    assert_same([t.cpu() for t in found[0]], found[1])
