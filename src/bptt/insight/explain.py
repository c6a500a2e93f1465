"""The lesson's question, answered with numbers: what did every step contribute to the gradient of E_t?

The forward walk is recorded, then the error at step t alone is taken back with the same adjoint that trains
the network; the products with `delta` are kept per step and not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..equations import Cell, Weights
from ..equations.cell import State
from ..networks import Elman, SequenceModel, cross_entropy, squared_error
from ..unfold import (
    BatchSizes,
    Unfolded,
    input_gradient,
    outputs_of,
    unfold,
    unfold_adjoint,
    weight_factors,
)
from .text import explanation_text

Loss = str | Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Explanation:
    """What E_t, the error at one step, sends back through time. Steps count from 1.

    Attributes:
        t: the step whose error this is.
        loss: the loss's name.
        error: E_t, a scalar.
        gradient: ∂E_t/∂W for every parameter, by its name; shaped as the parameter.
        contributions: what each step k contributed to it, (K, *shape of the parameter), with K = t, or T
            where a direction walks backwards in time; summed over k they are the gradient.
        deltas: ∂E_t/∂a_k by layer ("l0", "l0_reverse", "l1", ...), of the pre-activations' input part:
            (K, G·H), or (K, B, G·H) for a batch.
        state_gradients: ∂E_t/∂s_k by layer, everything that flows into s_k counted: (K, R) or (K, B, R).
    """

    t: int
    loss: str
    error: Tensor
    gradient: dict[str, Tensor]
    contributions: dict[str, Tensor]
    deltas: dict[str, Tensor]
    state_gradients: dict[str, Tensor]

    @property
    def delta(self) -> Tensor:
        """`deltas` of the one layer there is: (t, S) for the lesson's network."""
        return _only("deltas", self.deltas)

    @property
    def state_gradient(self) -> Tensor:
        """`state_gradients` of the one layer there is: (t, S) for the lesson's network."""
        return _only("state_gradients", self.state_gradients)

    def numbers(self) -> dict[str, Any]:
        """Every number as plain lists, ready for JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def __str__(self) -> str:
        return explanation_text(self)


def explain(
    net: Elman | SequenceModel, x: Tensor, d: Tensor, t: int | None = None, loss: Loss = "squared_error"
) -> Explanation:
    """Take the error at step t back through all steps before it and say what each contributed.

    The network is explained as it is without dropout; its weights and their .grad stay as they are.

    Args:
        net: a `bptt.Elman` or `bptt.SequenceModel`.
        x: the input, as the network takes it: (T, I) or batched.
        d: what was desired at every step, laid out as y; class numbers lack y's last axis.
        t: the step whose error is explained, 1 to T. Default T, the last.
        loss: "squared_error" (of y_t), "cross_entropy" (computed from what is before the softmax), or a
            callable (y_t, d_t) -> scalar.

    Returns:
        the error, the gradients and their parts; print it.

    Raises:
        TypeError: net or loss is of another type.
        ValueError: t is outside 1..T, d does not fit y, or the loss is no scalar.

    >>> net = Elman(2, 3, 1)
    >>> e = explain(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    >>> tuple(e.contributions["W_s"].shape)
    (3, 3, 3)
    """
    if not isinstance(net, Elman | SequenceModel):
        raise TypeError(
            f"explain takes a bptt.Elman or a bptt.SequenceModel, got {type(net).__name__}; "
            "wrap a recurrent module: bptt.SequenceModel(module, output_size)"
        )
    if not isinstance(d, Tensor):
        raise TypeError(f"d must be a torch.Tensor, got {type(d).__name__}")
    recorder = _Recorder()
    with torch.no_grad(), _without_dropout(net):
        h = net.hidden(x, None, recorder)
    one = x.dim() == 2
    time = 1 if net.batch_first and not one else 0
    t = _checked_step(t, h.shape[time])
    if d.shape[: h.dim() - 1] != h.shape[:-1]:
        raise ValueError(
            f"d is {tuple(d.shape)}, but one target for each step of x needs {tuple(h.shape[:-1])} first"
        )
    h_t = h.select(time, t - 1)
    error, dz = _error_and_adjoint(net, h_t, d.select(time, t - 1), loss)
    W_y, parts = _through_readout(net, dz.reshape(-1, dz.shape[-1]), h_t.reshape(-1, h_t.shape[-1]))
    walks = _walk_back(net, recorder.walks, dz.reshape(-1, dz.shape[-1]) @ W_y, t)
    contributions = _by_name(net, walks)
    for name, part in parts.items():
        contributions[name] = part.new_zeros(len(walks[0].dh), *part.shape)
        contributions[name][t - 1] = part
    return Explanation(
        t=t,
        loss=loss if isinstance(loss, str) else getattr(loss, "__name__", "loss"),
        error=error,
        gradient={name: steps.sum(0) for name, steps in contributions.items()},
        contributions=contributions,
        deltas={walk.layer: walk.delta.squeeze(1) if one else walk.delta for walk in walks},
        state_gradients={walk.layer: walk.dh.squeeze(1) if one else walk.dh for walk in walks},
    )


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


class _Record(NamedTuple):
    """One layer and direction, walked forward."""

    cell: Cell
    x: Tensor
    weights: Weights[Tensor]
    unfolded: Unfolded

    def up_to(self, steps: int) -> _Record:
        """The same walk, ended after so many steps."""
        states, state, kept = self.unfolded
        kept = type(kept)(*(field[:steps] for field in kept))
        return self._replace(x=self.x[:steps], unfolded=Unfolded(states[: steps + 1], state, kept))


class _Recorder:
    """A walk that remembers what it walked."""

    def __init__(self) -> None:
        self.walks: list[_Record] = []

    def __call__(
        self, cell: Cell, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
    ) -> tuple[Tensor, State]:
        if batch_sizes is not None:
            raise TypeError(
                "packed sequences cannot be explained; pass one sequence, or a batch of one length"
            )
        unfolded = unfold(cell, x, state, weights)
        self.walks.append(_Record(cell, x, weights, unfolded))
        return outputs_of(unfolded.states, state[0].shape[0]), unfolded.state


class _Back(NamedTuple):
    """One layer and direction, walked back; rows in the order of time."""

    layer: str  # "l0", "l0_reverse", ...
    delta: Tensor  # (K, B, G·H)
    dh: Tensor  # (K, B, R)
    by_step: Weights[Tensor]  # (K, *shape of the weight)


def _error_and_adjoint(
    net: Elman | SequenceModel, h_t: Tensor, d_t: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
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


def _through_readout(net: Elman | SequenceModel, dz: Tensor, h_t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """W_y as (O, R), and ∂E_t/∂W_y = dzᵀ h_t, ∂E_t/∂b_y = dz, by their names."""
    weight, bias = net.readout_names()
    W_y = attrgetter(weight)(net).detach()
    dW = dz.mT @ h_t
    parts = {weight: dW.mT if net.row_vectors else dW}
    if bias is not None:
        parts[bias] = dz.sum(0)
    return W_y.mT if net.row_vectors else W_y, parts


def _walk_back(net: Elman | SequenceModel, records: list[_Record], dh_t: Tensor, t: int) -> list[_Back]:
    """Take ∂E/∂h at step t of the last layer, (B, D·R), back through all layers and directions."""
    directions = len(net.weight_names()[0])
    T, B, _ = records[0].x.shape
    K = t if directions == 1 else T  # a backward direction carries the error to later steps as well
    d_outputs = dh_t.new_zeros(K, B, dh_t.shape[-1])
    d_outputs[t - 1] = dh_t
    walks: list[_Back] = []
    for layer in reversed(range(len(records) // directions)):
        shares = d_outputs.chunk(directions, -1)
        d_outputs, of_layer = torch.zeros_like(records[layer * directions].x[:K]), []
        for direction, share in enumerate(shares):
            record = records[layer * directions + direction].up_to(K)
            back, dx = _back(f"l{layer}" + "_reverse" * direction, record, share, mirrored=direction == 1)
            of_layer.append(back)
            d_outputs = d_outputs + dx
        walks = of_layer + walks
    return walks


def _back(layer: str, record: _Record, d_outputs: Tensor, mirrored: bool) -> tuple[_Back, Tensor]:
    """One layer and direction walked back, and ∂E/∂(its input)."""

    def in_time(rows: Tensor) -> Tensor:
        return rows.flip(0) if mirrored else rows

    zeros = tuple(torch.zeros_like(s) for s in record.unfolded.state)
    adjoint = unfold_adjoint(record.cell, record.unfolded, record.weights, in_time(d_outputs), zeros)
    factors = weight_factors(record.x, record.unfolded, adjoint, record.weights)
    by_step = factors.each(lambda factor: in_time(factor.by_step()))
    back = _Back(layer, in_time(adjoint.delta_ih), in_time(adjoint.dh), by_step)
    return back, in_time(input_gradient(adjoint, record.weights))


def _by_name(net: Elman | SequenceModel, walks: list[_Back]) -> dict[str, Tensor]:
    """The contributions to each recurrent weight by its name, shaped as the network has it."""
    names = [names for layer in net.weight_names() for names in layer]
    return {
        name: steps.mT if net.row_vectors and steps.dim() == 3 else steps
        for names_of_walk, walk in zip(names, walks, strict=True)
        for name, steps in zip(names_of_walk, walk.by_step, strict=True)
        if name is not None and steps is not None
    }


def _checked_step(t: Any, T: int) -> int:
    if t is None:
        return T
    if not isinstance(t, int) or isinstance(t, bool):
        raise TypeError(f"t must be an int, the number of a step, got {type(t).__name__}")
    if not 1 <= t <= T:
        raise ValueError(f"t is {t}, but x has the steps 1 to {T}")
    return t


def _only(what: str, by_layer: dict[str, Tensor]) -> Tensor:
    if len(by_layer) != 1:
        layers = ", ".join(by_layer)
        raise ValueError(
            f"there are {len(by_layer)} layers and directions; choose one: {what}[...] of {layers}"
        )
    return next(iter(by_layer.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value
