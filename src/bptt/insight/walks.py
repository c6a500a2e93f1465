"""A network's walk forward, recorded, and walked back from wherever an error enters it.

This is training's own way back, at its speed, stopped before the products with `delta` are summed over time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from .. import kernels
from ..equations import LSTM, Cell, Weights
from ..equations.cell import State
from ..networks import Elman, SequenceModel, cross_entropy, squared_error
from ..unfolded import (
    BatchSizes,
    Factor,
    Unfolded,
    input_gradient,
    outputs_of,
    weight_factors,
)

Network = Elman | SequenceModel
Loss = str | Callable[[Tensor, Tensor], Tensor]


def record(net: Network, x: Tensor) -> tuple[Tensor, list[Record]]:
    """Walk a network forward without dropout: its hidden outputs h, laid out as x, and each layer's record."""
    recorder = _Recorder()
    with torch.no_grad(), _without_dropout(net):
        return net.hidden(x, None, recorder), recorder.walks


@contextmanager
def _without_dropout(net: torch.nn.Module) -> Iterator[None]:
    """The network in eval mode, and each of its modules back in its own mode afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class Record(NamedTuple):
    """One layer and direction, walked forward."""

    cell: Cell
    x: Tensor
    weights: Weights[Tensor]
    unfolded: Unfolded

    def up_to(self, steps: int) -> Record:
        """The same walk, ended after so many steps."""
        states, state, kept = self.unfolded
        kept = kept._make(field[:steps] for field in kept)
        return self._replace(x=self.x[:steps], unfolded=Unfolded(states[: steps + 1], state, kept))

    def windows(self, steps: Tensor) -> Record:
        """Stretches of the walk of one sequence side by side as a batch; steps (K, windows) says which."""
        states, state, kept = self.unfolded
        kept = kept._make(field[steps].squeeze(2) for field in kept)
        before = states[steps].squeeze(2)
        after = states[steps[-1:] + 1].squeeze(2)
        batch = tuple(s.expand(steps.shape[1], -1) for s in state)
        return self._replace(
            x=self.x[steps].squeeze(2), unfolded=Unfolded(torch.cat([before, after]), batch, kept)
        )


class _Recorder:
    """A walk that remembers what it walked."""

    def __init__(self) -> None:
        self.walks: list[Record] = []

    def __call__(
        self, cell: Cell, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
    ) -> tuple[Tensor, State]:
        if batch_sizes is not None:
            raise TypeError("packed sequences cannot be explained; pass one sequence, or a batch of one length")
        unfolded = kernels.record(cell, x, state, weights)
        self.walks.append(Record(cell, x, weights, unfolded))
        return outputs_of(unfolded.states, state[0].shape[0]), unfolded.state


class WalkedBack(NamedTuple):
    """One layer and direction, walked back; rows in the order of time."""

    layer: str  # "l0", "l0_reverse", ...
    delta: Tensor  # (K, B, G·H)
    dh: Tensor  # (K, B, R)
    dx: Tensor  # (K, B, I): ∂E/∂(the layer's input), through this layer and direction
    over_s: Tensor  # (K, B, R): the part of dh that the step beside it hands over
    over_c: Tensor | None  # (K, B, H): what the step beside it hands over into c_k, of an LSTM
    factors: Weights[Factor]  # of each weight's gradient, not yet multiplied

    def by_step(self) -> Weights[Tensor]:
        """What each step contributes to each weight's gradient, (K, *shape of the weight)."""
        return self.factors.each(Factor.by_step)


class TakenBack(NamedTuple):
    """E_t, the error at one step, taken back through a network."""

    t: int
    error: Tensor
    dz: Tensor  # (B, O): ∂E_t/∂z_t, with z_t = h_t W_y before any softmax
    h_t: Tensor  # (B, D·R)
    records: list[Record]
    walks: list[WalkedBack]


def take_back(net: Network, x: Tensor, d: Tensor, t: int | None, loss: Loss) -> TakenBack:
    """Walk a network forward over x, and the error at step t (None: the last) back; checked as `explain` says."""
    check_network(net)
    if not isinstance(d, Tensor):
        raise TypeError(f"d must be a torch.Tensor, got {type(d).__name__}")
    h, records = record(net, x)
    time = 1 if net.batch_first and x.dim() == 3 else 0
    t = h.shape[time] if t is None else checked_step(t, h.shape[time])
    if d.shape[: h.dim() - 1] != h.shape[:-1]:
        raise ValueError(
            f"d is {tuple(d.shape)}, but one target for each step of x needs {tuple(h.shape[:-1])} first"
        )
    h_t = h.select(time, t - 1)
    error, dz = error_and_adjoint(net, h_t, d.select(time, t - 1), loss)
    dz, h_t = dz.reshape(-1, dz.shape[-1]), h_t.reshape(-1, h_t.shape[-1])
    walks = walk_back(net, records, dz @ net.readout_matrix(), t)
    return TakenBack(t, error, dz, h_t, records, walks)


def cell_of(net: Network) -> Any:
    """A network's cell, its equations."""
    return net.cell if isinstance(net, Elman) else net.recurrent.cell


def check_network(net: Any) -> None:
    """A network is one of the two whose way back is known."""
    if not isinstance(net, Elman | SequenceModel):
        raise TypeError(
            f"a bptt.Elman or a bptt.SequenceModel is needed, got {type(net).__name__}; "
            "wrap a recurrent module: bptt.SequenceModel(module, output_size)"
        )


