"""What a walk by cuDNN costs beside cuDNN's own calls, counted operation by operation on a second device."""

import importlib
import itertools
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

import bptt
from devices import OTHER
from standin_cudnn import cudnn_on_cpus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = ("RNN relu", "RNN tanh", "GRU", "LSTM", "LSTM projected")
NUMBERS = ("float64", "float32", "float16", "bfloat16", "float32 float16", "float32 bfloat16")

# Layers, directions, bias and packed: some in which every two values meet, and all.
STACKS = [(1, 1, False, False), (1, 2, True, True), (2, 1, True, True), (2, 2, False, True), (2, 2, True, False)]
EVERY_STACK = list(itertools.product((1, 2), (1, 2), (True, False), (False, True)))


@pytest.fixture(scope="module")
def parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("gpu_parts.cases"), importlib.import_module("gpu_parts.calls")


@pytest.fixture
def cudnn():
    if OTHER not in ("cuda", "emulated"):
        pytest.skip(f"{OTHER} has no cuDNN")
    with cudnn_on_cpus(device_type=OTHER) if OTHER == "emulated" else nullcontext() as stand_in:
        yield stand_in


@pytest.mark.parametrize("stacks", [STACKS, pytest.param(EVERY_STACK, marks=pytest.mark.slow)], ids=len)
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_one_call_forward_and_one_back_and_nothing_waits(
    parts, cudnn, other_device, kind, numbers, stacks
):
    cases, calls = parts
    dtype, autocast = (*(getattr(torch, name) for name in numbers.split()), None)[:2]
    for layers, directions, bias, packed in stacks:
        case = cases.Case(kind, layers, directions, bias, packed, dtype, autocast)
        module, x = case.module(other_device), case.x(other_device)
        found = calls.counted(module, x, case, other_device)
        assert found.calls() == (1, 1), case
        assert found.waits == [], case
        assert found.forward["cat"] <= 1, case
        assert found.backward["cat"] == 0, case
        states, gaps = 1 + ("LSTM" in kind), 0 if bias else 1  # zeros that torch.nn makes too
        assert found.others() == found.forward["new_zeros"] == states + gaps, case
        tensors = 1 + states + len(list(module.parameters()))
        converted = 0 if autocast is None else tensors + tensors - states  # a zero state has no gradient
        assert found.forward["_to_copy"] + found.backward["_to_copy"] == converted, case


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_torch_has_laid_out_are_not_copied(parts, cudnn, other_device, kind):
    cases, calls = parts
    case = cases.Case(kind, 2, 2, True, False, torch.float32, None)
    theirs = case.module(other_device, torch.nn)
    if OTHER == "emulated":  # where torch.nn does not do it itself
        listed, modes = [p.data for p in theirs.parameters()], ("RNN_RELU", "RNN_TANH", "LSTM", "GRU")
        sizes = cases.I, modes.index(theirs.mode), cases.H, theirs.proj_size, 2, False, True
        with torch.no_grad():
            torch.ops.aten._cudnn_rnn_flatten_weight(listed, len(listed) // 4, *sizes)
        for parameter, weight in zip(theirs.parameters(), listed, strict=True):
            parameter.data = weight
    found = calls.counted(bptt.from_torch(theirs), case.x(other_device), case, other_device)
    assert found.calls() == (1, 1)
    assert found.forward["cat"] == 0


def test_dropout_takes_a_call_for_each_layer(parts, cudnn, other_device):
    cases, calls = parts
    case = cases.Case("GRU", 3, 2, True, False, torch.float32, None)
    module = bptt.GRU(cases.I, cases.H, 3, bidirectional=True, dropout=0.5, device=other_device)
    found = calls.counted(module, case.x(other_device), case, other_device)
    assert found.calls() == (3, 3)
    assert found.waits == []


def test_a_read_and_a_copy_between_devices_are_noticed(parts, other_device):
    _, calls = parts
    x = torch.ones(3, device=other_device)
    for act in (lambda: x.sum().item(), x.cpu, x.tolist, x.nonzero, lambda: torch.ones(3).to(other_device)):
        with calls.counting() as operations:
            act()
        assert operations.waits
