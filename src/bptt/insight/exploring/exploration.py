"""All that can be looked at of one network on one sequence, as plain data: what the page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...equations import ElmanEquations
from ...networks import Elman, SequenceModel
from ..pairs import EveryError, every_error
from ..walks import Loss, Record, error_and_adjoint, record

Rows = list[Any]
KEPT = 24  # lags whose numbers are kept one by one for every step; the earlier ones are summed
NUMBERS = 80_000  # that a page may hold of vectors and matrices
SHOWN_WEIGHTS = 5_000  # numbers of weights that a page may hold
BINS = 100  # rows and columns of a heat map
WORK = 40_000_000_000  # multiplications that an exploration may cost


@dataclass(frozen=True)
class Weight:
    """One parameter: its name, its letters, its place and, where there is room, its values."""

    name: str
    label: str  # "W_x", "W_ih l0"
    role: Literal["input", "recurrent", "input_bias", "recurrent_bias", "projection", "readout", "readout_bias"]
    layer: str | None  # None for the read-out
    shape: list[int]
    values: Rows | None  # exact


@dataclass(frozen=True)
class Forward:
    """The walk forward, a row for each step.

    Attributes:
        states: s_k by layer; before: the state s_0 they start from.
        slopes: Φ'(a_k) by layer; empty for gated cells.
        products: what each matrix hands on, x_k W_x or s_{k-1} W_s, by weight.
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
    """The way back of every error; by step t, and within it by lag up to ``kept``, the nearest first.

    Attributes:
        kept: how many lags are kept one by one.
        detail: "matrices" holds everything; "vectors" leaves parts out, "norms" also states and deltas.
        flow: ‖∂E_t/∂s_{t-lag}‖ by layer.
        norm, share, total: the contributions' norms, shares of the gradient, and its norm, by weight.
        earlier: the summed share of the steps before those kept, by weight.
        outputs: ∂E_t/∂z_t, z_t being the output before any softmax.
        states, deltas: ∂E_t/∂s_k and ∂E_t/∂a_k by layer.
        parts: the contributions, by weight.
    """

    kept: int
    detail: str
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
    """One network on one sequence, every error taken back on its own.

    Attributes:
        cell: "elman", "gru" or "lstm".
        activation, leak: of an Elman cell; the others have tanh and 1.
        loss: the loss's name.
        row_vectors: whether weights are laid out for x_t W_x, and not torch's way.
        softmax: whether y is one.
        bias: whether the read-out or the cell has one.
        layers: their names, the first one first; units: the size of their outputs.
        steps: T.
        weights: every parameter.
        x, d: the sequence, exact.
        forward, backward: the two walks.
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


def explore(net: Elman | SequenceModel, x: Tensor, d: Tensor, loss: Loss = "squared_error") -> Exploration:
    """Take every error of a sequence back on its own, and gather what a page shows of it.

    Args:
        net: a `bptt.Elman` or a unidirectional `bptt.SequenceModel`.
        x: one sequence, (T, I).
        d: what was desired, as `bptt.explain` takes it.
        loss: likewise; a callable must be a sum over steps.

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
    h, walked = record(net, x)
    records = [of_layer[0] for of_layer in walked]
    _, dz = error_and_adjoint(net, h, d, loss)
    kept = min(len(x), KEPT)
    detail = _detail(net, records, len(x) * kept)
    pairs = every_error(net, walked, dz, h, 0 if detail == "norms" else kept, detail == "matrices")
    cell = records[0].cell
    elman = isinstance(cell, ElmanEquations)
    return Exploration(
        cell=cell.name.lower(),
        activation=cell.activation.name if elman else "tanh",
        leak=cell.leak if elman else 1.0,
        loss=loss if isinstance(loss, str) else getattr(loss, "__name__", "loss"),
        row_vectors=net.row_vectors,
        softmax=net.softmax,
        bias=any("b" in name.rsplit(".")[-1][:4] for name, _ in net.named_parameters()),
        layers=list(pairs.flow),
        units=h.shape[1],
        steps=len(x),
        weights=_weights(net, list(pairs.flow)),
        x=x.tolist(),
        d=d.tolist(),
        forward=_forward(net, records, list(pairs.flow), h, d, loss, 5 if detail == "matrices" else 4),
        backward=_backward(pairs, dz, kept, detail),
        heat=[
            *(_heat(name, "flow", flow) for name, flow in pairs.flow.items()),
            *(_heat(name, "contribution", norm) for name, norm in pairs.norm.items() if _is_recurrent(net, name)),
        ],
        lags={name: rounded(by_lag) for name, by_lag in pairs.mean_flow().items()},
        histograms={name: _histogram(r.unfolded.states[1:]) for name, r in zip(pairs.flow, records, strict=True)},
    )


def most_steps(net: Elman | SequenceModel) -> int:
    """How long a sequence can be explored: T² times the weights stays below some 10¹⁰ multiplications."""
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


