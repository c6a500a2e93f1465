"""The lesson's question, answered with numbers: what did every step contribute to the gradient of E_t?

The forward walk is recorded, then the error at step t alone is taken back with the same adjoint that trains
the network; the products with `delta` are kept per step and not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from .text import explanation_text
from .walks import Loss, Network, TakenBack, WalkedBack, take_back, through_readout


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


def explain(net: Network, x: Tensor, d: Tensor, t: int | None = None, loss: Loss = "squared_error") -> Explanation:
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
    >>> from bptt import Elman
    >>> net = Elman(2, 3, 1)
    >>> e = explain(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    >>> tuple(e.contributions["W_s"].shape)
    (3, 3, 3)
    """
    return explained(net, take_back(net, x, d, t, loss), loss, one=x.dim() == 2)


def explained(net: Network, taken: TakenBack, loss: Loss, one: bool) -> Explanation:
    """What was taken back, as an explanation; `one` is for a sequence without a batch."""
    walks = taken.walks
    contributions = _by_name(net, walks)
    for name, part in through_readout(net, taken.dz, taken.h_t).items():
        contributions[name] = part.new_zeros(len(walks[0].dh), *part.shape)
        contributions[name][taken.t - 1] = part
    return Explanation(
        t=taken.t,
        loss=loss if isinstance(loss, str) else getattr(loss, "__name__", "loss"),
        error=taken.error,
        gradient={name: steps.sum(0) for name, steps in contributions.items()},
        contributions=contributions,
        deltas={walk.layer: walk.delta.squeeze(1) if one else walk.delta for walk in walks},
        state_gradients={walk.layer: walk.dh.squeeze(1) if one else walk.dh for walk in walks},
    )


def _by_name(net: Network, walks: list[WalkedBack]) -> dict[str, Tensor]:
    """The contributions to each recurrent weight by its name, shaped as the network has it."""
    names = [names for layer in net.weight_names() for names in layer]
    return {
        name: steps.mT if net.row_vectors and steps.dim() == 3 else steps
        for names_of_walk, walk in zip(names, walks, strict=True)
        for name, steps in zip(names_of_walk, walk.by_step(), strict=True)
        if name is not None and steps is not None
    }


def _only(what: str, by_layer: dict[str, Tensor]) -> Tensor:
    if len(by_layer) != 1:
        layers = ", ".join(by_layer)
        raise ValueError(f"there are {len(by_layer)} layers and directions; choose one: {what}[...] of {layers}")
    return next(iter(by_layer.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value
