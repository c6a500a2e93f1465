"""A network and a sequence, changed as a reader asks: a weight, Φ, the leak, the sequence, the loss, T.

Changes come as plain data from outside, and are checked here entry by entry before anything is computed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, one_hot

from ...equations import ACTIVATIONS, ElmanEquations
from ...networks import Elman, SequenceModel
from ..walks import Loss, error_and_adjoint
from .exploration import SHOWN_WEIGHTS, most_steps

CHANGES = ("weights", "activation", "leak", "x", "d", "loss", "steps")
LARGEST = 1e6  # of a number that may be entered


def absolute_error(y: Tensor, d: Tensor) -> Tensor:
    """E = Σ |d - y|."""
    return l1_loss(y, d, reduction="sum")


LOSSES: dict[str, Loss] = {
    "squared_error": "squared_error",
    "absolute_error": absolute_error,
    "cross_entropy": "cross_entropy",
}


class Situation(NamedTuple):
    """A network on a sequence, with its loss."""

    net: Elman | SequenceModel
    x: Tensor  # (T, I)
    d: Tensor  # (T, O), or class numbers (T)
    loss: Loss


@dataclass(frozen=True)
class Start:
    """What a reader starts from.

    Attributes:
        situation: the network as it was, over the longest sequence there is.
        steps: how many of its steps are shown at first.
        grows: where a longer sequence gets its further steps: at its "end", or at its "start", as a run's last
            steps do.
    """

    situation: Situation
    steps: int
    grows: Literal["end", "start"]

    def shown(self) -> Situation:
        """The situation over the steps that are shown at first."""
        net, x, d, loss = self.situation
        steps = slice(self.steps) if self.grows == "end" else slice(len(x) - self.steps, None)
        return Situation(net, x[steps], d[steps], loss)

    def losses(self) -> list[str]:
        """The losses this network can have: cross entropy needs two classes, and an output made for it."""
        net = self.situation.net
        if not isinstance(net, Elman) and _name_of(self.situation.loss) == "cross_entropy":
            return ["cross_entropy"]  # its outputs are scores, which no other loss compares
        classes = isinstance(net, Elman) and net.output_size > 1
        return [name for name in LOSSES if name != "cross_entropy" or classes]

    def activations(self) -> list[str]:
        """The activations it can have; none for gated cells."""
        return list(ACTIVATIONS) if isinstance(_cell(self.situation.net), ElmanEquations) else []

    def most_steps(self) -> int:
        """The longest sequence that can be shown."""
        return min(len(self.situation.x), most_steps(self.situation.net))


def varied(start: Start, changes: Any) -> Situation:
    """The situation with these changes, a new one.

    Args:
        start: what is changed.
        changes: any of "weights" {name: nested lists}, "activation", "leak", "x", "d", "loss" and "steps".

    Raises:
        ValueError: a change is unknown, of another shape or out of its range.
    """
    if not isinstance(changes, dict):
        raise ValueError(f"changes must be an object with any of {', '.join(CHANGES)}")
    for name in changes:
        if name not in CHANGES:
            raise ValueError(f"there is no change {_short(name)}; the changes are {', '.join(CHANGES)}")
    loss = changes.get("loss", _name_of(start.situation.loss))
    if loss not in start.losses():
        raise ValueError(f"loss must be one of {', '.join(start.losses())}, got {_short(loss)}")
    net = _network(start, changes, softmax=loss == "cross_entropy")
    x, d = _sequence(start, changes)
    return Situation(net, x, _targets(d, loss, start), LOSSES[loss])


def descended(situation: Situation, rate: Any, t: Any = None) -> Situation:
    """The situation after one step of gradient descent, W ← W - rate ∂E/∂W.

    Args:
        situation: where the step starts.
        rate: how far it goes, above 0.
        t: the step whose error it descends, from 1; None for the sum of all errors.

    Raises:
        ValueError: rate or t is out of its range, or the gradient is not finite.
    """
    net, x, d, loss = situation
    rate = _number("rate", rate, 0, 1e3)
    if t is not None:
        t = _whole("t", t, 1, len(x))
    net = copy.deepcopy(net)
    names, parameters = zip(*net.named_parameters(), strict=True)
    with torch.enable_grad():
        h = net.hidden(x)
        z = net.readout(h)
    _, dz = error_and_adjoint(net, h.detach(), d, loss)
    if t is not None:
        dz = torch.where(torch.arange(len(x))[:, None] == t - 1, dz, 0.0)
    gradients = torch.autograd.grad(z, parameters, dz, materialize_grads=True)
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        if not gradient.isfinite().all():
            raise ValueError(f"the gradient of {name} is not finite, so no step can be taken; reset")
        with torch.no_grad():
            parameter -= rate * gradient
    return Situation(net, x, d, loss)


def _cell(net: Elman | SequenceModel) -> Any:
    return net.cell if isinstance(net, Elman) else net.recurrent.cell


def _name_of(loss: Loss) -> str:
    return next(name for name, known in LOSSES.items() if known == loss)


def _network(start: Start, changes: dict[str, Any], softmax: bool) -> Elman | SequenceModel:
    net = copy.deepcopy(start.situation.net)
    if isinstance(net, Elman):
        net.softmax = softmax
    _set_weights(net, changes.get("weights", {}))
    cell = _cell(net)
    if "activation" in changes or "leak" in changes:
        if not isinstance(cell, ElmanEquations):
            raise ValueError(f"activation and leak are choices of the Elman cell; this is a {cell.name}")
        name = changes.get("activation", cell.activation.name)
        if name not in list(ACTIVATIONS):
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {_short(name)}")
        cell = ElmanEquations(ACTIVATIONS[name], _number("leak", changes.get("leak", cell.leak), 0, 1))
        (net if isinstance(net, Elman) else net.recurrent).cell = cell
    return net


def _set_weights(net: Elman | SequenceModel, weights: Any) -> None:
    if not isinstance(weights, dict):
        raise ValueError("weights must be an object of nested lists by name")
    parameters = dict(net.named_parameters())
    if weights and sum(parameter.numel() for parameter in parameters.values()) > SHOWN_WEIGHTS:
        raise ValueError(f"weights can be changed in networks of up to {SHOWN_WEIGHTS} of them; this one has more")
    for name, values in weights.items():
        if name not in parameters:
            raise ValueError(f"there is no weight {_short(name)}; the weights are {', '.join(parameters)}")
        with torch.no_grad():
            parameters[name].copy_(_tensor(name, values, tuple(parameters[name].shape)))


def _sequence(start: Start, changes: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """x and d over the steps asked for: what was entered, filled up from the start's where it is shorter."""
    _, all_x, all_d, _ = start.situation
    T = _whole("steps", changes.get("steps", start.steps), 1, start.most_steps())
    x = _rows("x", changes["x"], start, all_x.shape[1:]) if "x" in changes else None
    d = None
    if "d" in changes:
        d = changes["d"]
        classes = isinstance(d, list) and bool(d) and all(isinstance(row, int) for row in d)
        outputs = start.situation.net.readout_matrix().shape[0]
        d = _classes(d, start, outputs) if classes else _rows("d", d, start, torch.Size([outputs]))
    return _fitted(x, all_x, T, start.grows), _fitted(d, all_d, T, start.grows)


