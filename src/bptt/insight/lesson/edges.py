"""One error taken back through a network, with what every edge of the unfolded model carries."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...equations import LSTMEquations, Weights
from ...networks import Elman, SequenceModel
from ...walks.unfold import Factor
from ..walks import Loss, Record, WalkedBack, checked_step, error_and_adjoint, into_hidden, record, walk_back

Network = Elman | SequenceModel


class Edges(NamedTuple):
    """One layer and direction, walked back; rows in the order of time."""

    layer: str  # "l0", "l0_reverse", ...
    delta: Tensor  # (K, B, G·H): ∂E/∂a of the input part
    dh: Tensor  # (K, B, R): ∂E/∂h
    dx: Tensor  # (K, B, I): ∂E/∂(the layer's input), through this layer and direction
    over_s: Tensor  # (K, B, R): the part of dh that the step beside it hands over
    over_c: Tensor | None  # (K, B, H): what the step beside it hands over into c_k, of an LSTM
    factors: Weights[Factor]  # of each weight's gradient, not yet multiplied


class TakenBack(NamedTuple):
    """E_t, the error at one step, taken back through a network."""

    t: int
    error: Tensor
    dz: Tensor  # (B, O): ∂E_t/∂z_t, with z_t = h_t W_y before any softmax
    h_t: Tensor  # (B, D·R)
    records: list[Record]  # by layer and direction
    back: list[WalkedBack]  # likewise
    walks: list[Edges]  # likewise


@torch.no_grad()
def take_back(net: Network, x: Tensor, d: Tensor, t: int | None, loss: Loss) -> TakenBack:
    """Walk a network forward over x, and the error at step t (None: the last) back; checked as `explain` says."""
    check_network(net)
    if not isinstance(d, Tensor):
        raise TypeError(f"d must be a torch.Tensor, got {type(d).__name__}")
    h, records = record(net, x)
    time = 1 if net.batch_first and x.dim() == 3 else 0
    t = h.shape[time] if t is None else checked_step("t", t, h.shape[time])
    if d.shape[: h.dim() - 1] != h.shape[:-1]:
        raise ValueError(
            f"d is {tuple(d.shape)}, but one target for each step of x needs {tuple(h.shape[:-1])} first"
        )
    h_t = h.select(time, t - 1)
    error, dz = error_and_adjoint(net, h_t, d.select(time, t - 1), loss)
    dz, h_t = dz.reshape(-1, dz.shape[-1]), h_t.reshape(-1, h_t.shape[-1])
    steps = t if len(records[0]) == 1 else h.shape[time]
    d_outputs = h.new_zeros(steps, len(h_t), h.shape[-1])
    d_outputs[t - 1] = into_hidden(net, dz)
    back = walk_back(records, d_outputs)
    flat = [of_direction for layer in records for of_direction in layer]
    return TakenBack(t, error, dz, h_t, flat, back, _edges(records, back, d_outputs))


def check_network(net: Any) -> None:
    """A network is one of the two whose way back is known.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(net, Elman | SequenceModel):
        raise TypeError(
            f"a bptt.Elman or a bptt.SequenceModel is needed, got {type(net).__name__}; "
            "wrap a recurrent module: bptt.SequenceModel(module, output_size)"
        )


def cell_of(net: Network) -> Any:
    """A network's cell, its equations."""
    return net.cell if isinstance(net, Elman) else net.recurrent.cell


def _edges(records: list[list[Record]], back: list[WalkedBack], d_outputs: Tensor) -> list[Edges]:
    """What the edges carry, read off from layer to layer, the last one first."""
    walks, waiting = [], list(back)
    for layer in reversed(records):
        shares = d_outputs.chunk(len(layer), -1)
        of_layer = [_of_walk(r, waiting.pop(-len(layer) + i), shares[i]) for i, r in enumerate(layer)]
        d_outputs = torch.stack([edges.dx for edges in of_layer]).sum(0)
        walks = of_layer + walks
    return walks


def _of_walk(record: Record, walk: WalkedBack, d_outputs: Tensor) -> Edges:
    over_c = None
    if isinstance(record.cell, LSTMEquations):
        over_c = record.in_time(_over_cell_state(record.up_to(len(walk.dh)), record.in_time(walk.dh)))
    dx = walk.delta @ record.weights.W_ih
    return Edges(walk.layer, walk.delta, walk.dh, dx, walk.dh - d_outputs, over_c, walk.factors)


def _over_cell_state(record: Record, dh: Tensor) -> Tensor:
    """What each step of an LSTM hands to the cell state before it, f ∂E/∂c, from ∂E/∂h of every step.

    Row k is what reaches c_k from step k+1; of the last step nothing. Rows in the order of the walk.
    """
    w, (states, _, recorded) = record.weights, record.unfolded
    p = linear(record.x, w.W_ih, w.b_ih)
    kept: Any = record.cell.step(p, (states[:-1], recorded.c_prev), w)[1]
    dm = dh if w.W_hr is None else dh @ w.W_hr
    d_c = dm * kept.o * (1 - kept.tanh_c * kept.tanh_c)
    over = torch.zeros_like(d_c)
    for k in reversed(range(len(dh) - 1)):
        over[k] = (d_c[k + 1] + over[k + 1]) * kept.f[k + 1]
    return over
