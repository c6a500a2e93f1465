"""The numbers of one network on one sequence that the page shows, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...equations import ElmanEquations
from ...networks import squared_error
from ..lags import Detail, ErrorsByLag, errors_by_lag
from ..lesson.backward import activation_slopes, criterion_name
from ..lesson.notation import LessonNetwork, matrices
from ..pairs import mean_by_lag
from ..plain_models import Criterion, Record, error_and_adjoint, record_layers

Rows = list[Any]
KEPT = 24  # lags whose numbers are kept one by one for every step; the earlier ones are summed
NUMBERS = 80_000  # that a page may hold of vectors and matrices
SHOWN_WEIGHTS = 5_000  # numbers of weights that a page may hold
BINS = 100  # rows and columns of a heat map
ROLES = {
    "W_ih": "input",
    "W_hh": "recurrent",
    "b_ih": "input_bias",
    "b_hh": "recurrent_bias",
    "W_hr": "projection",
}
WORK = 40_000_000_000  # multiplications that an exploration may cost


@dataclass(frozen=True)
class Weight:
    """One parameter."""

    name: str
    label: str  # its letters: "W_x", or "W_x l0" where there are several layers
    role: str  # one of `ROLES`, "readout" or "readout_bias"
    layer: str | None  # None for the read-out
    shape: list[int]
    values: Rows | None  # exact; None for more weights than a page may hold


@dataclass(frozen=True)
class Forward:
    """The forward pass, a row for each step.

    Attributes:
        states: s_k by layer; before: the initial state s_0.
        slopes: Φ'(a_k) by layer; empty for gated cells.
        products: x_k W_x or s_{k-1} W_s, by weight.
        outputs: y_k.
        errors: E_k.
    """

    states: dict[str, Rows]
    before: dict[str, Rows]
    slopes: dict[str, Rows]
    products: dict[str, Rows]
    outputs: Rows
    errors: Rows


@dataclass(frozen=True)
class Backward:
    """The backward pass of every error; by step t, and within it by lag up to ``kept``, the nearest first.

    Attributes:
        kept: how many lags are kept one by one.
        detail: "matrices" holds everything; "vectors" leaves parts out, "norms" also states and deltas.
        earlier: the summed share of the steps before those kept, by weight.
        outputs: ∂E_t/∂z_t, z_t being the output before any softmax.
        flow, norm, share, total, states, deltas, parts: as in `ErrorsByLag`.
    """

    kept: int
    detail: Detail
    flow: dict[str, Rows]
    norm: dict[str, Rows]
    share: dict[str, Rows]
    total: dict[str, Rows]
    earlier: dict[str, Rows]
    outputs: Rows
    states: dict[str, Rows]
    deltas: dict[str, Rows]
    parts: dict[str, Rows]


@dataclass(frozen=True)
class Heat:
    """A map over (t, k): rows t, columns k ≤ t, each cell the mean of a square of ``step`` steps."""

    name: str  # the layer's or the weight's
    kind: Literal["flow", "contribution"]
    step: int
    values: Rows


@dataclass(frozen=True)
class Histogram:
    """How often values fall between neighbouring edges."""

    edges: Rows
    counts: Rows


@dataclass(frozen=True)
class Exploration:
    """One network on one sequence, with the backward pass of every single error.

    Attributes:
        cell: "elman", "gru" or "lstm".
        activation, leak: of an Elman cell; the others have tanh and 1.
        loss: the loss's name.
        row_vectors: whether weights are laid out for x_t W_x instead of torch's way.
        softmax: whether y is a softmax.
        bias: whether the read-out or the cell has a bias.
        layers: their names, the first one first; units: the size of their outputs.
        steps: T.
        weights: every parameter.
        x, d: the sequence, exact.
        forward, backward: the two passes.
        heat: gradient flow by layer and contributions by weight.
        lags: the mean over t of ‖∂E_t/∂s_{t-lag}‖, by layer.
        histograms: of the states' values over units and steps, by layer.
    """

    cell: str
    activation: str
    leak: float
    loss: str
    row_vectors: bool
    softmax: bool
    bias: bool
    layers: list[str]
    units: int
    steps: int
    weights: list[Weight]
    x: Rows
    d: Rows
    forward: Forward
    backward: Backward
    heat: list[Heat]
    lags: dict[str, Rows]
    histograms: dict[str, Histogram]


def explore(net: LessonNetwork, x: Tensor, d: Tensor, criterion: Criterion = squared_error) -> Exploration:
    """Compute the backward pass of every single error of a sequence, and gather the page's numbers.

    Args:
        net: a `bptt.Elman` or a unidirectional `bptt.SequenceModel`.
        x: one sequence, (T, I).
        d: the targets, as `bptt.explain` takes them.
        criterion: as `bptt.explain` takes it; it must be a sum over steps.

    Raises:
        ValueError: x is batched, a direction walks backwards, or it would cost too much (`most_steps`).
    """
    if x.dim() != 2:
        raise ValueError(f"x must be one sequence (T, I), got {tuple(x.shape)}")
    if len(net.weight_names()[0]) != 1:
        raise ValueError("a bidirectional network cannot be explored: its error reaches later steps as well")
    most = most_steps(net)
    if len(x) > most:
        raise ValueError(f"x has {len(x)} steps; of a network of this size at most {most} can be explored")
    h, by_layer = record_layers(net, x)
    records = [of_layer[0] for of_layer in by_layer]
    layers = [r.layer for r in records]
    _, dz = error_and_adjoint(net, h, d, criterion)
    kept = min(len(x), KEPT)
    detail = _detail(net, records, len(x) * kept)
    errors = errors_by_lag(net, by_layer, dz, h, detail, kept)
    steps = torch.arange(len(x), device=x.device)
    cell, weights = records[0].cell, _weights(net)
    elman = isinstance(cell, ElmanEquations)
    maps = [(layer, "flow", errors.flow[layer]) for layer in layers]
    maps += [(w.name, "contribution", errors.norm[w.name]) for w in weights if w.role in ("input", "recurrent")]
    return Exploration(
        cell=cell.name.lower(),
        activation=cell.activation.name if elman else "tanh",
        leak=cell.leak if elman else 1.0,
        loss=criterion_name(criterion),
        row_vectors=net.row_vectors,
        softmax=net.softmax,
        bias=any(w.role.endswith("bias") for w in weights),
        layers=layers,
        units=h.shape[1],
        steps=len(x),
        weights=weights,
        x=x.tolist(),
        d=d.tolist(),
        forward=_forward(net, records, h, d, criterion, 5 if detail == "matrices" else 4),
        backward=_backward(errors, dz, kept, detail),
        heat=[_heat(*of_map) for of_map in maps],
        lags={name: rounded(mean_by_lag(flow, steps)) for name, flow in errors.flow.items()},
        histograms={r.layer: _histogram(r.states[1:]) for r in records},
    )


def most_steps(net: LessonNetwork) -> int:
    """The longest sequence that can be explored: T² times the weights stays below some 10¹⁰ multiplications."""
    weights = sum(parameter.numel() for parameter in net.parameters())
    return max(1, min(1000, int((WORK / (4 * weights)) ** 0.5)))


def rounded(values: Tensor, digits: int = 5) -> Any:
    """A tensor as nested lists of numbers of so many significant digits; None for what is not finite."""
    values = values.detach().double()
    magnitude = torch.where(values != 0, values.abs(), 1.0).log10().floor()
    scale = torch.pow(10.0, (digits - 1 - magnitude).clamp(-300, 300))
    return _finite((torch.round(values * scale) / scale).tolist())


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return value if abs(value) < float("inf") else None


def _detail(net: LessonNetwork, records: list[Record], pairs: int) -> Detail:
    """The most that fits in a page for so many pairs (t, k)."""
    vectors = sum(r.cell.gates * r.weights.W_hh.shape[1] + r.states.shape[-1] for r in records)
    matrices = vectors + sum(parameter.numel() for parameter in net.parameters())
    if pairs * matrices <= NUMBERS:
        return "matrices"
    return "vectors" if pairs * vectors <= NUMBERS else "norms"


def _weights(net: LessonNetwork) -> list[Weight]:
    parameters, found = dict(net.named_parameters()), []
    few = sum(parameter.numel() for parameter in parameters.values()) <= SHOWN_WEIGHTS
    for matrix in matrices(net):
        weight, layer = parameters[matrix.name], None if matrix.at is None else matrix.at.name
        letters = matrix.latex.partition("^")[0]
        label = letters if layer is None or len(net.weight_names()) == 1 else f"{letters} {layer}"
        role = ROLES.get(matrix.field) or ("readout" if matrix.role == "y" else "readout_bias")
        values = _finite(weight.tolist()) if few else None
        found.append(Weight(matrix.name, label, role, layer, list(weight.shape), values))
    return found


def _forward(
    net: LessonNetwork, records: list[Record], h: Tensor, d: Tensor, criterion: Criterion, digits: int
) -> Forward:
    products = {}
    for r in records:
        products[r.names.W_ih] = rounded(linear(r.x, r.weights.W_ih)[:, 0], digits)
        products[r.names.W_hh] = rounded(linear(r.states[:-1], r.weights.W_hh)[:, 0], digits)
    elman = isinstance(records[0].cell, ElmanEquations)
    z = net.readout(h).detach()
    errors = torch.stack([error_and_adjoint(net, h[t], d[t], criterion)[0] for t in range(len(h))])
    return Forward(
        states={r.layer: rounded(r.states[1:, 0], digits) for r in records},
        before={r.layer: rounded(r.states[0, 0]) for r in records},
        slopes={r.layer: rounded(activation_slopes(r)[:, 0], digits) for r in records if elman},
        products=products,
        outputs=rounded(torch.softmax(z, -1) if net.softmax else z),
        errors=rounded(errors),
    )


def _backward(errors: ErrorsByLag, dz: Tensor, kept: int, detail: Detail) -> Backward:
    def by_lag(tensors: dict[str, Tensor]) -> dict[str, Rows]:
        """Rows [t - 1][lag] up to lag t - 1."""
        cut = {name: rounded(tensor[:, :kept], 4) for name, tensor in tensors.items()}
        return {name: [row[: t + 1] for t, row in enumerate(rows)] for name, rows in cut.items()}

    return Backward(
        kept=kept,
        detail=detail,
        flow=by_lag(errors.flow),
        norm=by_lag(errors.norm),
        share=by_lag(errors.share),
        total={name: rounded(total) for name, total in errors.total.items()},
        earlier={name: rounded(share[:, kept:].sum(1), 4) for name, share in errors.share.items()},
        outputs=rounded(dz),
        states=by_lag(errors.states),
        deltas=by_lag(errors.deltas),
        parts=by_lag(errors.parts),
    )


def _heat(name: str, kind: Any, by_lag: Tensor) -> Heat:
    """A (t, lag) matrix as a map over (t, k), at most `BINS` wide."""
    T = len(by_lag)
    step = -(-T // BINS)
    t, k = torch.tril_indices(T, T, device=by_lag.device)
    cells = -(-T // step)
    where = (t // step) * cells + k // step
    total = by_lag.new_zeros(cells * cells).index_add_(0, where, by_lag[t, t - k])
    count = by_lag.new_zeros(cells * cells).index_add_(0, where, torch.ones_like(by_lag[t, t - k]))
    means = (total / count.clamp(min=1)).view(cells, cells)
    return Heat(name, kind, step, [row[: i + 1] for i, row in enumerate(rounded(means, 3))])


def _histogram(values: Tensor, bins: int = 20) -> Histogram:
    """Over the range of the values that are finite, or over [-1, 1] where they lie within."""
    values = values[values.isfinite()].double()
    reach = max(1.0, values.abs().max().item()) if values.numel() else 1.0
    counts, edges = torch.histogram(values.cpu(), bins, range=(-reach, reach))
    return Histogram(rounded(edges), counts.int().tolist())