def _detail(net: Elman | SequenceModel, records: list[Record], pairs: int) -> str:
    """The most that fits in a page for so many pairs (t, k)."""
    vectors = sum(r.cell.gates * r.weights.W_hh.shape[1] + r.unfolded.states.shape[-1] for r in records)
    matrices = vectors + sum(parameter.numel() for parameter in net.parameters())
    if pairs * matrices <= NUMBERS:
        return "matrices"
    return "vectors" if pairs * vectors <= NUMBERS else "norms"


def _weights(net: Elman | SequenceModel, layers: list[str]) -> list[Weight]:
    roles = ("input", "recurrent", "input_bias", "recurrent_bias", "projection")
    lesson = isinstance(net, Elman)
    room = sum(parameter.numel() for parameter in net.parameters()) <= SHOWN_WEIGHTS
    parameters = dict(net.named_parameters())
    places: list[tuple[str | None, Any, str | None]] = [
        (name, role, layer)
        for layer, (names,) in zip(layers, net.weight_names(), strict=True)
        for role, name in zip(roles, names, strict=True)
    ]
    places += [
        (name, role, None) for name, role in zip(net.readout_names(), ("readout", "readout_bias"), strict=True)
    ]
    return [
        Weight(
            name,
            name if lesson else _letters(role, layer, len(layers)),
            role,
            layer,
            list(parameters[name].shape),
            _finite(parameters[name].tolist()) if room else None,
        )
        for name, role, layer in places
        if name is not None
    ]


def _letters(role: str, layer: str | None, layers: int) -> str:
    """A weight's letters: the lesson's for one layer's matrices, with the layer where there are several."""
    letters = {
        "input": "W_x",
        "recurrent": "W_s",
        "input_bias": "b_x",
        "recurrent_bias": "b_s",
        "projection": "W_p",
        "readout": "W_y",
        "readout_bias": "b_y",
    }[role]
    return letters if layer is None or layers == 1 else f"{letters} {layer}"


def _is_recurrent(net: Elman | SequenceModel, name: str) -> bool:
    matrices = {weight for ((names,),) in zip(net.weight_names(), strict=True) for weight in names[:2]}
    return name in matrices


def _forward(
    net: Elman | SequenceModel,
    records: list[Record],
    layers: list[str],
    h: Tensor,
    d: Tensor,
    loss: Loss,
    digits: int,
) -> Forward:
    slopes, products = {}, {}
    for layer, (names,), walk in zip(layers, net.weight_names(), records, strict=True):
        before, weights = walk.unfolded.states[:-1], walk.weights
        a_x, a_s = linear(walk.x, weights.W_ih), linear(before, weights.W_hh)
        products[names.W_ih], products[names.W_hh] = (
            rounded(a_x.squeeze(1), digits),
            rounded(a_s.squeeze(1), digits),
        )
        if isinstance(walk.cell, ElmanEquations):
            a = a_x + a_s
            a = a if weights.b_ih is None else a + weights.b_ih
            a = a if weights.b_hh is None else a + weights.b_hh
            activation = walk.cell.activation
            slopes[layer] = rounded(
                activation.derivative(activation.kept(a, activation.function(a))).squeeze(1), digits
            )
    z = net.readout(h).detach()
    errors = torch.stack([error_and_adjoint(net, h[t], d[t], loss)[0] for t in range(len(h))])
    return Forward(
        states={
            layer: rounded(r.unfolded.states[1:, 0], digits) for layer, r in zip(layers, records, strict=True)
        },
        before={layer: rounded(r.unfolded.states[0, 0]) for layer, r in zip(layers, records, strict=True)},
        slopes=slopes,
        products=products,
        outputs=rounded(torch.softmax(z, -1) if net.softmax else z),
        errors=rounded(errors),
    )


def _backward(pairs: EveryError, dz: Tensor, kept: int, detail: str) -> Backward:
    def by_lag(tensors: dict[str, Tensor]) -> dict[str, Rows]:
        """Rows [t - 1][lag] up to lag t - 1."""
        cut = {name: rounded(tensor[:, :kept], 4) for name, tensor in tensors.items()}
        return {name: [row[: t + 1] for t, row in enumerate(rows)] for name, rows in cut.items()}

    return Backward(
        kept=kept,
        detail=detail,
        flow=by_lag(pairs.flow),
        norm=by_lag(pairs.norm),
        share=by_lag(pairs.share),
        total={name: rounded(total) for name, total in pairs.total.items()},
        earlier={name: rounded(share[:, kept:].sum(1), 4) for name, share in pairs.share.items()},
        outputs=rounded(dz),
        states=by_lag(pairs.states) if detail != "norms" else {},
        deltas=by_lag(pairs.deltas) if detail != "norms" else {},
        parts=by_lag(pairs.parts),
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