def _fitted(rows: Tensor | None, longest: Tensor, T: int, grows: str) -> Tensor:
    if rows is None:
        return longest[:T] if grows == "end" else longest[len(longest) - T :]
    if rows.dim() != longest.dim():
        longest = _other_form(longest, rows)
    if grows == "end":
        return torch.cat([rows[:T], longest[len(rows) : T]])
    missing = max(0, T - len(rows))
    before = longest[len(longest) - T : len(longest) - T + missing]
    return torch.cat([before, rows[max(0, len(rows) - T) :]])


def _other_form(d: Tensor, like: Tensor) -> Tensor:
    """Targets as class numbers where they were vectors, and the other way round."""
    return d.argmax(-1) if d.dim() == 2 else one_hot(d, like.shape[-1]).to(like.dtype)


def _targets(d: Tensor, loss: str, start: Start) -> Tensor:
    """d in the form that the loss takes."""
    if (d.dim() == 1) == (loss == "cross_entropy"):
        return d
    weights = start.situation.net.readout_matrix()
    return _other_form(d, weights.new_empty(len(d), len(weights)))


def _rows(name: str, rows: Any, start: Start, width: torch.Size) -> Tensor:
    if not isinstance(rows, list) or not 1 <= len(rows) <= start.most_steps():
        raise ValueError(f"{name} must be a list of 1 to {start.most_steps()} rows")
    return _tensor(name, rows, (len(rows), *width)).to(start.situation.x)


def _classes(rows: list[int], start: Start, classes: int) -> Tensor:
    if len(rows) > start.most_steps():
        raise ValueError(f"d must be a list of 1 to {start.most_steps()} rows")
    if not all(0 <= row < classes for row in rows):
        raise ValueError(f"class numbers in d must lie between 0 and {classes - 1}")
    return torch.tensor(rows)


def _tensor(name: str, values: Any, shape: tuple[int, ...]) -> Tensor:
    """Nested lists of numbers of exactly this shape."""

    def read(part: Any, sizes: tuple[int, ...]) -> Any:
        if not sizes:
            return _number(f"every number in {name}", part, -LARGEST, LARGEST, including=True)
        if not isinstance(part, list) or len(part) != sizes[0]:
            raise ValueError(f"{name} must be nested lists of shape {shape}")
        return [read(inner, sizes[1:]) for inner in part]

    return torch.tensor(read(values, shape), dtype=torch.float64)


def _number(name: str, value: Any, above: float, most: float, including: bool = False) -> float:
    fits: Callable[[float], bool] = lambda v: above < v <= most or (including and v == above)  # noqa: E731
    if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value) or math.isnan(value):
        wanted = f"from {above:g} to {most:g}" if including else f"above {above:g} and at most {most:g}"
        raise ValueError(f"{name} must be a number {wanted}, got {_short(value)}")
    return float(value)


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    """A value from outside as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
