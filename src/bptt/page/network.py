"""A network on a sequence as plain data, from which the page computes everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import l1_loss

from ..equations import ACTIVATIONS, ElmanEquations
from ..insight.lesson.notation import LessonNetwork, matrices
from ..insight.plain_models import Criterion
from ..losses import cross_entropy, squared_error
from ..networks import Elman

MOST_UNITS = 64  # of a layer that a page computes with
MOST_STEPS = 500  # that a page shows
EXACT = 5_000  # numbers of weights that are written with all their digits; of more, nine
ROLES = {
    "W_ih": "input",
    "W_hh": "recurrent",
    "b_ih": "input_bias",
    "b_hh": "recurrent_bias",
    "W_hr": "projection",
}


def absolute_error(y: Tensor, d: Tensor) -> Tensor:
    """E = Σ |d - y|."""
    return l1_loss(y, d, reduction="sum")


LOSSES: dict[str, Criterion] = {
    "squared_error": squared_error,
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
class Subject:
    """What a page is about.

    Attributes:
        longest: the network over the longest sequence there is.
        steps: how many of its steps are shown at first.
        grows: where a longer sequence gets its further steps: at its "end", or at its "start", as a run's last
            steps do.
    """

    longest: Experiment
    steps: int
    grows: Literal["end", "start"] = "end"

    def shown(self) -> Experiment:
        """The experiment over the steps that are shown at first."""
        steps = slice(self.steps) if self.grows == "end" else slice(len(self.longest.x) - self.steps, None)
        return self.longest._replace(x=self.longest.x[steps], d=self.longest.d[steps])


@dataclass(frozen=True)
class Weight:
    """One parameter, laid out as the formulas multiply it: x_t W_x."""

    name: str  # the parameter's
    latex: str  # its letter: "W_x", "W_x^{(2)}"
    role: str  # one of `ROLES`, "readout" or "readout_bias"
    layer: str | None  # None for the read-out
    values: list[Any] | None  # None where the page does not compute


@dataclass(frozen=True)
class NetworkData:
    """A network, as the page computes with it."""

    cell: str  # "elman", "gru" or "lstm"
    activation: str  # of an Elman cell; the others have tanh
    leak: float
    loss: str  # one of `LOSSES`
    layers: list[str]
    weights: list[Weight]


def network_data(net: LessonNetwork, criterion: Criterion) -> NetworkData:
    """A network as plain data.

    Raises:
        ValueError: a direction walks backwards in time, or the page does not know the loss.
    """
    if len(net.weight_names()[0]) != 1:
        raise ValueError("a bidirectional network cannot be explored: its error reaches later steps as well")
    loss = next((name for name, known in LOSSES.items() if known is criterion), None)
    if loss is None:
        raise ValueError(f"the page knows the losses {', '.join(LOSSES)}; got {criterion!r}")
    cell: Any = net.cell
    elman = isinstance(cell, ElmanEquations)
    parameters, live = dict(net.named_parameters()), is_live(net)
    exact = sum(parameter.numel() for parameter in parameters.values()) <= EXACT
    weights = []
    for matrix in matrices(net):
        role = ROLES.get(matrix.field) or ("readout" if matrix.role == "y" else "readout_bias")
        layer = None if matrix.at is None else matrix.at.name
        value = parameters[matrix.name].detach().double()
        value = value.mT if value.dim() == 2 and not net.row_vectors else value
        values = (value.tolist() if exact else rounded(value, 9)) if live else None
        weights.append(Weight(matrix.name, matrix.latex, role, layer, values))
    layers = [f"l{i}" for i in range(len(net.weight_names()))]
    activation, leak = (cell.activation.name, cell.leak) if elman else ("tanh", 1.0)
    return NetworkData(cell.name.lower(), activation, leak, loss, layers, weights)


def is_live(net: LessonNetwork) -> bool:
    """Whether a page computes with this network: up to `MOST_UNITS` units, Φ among `ACTIVATIONS`."""
    cell: Any = net.cell
    known = not isinstance(cell, ElmanEquations) or ACTIVATIONS.get(cell.activation.name) == cell.activation
    units = net.state_size if isinstance(net, Elman) else net.recurrent.hidden_size
    return known and units <= MOST_UNITS


def choices(net: LessonNetwork, loss: str) -> dict[str, list[str]]:
    """The losses and activations that a reader may choose.

    Cross entropy needs two classes and an output made for it; gated cells have no choice of Φ.
    """
    elman = isinstance(net, Elman)
    classes = elman and net.output_size > 1
    losses = [name for name in LOSSES if name != "cross_entropy" or classes]
    if not elman and loss == "cross_entropy":
        losses = ["cross_entropy"]  # its outputs are scores, which no other loss compares
    return {"losses": losses, "activations": list(ACTIVATIONS) if isinstance(net.cell, ElmanEquations) else []}


def rounded(values: Tensor, digits: int = 5) -> Any:
    """A tensor as nested lists of numbers of so many significant digits; None for what is not finite."""

    def of(value: Any) -> Any:
        if isinstance(value, list):
            return [of(part) for part in value]
        return float(f"{value:.{digits}g}") if abs(value) < float("inf") else None

    return of(values.detach().tolist())
