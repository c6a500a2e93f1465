"""One error's gradient, split by step: the numbers, and how they print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from torch import Tensor

from ..html_tables import Bar, Row, scrolled, table_html
from ..text_tables import share, stretches, with_bar
from .svg import lowered

SHOWN = 12  # steps shown one by one; the others are summed in a row


class ExplanationPart(NamedTuple):
    """The contribution of some steps to the gradient of a parameter."""

    value: Tensor
    norm: float
    share: float  # the part of it that points along the gradient; all shares sum to 1


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
    def steps(self) -> int:
        """K, over how many steps it reaches: t, or T where a direction walks backwards in time."""
        return len(next(iter(self.state_gradients.values())))

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

    def part(self, name: str, steps: range) -> ExplanationPart:
        """The contribution of neighbouring steps, from 1, to the gradient of a parameter."""
        value = self.contributions[name][steps.start - 1 : steps.stop - 1].sum(0)
        return ExplanationPart(value, value.norm().item(), share(value, self.gradient[name]))

    def __str__(self) -> str:
        return explanation_text(self)

    def _repr_html_(self) -> str:
        return explanation_html(self) + scrolled(self.draw(self))


def explanation_text(e: Explanation) -> str:
    """Per matrix and step the norm and the share of the gradient, and how ∂E_t/∂s_k decays."""
    lines = [
        f"E_{e.t} = {e.error.item():.6g}   {e.loss.replace('_', ' ')} at step {e.t}, "
        f"backpropagated through {e.steps} {'step' if e.steps == 1 else 'steps'}",
        "share: the part of a contribution that points along the gradient; below 0 it works against it",
    ]
    for name in e.contributions:
        lines += ["", *_contribution_rows(e, name)]
    for layer, by_step in e.state_gradients.items():
        which = "" if len(e.state_gradients) == 1 else f" in {layer}"
        lines += ["", *_decay_rows(f"‖∂E_{e.t}/∂s_k‖{which}", by_step.flatten(1).norm(dim=1).tolist(), e.t)]
    return "\n".join(lines)


def _contribution_rows(e: Explanation, name: str) -> list[str]:
    shape = " x ".join(str(size) for size in e.gradient[name].shape)
    rows = [f"∂E_{e.t}/∂{name}   ({shape})   norm {e.gradient[name].norm().item():.4g}"]
    rows.append("   step k        norm     share")
    first = max(0, e.steps - SHOWN) + 1  # of those shown one by one
    spans = [range(1, first)] * (first > 1) + [range(k, k + 1) for k in range(first, e.steps + 1)]
    for span in spans:
        part, label = e.part(name, span), f"1 to {first - 1}" if span[0] < first else str(span[0])
        rows.append(with_bar(f"{label:>9}  {part.norm:>10.4g}  {part.share:>z7.1%}", abs(part.share)))
    return rows


def _decay_rows(title: str, norms: list[float], t: int) -> list[str]:
    at_t = norms[t - 1]
    rows = [f"{title}: what reaches each step in the backward pass", "        k        norm   of step t"]
    shown = range(len(norms), max(0, len(norms) - SHOWN), -1)
    for k in [*shown, 1] if len(norms) > SHOWN else shown:
        part = norms[k - 1] / at_t if at_t > 0 else 0.0
        row = f"{k:>9}  {norms[k - 1]:>10.4g}  {part:>9.1%}"
        rows.append(with_bar(row, part) if k in shown else row)
    if t > 1 and norms[0] > 0 and at_t > 0:
        factor = (norms[0] / at_t) ** (1 / (t - 1))
        rows.append(f"   each step back multiplies it by {factor:.3g} (geometric mean)")
    return rows


def explanation_html(e: Explanation) -> str:
    """Per step each contribution's norm and share, and ‖∂E_t/∂s_k‖; steps far from t are summed."""
    several = len(e.state_gradients) > 1
    head = ["step k", *(f"∂E_{e.t}/∂{name}" for name in e.contributions)]
    head += [f"‖∂E_{e.t}/∂s_k‖" + (f" in {layer}" if several else "") for layer in e.state_gradients]
    rows: list[Row] = []
    for span in stretches(e.steps, e.t, SHOWN):
        parts = (e.part(name, span) for name in e.contributions)
        cells = [Bar(f"{part.norm:.3g} ({part.share:z.1%})", part.share) for part in parts]
        if len(span) > 1:
            rows.append((f"{span[0]} to {span[-1]}", *cells, *("" for _ in e.state_gradients)))
        else:
            rows.append((f"{span[0]}", *cells, *(_state_cell(e, layer, span[0]) for layer in e.state_gradients)))
    total = (f"{gradient.norm().item():.3g}" for gradient in e.gradient.values())
    rows.append(("sum", *total, *("" for _ in e.state_gradients)))
    return table_html(
        head, rows, lowered(f"E_{e.t} = {e.error.item():.6g}") + "; the norm of each contribution and its share"
    )


def _state_cell(e: Explanation, layer: str, k: int) -> Bar:
    """‖∂E_t/∂s_k‖, its bar as a part of step t's."""
    norms = e.state_gradients[layer]
    norm, at_t = norms[k - 1].norm().item(), norms[e.t - 1].norm().item()
    return Bar(f"{norm:.3g}", norm / at_t if at_t > 0 else 0.0)


def _only(what: str, by_layer: dict[str, Tensor]) -> Tensor:
    if len(by_layer) != 1:
        layers = ", ".join(by_layer)
        raise ValueError(f"there are {len(by_layer)} layers and directions; choose one: {what}[...] of {layers}")
    return next(iter(by_layer.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value
