"""torch's modules and ours under the same seed, and every result of both."""

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import bptt
from support import assert_close, normal

KINDS = ["RNN", "GRU", "LSTM"]
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
OPTIONS = [
    {},
    {"num_layers": 2, "bias": False},
    {"bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]
CASES = [(kind, options) for kind in KINDS for options in OPTIONS]
CASES += [("RNN", {"nonlinearity": "relu", "num_layers": 2})]
CASES += [("LSTM", {"proj_size": 2}), ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True})]


def twins(kind, *, seed=0, **options):
    """torch's module and ours, initialised under the same seed."""
    made = []
    for library in (nn, bptt):
        torch.manual_seed(seed)
        made.append(getattr(library, kind)(3, 5, **options))
    return made


def results(module, x, hx):
    """Outputs, final state and every gradient of a loss of both."""
    y, state = module(x, hx)
    rows = y.data if isinstance(y, PackedSequence) else y
    tensors = [rows, *(state if isinstance(state, tuple) else (state,))]
    loss = sum((t * normal(*t.shape, seed=9).to(t)).sum() for t in tensors)
    hx = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    source = x.data if isinstance(x, PackedSequence) else x
    return tensors + list(torch.autograd.grad(loss, [source, *hx, *module.parameters()]))


def assert_same(found, wanted, tolerance=1e-10):
    for i, (f, w) in enumerate(zip(found, wanted, strict=True)):
        assert_close(f, w, f"result {i}", tolerance)
