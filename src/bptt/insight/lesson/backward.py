"""One error's backward pass through a network, with what every edge of the unfolded network carries."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...networks import Elman, SequenceModel
from ..plain_models import (
    Criterion,
    Record,
    WalkedBack,
    check_call,
    checked_step,
    error_and_adjoint,
    into_hidden,
    record_layers,
    walk_back,
)
from ..refusing import refused
from .notation import LessonNetwork


class ErrorBackward(NamedTuple):
    """The backward pass of E_t, the error at one step."""

    t: int
    error: Tensor
    dz: Tensor  # (B, O): ∂E_t/∂z_t, with z_t = h_t W_y before any softmax
    h_t: Tensor  # (B, D·R)
    d_outputs: Tensor  # (K, B, D·R): ∂E_t/∂h of the last layer, 0 but at step t
    walks: dict[str, WalkedBack]  # "l0", "l0_reverse", "l1", ...


@torch.no_grad()
def backward_of_error(
    net: LessonNetwork, x: Tensor, d: Tensor, criterion: Criterion, t: int | None = None
) -> ErrorBackward:
    """The backward pass of the error at step t (None: the last) over x; checked as `explain` says."""
    check_network(net)
    check_call(criterion)
    if not isinstance(d, Tensor):
        raise TypeError(f"d must be a torch.Tensor, got {type(d).__name__}")
    h, records = record_layers(net, x)
    time = 1 if net.batch_first and x.dim() == 3 else 0
    t = h.shape[time] if t is None else checked_step(t, h.shape[time])
    if d.shape[: h.dim() - 1] != h.shape[:-1]:
        raise ValueError(
            f"d is {tuple(d.shape)}, but one target for each step of x needs {tuple(h.shape[:-1])} first"
        )
    h_t = h.select(time, t - 1)
    error, dz = error_and_adjoint(net, h_t, d.select(time, t - 1), criterion)
    dz, h_t = dz.reshape(-1, dz.shape[-1]), h_t.reshape(-1, h_t.shape[-1])
    steps = t if len(records[0]) == 1 else h.shape[time]
    d_outputs = h.new_zeros(steps, len(h_t), h.shape[-1])
    d_outputs[t - 1] = into_hidden(net, dz)
    walks = {walk.layer: walk for walk in walk_back(records, d_outputs)}
    return ErrorBackward(t, error, dz, h_t, d_outputs, walks)


def check_network(net: Any) -> None:
    """Raise a TypeError for anything but the two kinds of network whose equations are known as a whole."""
    if not isinstance(net, Elman | SequenceModel):
        raise TypeError(f"a bptt.Elman or a bptt.SequenceModel is needed, got {refused(net, 'explain')}")


def check_both_or_neither(x: Any, d: Any) -> None:
    """Raise a TypeError if only one of the two is None."""
    if (x is None) != (d is None):
        raise TypeError("numbers need both x and d; pass both, or neither for the network alone")


def criterion_name(criterion: Criterion) -> str:
    """A criterion's name, as it is shown."""
    return getattr(criterion, "__name__", "loss")


@torch.no_grad()
def activation_slopes(record: Record) -> Tensor:
    """Φ'(a_k) of an Elman cell, (T, B, H)."""
    p = linear(record.x, record.weights.W_ih, record.weights.b_ih)
    cell: Any = record.cell
    phi = cell.step(p, (record.states[:-1],), record.weights)[1].phi
    return cell.activation.adjoint(torch.ones_like(phi), phi)


@torch.no_grad()
def over_cell_state(walk: WalkedBack) -> Tensor:
    """The gradient that each c_k of an LSTM gets over c_{k+1}, f ∂E/∂c; 0 where no step follows, (K, B, H)."""
    record, dh = walk.record, walk.adjoint.dh  # in the order of the layer's direction
    w = record.weights
    p = linear(record.x, w.W_ih, w.b_ih)
    kept: Any = record.cell.step(p, record.recording.before, w)[1]
    dm = dh if w.W_hr is None else dh @ w.W_hr
    d_c = dm * kept.o * (1 - kept.tanh_c * kept.tanh_c)
    over = torch.zeros_like(d_c)
    for k in reversed(range(len(dh) - 1)):
        over[k] = (d_c[k + 1] + over[k + 1]) * kept.f[k + 1]
    return record.in_time(over)
