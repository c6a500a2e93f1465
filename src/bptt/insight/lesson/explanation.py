"""One error's gradient, split by step: the numbers, and how they print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from ..text_tables import explanation_html, explanation_text


@dataclass(frozen=True)
class Explanation:
    """The gradient of E_t, the error at one step, split by the steps that contributed to it. Steps count from 1.

    Attributes:
        t: the step whose error this is.
        loss: the loss's name.
        error: E_t, a scalar.
        gradient: ∂E_t/∂W for every parameter, by its name; shaped as the parameter.
        contributions: each step's part of it, (K, *shape of the parameter), with K = t, or T where a direction
            walks backwards in time; summed over k they are the gradient.
        deltas: ∂E_t/∂a_k by layer ("l0", "l0_reverse", "l1", ...), of the pre-activations' input part:
            (K, G·H), or (K, B, G·H) for a batch.
        state_gradients: ∂E_t/∂s_k by layer, over every path from s_k to E_t: (K, R) or (K, B, R).
        output_gradient: ∂E_t/∂z_t, with z_t = s_t W_y before any softmax: (O), or (B, O).
        input_gradients: ∂E_t/∂(the layer's input) by layer, through that layer and direction alone: (K, I).
        recurrent_gradients: the part of `state_gradients` that reaches s_k from the step after it, over W_s.
        cell_gradients: ∂E_t/∂c_k over the cell state of the step after it, by layer; of LSTMs only.
        draw: a function that draws it as SVG, for a notebook.
    """

    t: int
    loss: str
    error: Tensor
    gradient: dict[str, Tensor]
    contributions: dict[str, Tensor]
    deltas: dict[str, Tensor]
    state_gradients: dict[str, Tensor]
    output_gradient: Tensor
    input_gradients: dict[str, Tensor]
    recurrent_gradients: dict[str, Tensor]
    cell_gradients: dict[str, Tensor]
    draw: Callable[[Explanation], str] = field(repr=False, compare=False)

    @property
    def delta(self) -> Tensor:
        """`deltas` of the one layer there is, (t, S) for the lesson's network."""
        return _only("deltas", self.deltas)

    @property
    def state_gradient(self) -> Tensor:
        """`state_gradients` of the one layer there is, (t, S) for the lesson's network."""
        return _only("state_gradients", self.state_gradients)

    def numbers(self) -> dict[str, Any]:
        """Every number as plain lists, ready for JSON."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "draw"}

    def __str__(self) -> str:
        return explanation_text(
            self.t, self.loss, self.error, self.gradient, self.contributions, self.state_gradients
        )

    def _repr_html_(self) -> str:
        return explanation_html(self.t, self.error, self.gradient, self.contributions, self.state_gradients) + (
            f'<div style="overflow-x:auto">{self.draw(self)}</div>'
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
