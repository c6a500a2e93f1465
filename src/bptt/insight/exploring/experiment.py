"""A network on a sequence that a reader can change: a weight, Φ, the leak, the sequence, the loss, its length.

Changes come as plain data from outside; every entry is checked before anything is computed.
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

from ... import networks
from ...equations import ACTIVATIONS, ElmanEquations
from ...networks import Elman, cross_entropy
from ..contributions import contributions
from ..lesson.notation import LessonNetwork
from ..plain_models import Criterion
from .exploration import SHOWN_WEIGHTS, most_steps

CHANGES = ("weights", "activation", "leak", "x", "d", "loss", "steps")
LARGEST = 1e6  # of a number that may be entered


def absolute_error(y: Tensor, d: Tensor) -> Tensor:
    """E = Σ |d - y|."""
    return l1_loss(y, d, reduction="sum")


LOSSES: dict[str, Criterion] = {
    "squared_error": networks.squared_error,
    "absolute_error": absolute_error,
    "cross_entropy": cross_entropy,
}


class Experiment(NamedTuple):
    """A network on a sequence, with its loss."""

    model: LessonNetwork
    x: Tensor  # (T, I)
    d: Tensor  # (T, O), or class numbers (T)
    criterion: Criterion


@dataclass(frozen=True)
class ExperimentStart:
    """The experiment that a reader starts from, and the choices it leaves.

    Attributes:
        longest: the network as it was, over the longest sequence there is.
        steps: how many of its steps are shown at first.
        grows: where a longer sequence gets its further steps: at its "end", or at its "start", as a run's last
            steps do.
    """

    longest: Experiment
    steps: int
    grows: Literal["end", "start"]

    def shown(self) -> Experiment:
        """The experiment over the steps that are shown at first."""
        steps = slice(self.steps) if self.grows == "end" else slice(len(self.longest.x) - self.steps, None)
        return self.longest._replace(x=self.longest.x[steps], d=self.longest.d[steps])

    @property
    def loss(self) -> str:
        """The name of its loss."""
        return next(name for name, criterion in LOSSES.items() if criterion == self.longest.criterion)

    def losses(self) -> list[str]:
        """The losses this network can have: cross entropy needs two classes, and an output made for it."""
        model = self.longest.model
        if not isinstance(model, Elman) and self.loss == "cross_entropy":
            return ["cross_entropy"]  # its outputs are scores, which no other loss compares
        classes = isinstance(model, Elman) and model.output_size > 1
        return [name for name in LOSSES if name != "cross_entropy" or classes]

    def activations(self) -> list[str]:
        """The activations it can have; none for gated cells."""
        return list(ACTIVATIONS) if isinstance(self.longest.model.cell, ElmanEquations) else []

    def most_steps(self) -> int:
        """The longest sequence that can be shown."""
        return min(len(self.longest.x), most_steps(self.longest.model))


def change(start: ExperimentStart, changes: Any) -> Experiment:
    """A new experiment with these changes.

    Args:
        start: the experiment before them.
        changes: any of "weights" {name: nested lists}, "activation", "leak", "x", "d", "loss" and "steps".

    Raises:
        ValueError: a change is unknown, of another shape or out of its range.
    """
    if not isinstance(changes, dict):
        raise ValueError(f"changes must be an object with any of {', '.join(CHANGES)}")
    for name in changes:
        if name not in CHANGES:
            raise ValueError(f"there is no change {_short(name)}; the changes are {', '.join(CHANGES)}")
    loss = _choice("loss", changes.get("loss", start.loss), start.losses())
    x, d = _sequence(start, changes)
    if (d.dim() == 1) != (loss == "cross_entropy"):
        d = _classes_or_vectors(d, len(start.longest.model.readout_matrix()), x.dtype)
    return Experiment(_network(start.longest.model, changes, loss == "cross_entropy"), x, d, LOSSES[loss])


def descend(experiment: Experiment, rate: Any, t: Any = None) -> Experiment:
    """The experiment after one step of gradient descent, W ← W - rate ∂E/∂W.

    Args:
        experiment: where the step starts.
        rate: the learning rate, above 0.
        t: the step whose error it descends, from 1; None for the sum of all errors.

    Raises:
        ValueError: rate or t is out of its range, or the gradient is not finite.
    """
    model, x, d, criterion = experiment
    rate = _number("rate", rate, 0, 1e3)
    if t is not None:
        t = _whole("t", t, 1, len(x))
    gradient = contributions(model, x, d, criterion, t=t).gradient
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        if not gradient[name].isfinite().all():
            raise ValueError(f"the gradient of {name} is not finite, so no step can be taken; reset")
        with torch.no_grad():
            parameter -= rate * gradient[name]
    return experiment._replace(model=model)


def _network(model: LessonNetwork, changes: dict[str, Any], softmax: bool) -> LessonNetwork:
    model = copy.deepcopy(model)
    if isinstance(model, Elman):
        model.softmax = softmax
    _set_weights(model, changes.get("weights", {}))
    cell = model.cell
    if "activation" in changes or "leak" in changes:
        if not isinstance(cell, ElmanEquations):
            raise ValueError(f"activation and leak are choices of the Elman cell; this is a {cell.name}")
        name = _choice("activation", changes.get("activation", cell.activation.name), list(ACTIVATIONS))
        leak = _number("leak", changes.get("leak", cell.leak), 0, 1)
        (model if isinstance(model, Elman) else model.recurrent).cell = ElmanEquations(ACTIVATIONS[name], leak)
    return model


def _set_weights(model: LessonNetwork, weights: Any) -> None:
    if not isinstance(weights, dict):
        raise ValueError("weights must be an object of nested lists by name")
    parameters = dict(model.named_parameters())
    if weights and sum(parameter.numel() for parameter in parameters.values()) > SHOWN_WEIGHTS:
        raise ValueError(f"weights can be changed in networks of up to {SHOWN_WEIGHTS} of them; this one has more")
    for name, values in weights.items():
        if name not in parameters:
            raise ValueError(f"there is no weight {_short(name)}; the weights are {', '.join(parameters)}")
        with torch.no_grad():
            parameters[name].copy_(_tensor(name, values, tuple(parameters[name].shape)))


def _sequence(start: ExperimentStart, changes: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """x and d over the steps asked for: the rows entered, with the start's where they are fewer."""
    model, all_x, all_d, _ = start.longest
    most = start.most_steps()
    T = _whole("steps", changes.get("steps", start.steps), 1, most)
    x = all_x[:0] if "x" not in changes else _rows("x", changes["x"], most, all_x.shape[1]).to(all_x)
    d, outputs = changes.get("d"), len(model.readout_matrix())
    if d is None and "d" not in changes:
        d = all_d[:0]
    elif isinstance(d, list) and d and all(isinstance(row, int) for row in d):
        d = _classes(d, most, outputs)
    else:
        d = _rows("d", d, most, outputs).to(all_x)
    if d.dim() != all_d.dim():
        all_d = _classes_or_vectors(all_d, outputs, all_x.dtype)
    return _filled(x, all_x, T, start.grows), _filled(d, all_d, T, start.grows)


def _filled(rows: Tensor, longest: Tensor, T: int, grows: str) -> Tensor:
    """T rows, those missing from the longest sequence."""
    if grows == "end":
        return torch.cat([rows[:T], longest[len(rows) : T]])
    missing = max(0, T - len(rows))
    before = longest[len(longest) - T : len(longest) - T + missing]
    return torch.cat([before, rows[max(0, len(rows) - T) :]])


def _classes_or_vectors(d: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Targets as class numbers where they were vectors, and the other way round."""
    return d.argmax(-1) if d.dim() == 2 else one_hot(d, classes).to(dtype)


def _rows(name: str, rows: Any, most: int, width: int) -> Tensor:
    if not isinstance(rows, list) or not 1 <= len(rows) <= most:
        raise ValueError(f"{name} must be a list of 1 to {most} rows")
    return _tensor(name, rows, (len(rows), width))


def _classes(rows: list[int], most: int, classes: int) -> Tensor:
    if len(rows) > most:
        raise ValueError(f"d must be a list of 1 to {most} rows")
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


def _choice(name: str, value: Any, choices: list[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {_short(value)}")
    return value


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
