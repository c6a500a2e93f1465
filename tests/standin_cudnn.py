"""A stand-in for cuDNN on CPUs: `aten::_cudnn_rnn` as torch's CUDA kernels answer it.

It reads the weights from the flat buffer alone, so a wrong order gives wrong numbers; refuses what cuDNN refuses;
and overwrites the reserve in the backward pass. Autograd cannot be used below a kernel in the same thread, so it
computes in one of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import torch

from bptt.walks import cudnn, cudnn_calls
from bptt.walks.cpu import FUSED

GATES = {0: 1, 1: 1, 2: 4, 3: 3}  # by cudnnRNNMode_t: relu, tanh, LSTM, GRU
WALKS = {0: torch._VF.rnn_relu, 1: torch._VF.rnn_tanh, 2: torch._VF.lstm, 3: torch._VF.gru}


class StandIn:
    """One stand-in with the order of its buffer and a log of its calls."""

    def __init__(self, order: str = "matrices first"):
        self.order = order  # or "layer by layer", or "padded": matrices first with a gap after each tensor
        self.log: list[tuple] = []  # ("forward", train), ("backward",), ("flatten",)
        self.failure: str | None = None  # raised by the next forward pass
        self.graphs: dict[int, tuple] = {}  # by the number in a reserve
        self.buffers: list[int] = []  # the addresses of the buffers that were read
        self.thread = ThreadPoolExecutor(1)

    def places(self, I, mode, H, R, layers, bidirectional) -> tuple[list[list[tuple[int, tuple]]], int]:
        """Where the five tensors of each layer and direction are (the last only of a projection), and the size."""
        rows, D, out = GATES[mode] * H, 1 + bidirectional, R or H
        shapes = []
        for layer in range(layers):
            own = [(rows, out * D if layer else I), (rows, out), (rows,), (rows,), *([(out, H)] if R else [])]
            shapes += [own] * D
        order = [(n, k) for n, own in enumerate(shapes) for k in range(len(own))]
        if self.order != "layer by layer":
            order.sort(key=lambda place: len(shapes[place[0]][place[1]]) == 1)
        at, found = 0, [[(0, ())] * len(own) for own in shapes]
        for n, k in order:
            found[n][k] = (at, shapes[n][k])
            at += torch.Size(shapes[n][k]).numel() + 3 * (self.order == "padded")
        return found, at

    def views(self, buffer, *sizes) -> list[list[torch.Tensor]]:
        places, size = self.places(*sizes)
        assert buffer.is_contiguous()
        assert buffer.numel() == size
        return [[buffer[at : at + torch.Size(s).numel()].view(s) for at, s in own] for own in places]

    def flatten(self, weights, per_layer, I, mode, H, R, layers, batch_first, bidirectional):
        self.log.append(("flatten",))
        assert not torch.is_grad_enabled()
        _, size = self.places(I, mode, H, R, layers, bidirectional)
        buffer = weights[0].new_zeros(size)
        for n, own in enumerate(self.views(buffer, I, mode, H, R, layers, bidirectional)):
            listed = weights[n * per_layer : (n + 1) * per_layer]
            kept = own if per_layer > 3 else [own[0], own[1], *own[4:]]
            for weight, view in zip(listed, kept, strict=True):
                view.copy_(weight)
                weight.set_(view)
        return buffer

    def forward(self, x, weights, per_layer, buffer, h0, c0, mode, H, R, layers, batch_first, dropout, train,
                bidirectional, batch_sizes, dropout_state):  # fmt: skip
        self.log.append(("forward", train))
        if self.failure is not None:
            message, self.failure = self.failure, None
            raise RuntimeError(message)
        self.buffers.append(buffer.data_ptr())
        assert buffer is not None, "torch would warn that the weights are not one piece of memory"
        assert {t.dtype for t in (x, h0, buffer, *weights)} == {x.dtype}
        assert h0.is_contiguous()
        assert c0 is None or c0.is_contiguous()
        assert (c0 is not None) == (mode == 2), "rnn: illegal defined cx for non-LSTM RNN"
        assert not batch_first
        assert dropout == 0
        views = self.views(buffer.detach(), x.shape[-1], mode, H, R, layers, bidirectional)
        if per_layer < 4:
            assert not any(b.any() for own in views for b in own[2:4]), "biases that are not there are not zero"
        operands = [x, h0, *([] if c0 is None else [c0]), *(w for own in views for w in own)]

        def compute():
            sources = [t.detach().clone().requires_grad_() for t in operands]
            state, parameters = (sources[1], sources[2:]) if c0 is None else (sources[1:3], sources[3:])
            common = [state, parameters, True, layers, 0.0, train, bidirectional]
            with warnings.catch_warnings(action="ignore"):  # oneDNN has no projections
                if batch_sizes:
                    return WALKS[mode](sources[0], torch.tensor(list(batch_sizes)), *common), sources
                return WALKS[mode](sources[0], *common, False), sources

        results, sources = self.thread.submit(compute).result()
        number = hash(tuple(float(t.detach().sum()) for t in (x, h0, buffer))) >> 1  # the same for the same call
        if train:
            self.graphs[number] = results, sources
        reserve = torch.tensor([number] if train else [], dtype=torch.int64).view(torch.uint8)
        y, h_n, *c_n = (t.detach().clone() for t in results)  # y is the caller's, to change in place
        return y, h_n, c_n[0] if c_n else x.new_empty(0), reserve, buffer

    def backward(self, x, weights, per_layer, buffer, h0, c0, y, dy, dh_n, dc_n, mode, H, R, layers, batch_first,
                 dropout, train, bidirectional, batch_sizes, dropout_state, reserve, mask):  # fmt: skip
        self.log.append(("backward",))
        assert train, "cudnn RNN backward can only be called in training mode"
        assert c0 is not None or not mask[2], "illegally required grad of cx for non-LSTM RNN"
        number = int(reserve.view(torch.int64))
        assert number in self.graphs, "the reserve was overwritten by an earlier backward pass"
        results, sources = self.graphs[number]
        assert torch.allclose(y, results[0], equal_nan=True), "y was changed after the forward pass"
        reserve.view(torch.int64).fill_(0)
        pairs = [(t, d) for t, d in zip(results, (dy, dh_n, dc_n), strict=False) if d is not None]
        outputs, seeds = zip(*pairs, strict=True)

        def compute():
            return torch.autograd.grad(outputs, sources, seeds, retain_graph=True, materialize_grads=True)

        dx, dh0, *others = self.thread.submit(compute).result()
        dc0 = others.pop(0) if c0 is not None else x.new_empty(0)
        every = 5 if R else 4
        kept = [n for n in range(len(others)) if per_layer > 3 or n % every not in (2, 3)]
        return dx, dh0, dc0, [others[n] for n in kept] if mask[3] else []


@contextmanager
def cudnn_on_cpus(order: str = "matrices first", device_type: str = "cpu") -> Iterator[StandIn]:
    """Within it, tensors of the CPU, or of the emulated device, go to cuDNN's backend, and it to a stand-in."""
    stand_in, library = StandIn(order), torch.library.Library("aten", "IMPL")
    library.impl("_cudnn_rnn", stand_in.forward, "CPU")
    library.impl("_cudnn_rnn_backward", stand_in.backward, "CPU")
    library.impl("_cudnn_rnn_flatten_weight", stand_in.flatten, "CPU")
    cudnn_calls.order_of.cache_clear()
    with (
        patch.object(
            cudnn, "unavailable", lambda device: None if device.type == device_type else f"no cuDNN on {device}"
        ),
        patch.object(cudnn, "_has_bfloat16", lambda device: True),
        patch.object(type(FUSED), "quick_walk_of", lambda self, cell: None),
    ):
        yield stand_in
    cudnn_calls.order_of.cache_clear()
    stand_in.thread.shutdown()
    library._destroy()
