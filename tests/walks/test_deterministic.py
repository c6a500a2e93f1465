"""Deterministic results depend on neither the number of threads nor the other rows of a batch, to the last bit."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

import bptt
from bptt.walks import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")

KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def results(module: torch.nn.Module, x: Tensor, dy: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By name: those that have the batch as their second dimension, and the weights' gradients."""
    x = x.clone().requires_grad_()
    y, state = module(x)
    state = state if isinstance(state, tuple) else (state,)
    d_x, *gradients = torch.autograd.grad(y, [x, *module.parameters()], dy)
    rows = {"y": y, "d_x": d_x, **{f"state {i}": s for i, s in enumerate(state)}}
    return rows, dict(zip(dict(module.named_parameters()), gradients, strict=True))


@KINDS
@DTYPES
@pytest.mark.parametrize("size", [(1, 5, 3), (40, 5, 32), (4, 9, 280)], ids=str)
def test_a_row_alone_is_the_row_in_a_batch(kind, dtype, size):
    """For every number of rows in a tile, sums of one block and of several, and a single step."""
    T, I, H = size
    torch.manual_seed(0)
    module = getattr(bptt, kind)(I, H, dtype=dtype)
    x, dy = torch.randn(T, 29, I, dtype=dtype), torch.randn(T, 29, H, dtype=dtype)
    torch.set_num_threads(1)
    alone, _ = results(module, x[:, :1], dy[:, :1])
    for B in (2, 3, 4, 5, 7, 13, 29):
        together, _ = results(module, x[:, :B], dy[:, :B])
        for name, wanted in alone.items():
            assert torch.equal(together[name][:, :1], wanted), f"{name} of the first of {B} rows"


@KINDS
@DTYPES
@pytest.mark.parametrize("B", [1, 3, 14, 33])
def test_threads_change_no_bit(kind, dtype, B):
    torch.manual_seed(0)
    module = getattr(bptt, kind)(40, 64, dtype=dtype)
    x, dy = torch.randn(60, B, 40, dtype=dtype), torch.randn(60, B, 64, dtype=dtype)
    torch.set_num_threads(1)
    wanted = results(module, x, dy)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        for found, of_one in zip(results(module, x, dy), wanted, strict=True):
            for name in found:
                assert torch.equal(found[name], of_one[name]), f"{name} by {threads} threads"


@KINDS
def test_a_sequence_alone_is_the_sequence_in_a_packed_batch(kind):
    torch.manual_seed(0)
    module = getattr(bptt, kind)(40, 64)
    sequences = [torch.randn(length, 40, requires_grad=True) for length in (50, 31, 31, 2, 1)]

    def outputs_and_gradients(of: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        y, _ = module(pack_sequence(of))
        rows = torch.nn.utils.rnn.unpack_sequence(y)
        gradients = torch.autograd.grad(sum(row.square().sum() for row in rows), of)
        return list(zip(rows, gradients, strict=True))

    torch.set_num_threads(1)
    alone = [outputs_and_gradients([sequence])[0] for sequence in sequences]
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for i, (found, wanted) in enumerate(zip(outputs_and_gradients(sequences), alone, strict=True)):
            assert all(map(torch.equal, found, wanted)), f"sequence {i} by {threads} threads"
