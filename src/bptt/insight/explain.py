"""The lesson's question, answered with numbers: what did every step contribute to the gradient of E_t?

The forward walk is recorded, then the error at step t alone is taken back with the same adjoint that trains
the network; the products with `delta` are kept per step and not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from ..networks import Elman, SequenceModel
from .text import explanation_text
from .walks import (
    Loss,
    checked_step,
    error_and_adjoint,
    factors_by_name,
    into_hidden,
    readout_factors,
    record,
    walk_back,
)


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
        return explanation_text(
            self.t, self.loss, self.error, self.gradient, self.contributions, self.state_gradients
        )


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

    >>> import torch
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
    h, records = record(net, x)
    one = x.dim() == 2
    time = 1 if net.batch_first and not one else 0
    t = h.shape[time] if t is None else checked_step("t", t, h.shape[time])
    if d.shape[: h.dim() - 1] != h.shape[:-1]:
        raise ValueError(
            f"d is {tuple(d.shape)}, but one target for each step of x needs {tuple(h.shape[:-1])} first"
        )
    h_t = h.select(time, t - 1)
    error, dz = error_and_adjoint(net, h_t, d.select(time, t - 1), loss)
    dz_rows, h_rows = dz.reshape(-1, dz.shape[-1]), h_t.reshape(-1, h_t.shape[-1])
    steps = t if len(records[0]) == 1 else h.shape[time]
    d_outputs = h.new_zeros(steps, len(h_rows), h.shape[-1])
    d_outputs[t - 1] = into_hidden(net, dz_rows)
    walks = walk_back(records, d_outputs)
    contributions = {name: factor.by_step() for name, factor in factors_by_name(net, walks).items()}
    for name, factor in readout_factors(net, dz_rows, h_rows).items():
        part = factor.summed()
        contributions[name] = part.new_zeros(steps, *part.shape)
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


def _only(what: str, by_layer: dict[str, Tensor]) -> Tensor:
    if len(by_layer) != 1:
        layers = ", ".join(by_layer)
        raise ValueError(f"there are {len(by_layer)} layers and directions; choose one: {what}[...] of {layers}")
    return next(iter(by_layer.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value