def checked_step(t: Any, T: int | None = None) -> int:
    """A step's number: an int from 1 to T, where T is known."""
    if not isinstance(t, int) or isinstance(t, bool):
        raise TypeError(f"t must be an int, the number of a step, got {type(t).__name__}")
    if t < 1 or (T is not None and t > T):
        there = "steps count from 1" if T is None else f"x has the steps 1 to {T}"
        raise ValueError(f"t is {t}, but {there}")
    return t


def error_and_adjoint(net: Network, h_t: Tensor, d_t: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """E_t and ∂E_t/∂z_t, with z_t = h_t W_y before any softmax."""
    with torch.no_grad():
        z_t = net.readout(h_t)
    with torch.enable_grad():
        z_t = z_t.detach().requires_grad_()
        if loss == "cross_entropy":
            error = cross_entropy(z_t, d_t)
        else:
            y_t = torch.softmax(z_t, -1) if net.softmax else z_t
            error = _loss_function(loss)(y_t, d_t)
        if not isinstance(error, Tensor) or error.dim() != 0:
            got = f"shape {tuple(error.shape)}" if isinstance(error, Tensor) else type(error).__name__
            raise ValueError(f"the loss of a step must be a scalar tensor, got {got}; sum it, for example")
        (dz,) = torch.autograd.grad(error, z_t, materialize_grads=True)
    return error.detach(), dz


def _loss_function(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    if loss == "squared_error":
        return squared_error
    if isinstance(loss, str):
        raise ValueError(
            f'unknown loss {loss!r}: choose "squared_error", "cross_entropy" or pass a callable (y, d)'
        )
    if not callable(loss):
        raise TypeError(f"loss must be a name or a callable (y, d) -> scalar, got {type(loss).__name__}")
    return loss


def through_readout(net: Network, dz: Tensor, h_t: Tensor) -> dict[str, Tensor]:
    """∂E_t/∂W_y = dzᵀ h_t and ∂E_t/∂b_y = dz, summed over the batch, by their names; dz (B, O), h_t (B, R)."""
    weight, bias = net.readout_names()
    dW = dz.mT @ h_t
    parts = {weight: dW.mT if net.row_vectors else dW}
    if bias is not None:
        parts[bias] = dz.sum(0)
    return parts


@torch.no_grad()
def walk_back(net: Network, records: list[Record], dh_t: Tensor, t: int) -> list[WalkedBack]:
    """Take ∂E/∂h at step t of the last layer, (B, D·R), back through all layers and directions."""
    directions = len(net.weight_names()[0])
    T, B, _ = records[0].x.shape
    K = t if directions == 1 else T  # a backward direction carries the error to later steps as well
    d_outputs = dh_t.new_zeros(K, B, dh_t.shape[-1])
    d_outputs[t - 1] = dh_t
    walks: list[WalkedBack] = []
    for layer in reversed(range(len(records) // directions)):
        shares = d_outputs.chunk(directions, -1)
        d_outputs, of_layer = torch.zeros_like(records[layer * directions].x[:K]), []
        for direction, share in enumerate(shares):
            record = records[layer * directions + direction].up_to(K)
            back = _walk_layer_back(f"l{layer}" + "_reverse" * direction, record, share, mirrored=direction == 1)
            of_layer.append(back)
            d_outputs = d_outputs + back.dx
        walks = of_layer + walks
    return walks


def _walk_layer_back(layer: str, record: Record, d_outputs: Tensor, mirrored: bool) -> WalkedBack:
    """One layer and direction walked back."""

    def in_time(rows: Tensor) -> Tensor:
        return rows.flip(0) if mirrored else rows

    zeros = tuple(torch.zeros_like(s) for s in record.unfolded.state)
    cell, x, weights, unfolded = record
    adjoint = kernels.adjoint(cell, x, unfolded, weights, in_time(d_outputs), zeros)
    factors = weight_factors(x, unfolded, adjoint, weights).each(
        lambda f: Factor(in_time(f.delta), None if f.operand is None else in_time(f.operand))
    )
    over_c = _over_cell_state(record, adjoint.dh) if isinstance(cell, LSTM) else None
    return WalkedBack(
        layer=layer,
        delta=in_time(adjoint.delta_ih),
        dh=in_time(adjoint.dh),
        dx=in_time(input_gradient(adjoint, weights)),
        over_s=in_time(adjoint.dh) - d_outputs,
        over_c=None if over_c is None else in_time(over_c),
        factors=factors,
    )


@torch.no_grad()
def _over_cell_state(record: Record, dh: Tensor) -> Tensor:
    """What each step of an LSTM hands to the cell state before it, f ∂E/∂c, from ∂E/∂h of every step.

    Row k is what reaches c_k from step k+1; of the last step nothing.
    """
    cell, x, w, (states, _, recorded) = record
    p = linear(x, w.W_ih, w.b_ih)
    kept: Any = cell.step(p, (states[:-1], recorded.c_prev), w)[1]
    dm = dh if w.W_hr is None else dh @ w.W_hr
    d_c = dm * kept.o * (1 - kept.tanh_c * kept.tanh_c)
    over = torch.zeros_like(d_c)
    for k in reversed(range(len(dh) - 1)):
        over[k] = (d_c[k + 1] + over[k + 1]) * kept.f[k + 1]
    return over
