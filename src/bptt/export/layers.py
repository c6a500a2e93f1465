"""A recurrent layer as ONNX has it: one RNN, GRU or LSTM node, else the cell's own step in a Scan over time.

ONNX stacks the gates of a GRU as (z, r, n) and of an LSTM as (i, o, f, g), the directions in front, and its nodes
know no leak, no gelu and no projection; there the step is written out as `equations` has it, with the equations'
numbers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ..equations import ACTIVATIONS, ElmanEquations, Equations, GRUEquations, LSTMEquations, Weights
from .graph import Graph, floats

ORDERS = {
    ElmanEquations: (0,),
    GRUEquations: (1, 0, 2),
    LSTMEquations: (0, 3, 1, 2),
}  # where ONNX's gates stand among ours
NAMES = {ElmanEquations: "RNN", GRUEquations: "GRU", LSTMEquations: "LSTM"}
IN_NODES = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softplus": "Softplus", "identity": "Affine"}
OPERATORS = {**IN_NODES, "identity": "Identity", "gelu": "Gelu"}


def check_exportable(cell: Equations) -> None:
    """Refuse a cell that ONNX's operators cannot express.

    Raises:
        ValueError: its activation is a user's own.
    """
    if isinstance(cell, ElmanEquations) and cell.activation != ACTIVATIONS.get(cell.activation.name):
        raise ValueError(
            f"the activation {cell.activation.name!r} is a Python function of your own, which ONNX cannot hold; "
            f"it can hold {', '.join(OPERATORS)}"
        )


def layer(
    g: Graph, cell: Equations, x: str, state: list[str], weights: list[Weights[Tensor]]
) -> tuple[str, list[str]]:
    """One layer in one or both directions.

    Args:
        g: the graph it is added to.
        cell: the equations.
        x: (T, B, I).
        state: the initial state, each (D, B, ·).
        weights: of each direction.

    Returns:
        the outputs (T, B, D·R), and the final state like the initial one.
    """
    if weights[0].W_hr is None and not _needs_scan(cell):
        return _node(g, cell, x, state, weights)
    by_direction = zip(*(g.split(s, len(weights), axis=0) for s in state), strict=True)
    outputs, finals = [], []
    for direction, (w, initial) in enumerate(zip(weights, by_direction, strict=True)):
        y, final = _scan(g, cell, x, list(initial), w, direction)
        outputs.append(y)
        finals.append(final)
    whole = [g.concatenated(parts, axis=0) for parts in zip(*finals, strict=True)]
    return g.concatenated(outputs, axis=2), whole


def _needs_scan(cell: Equations) -> bool:
    return isinstance(cell, ElmanEquations) and (cell.leak != 1 or cell.activation.name not in IN_NODES)


def _node(g: Graph, cell: Any, x: str, state: list[str], weights: list[Weights[Tensor]]) -> tuple[str, list[str]]:
    directions, hidden = len(weights), weights[0].W_hh.shape[1]
    attributes: dict[str, Any] = {"hidden_size": hidden}
    attributes["direction"] = "forward" if directions == 1 else "bidirectional"
    if isinstance(cell, ElmanEquations):
        attributes["activations"] = [IN_NODES[cell.activation.name]] * directions
        if cell.activation.name == "identity":  # Affine is alpha a + beta
            attributes |= {"activation_alpha": [1.0] * directions, "activation_beta": [0.0] * directions}
    if isinstance(cell, GRUEquations):
        attributes["linear_before_reset"] = 1  # the reset gate after the product, equation (3)
    W = torch.stack([_reordered(cell, w.W_ih) for w in weights])
    R = torch.stack([_reordered(cell, w.W_hh) for w in weights])
    b = "" if weights[0].b_ih is None else g.constant(torch.stack([_biases(cell, w) for w in weights]))
    inputs = [x, g.constant(W), g.constant(R), b, "", *state]
    y, *final = g.nodes_of(NAMES[type(cell)], inputs, 1 + len(state), **attributes)
    by_row = g.node("Transpose", y, perm=[0, 2, 1, 3])  # (T, D, B, H) -> (T, B, D, H)
    return g.node("Reshape", by_row, g.constant([0, 0, directions * hidden])), final


def _reordered(cell: Equations, weight: Tensor) -> Tensor:
    gates = weight.detach().chunk(cell.gates)
    return torch.cat([gates[place] for place in ORDERS[type(cell)]])


def _biases(cell: Equations, w: Weights[Tensor]) -> Tensor:
    """Both biases in one row; the lesson's network has the first only."""
    b_ih = _reordered(cell, cast("Tensor", w.b_ih))
    return torch.cat([b_ih, torch.zeros_like(b_ih) if w.b_hh is None else _reordered(cell, w.b_hh)])


def _scan(
    g: Graph, cell: Any, x: str, state: list[str], w: Weights[Tensor], direction: int
) -> tuple[str, list[str]]:
    """One direction by the cell's own step; state in and out (1, B, ·)."""
    p = g.linear(x, w.W_ih, w.b_ih)
    body, names = Graph(inside=g), [f"{s}_in_{direction}" for s in state]
    if isinstance(cell, LSTMEquations):
        after = _lstm_step(body, f"{p}_t", names, w)
    else:
        after = _elman_step(body, cell, f"{p}_t", names, w)
    after = [body.node("Identity", s) for s in (*after, after[0])]
    sizes = [w.W_hh.shape[1], w.W_hh.shape[0] // cell.gates][: len(state)]
    inputs = [floats(name, ["B", size]) for name, size in zip(names, sizes, strict=True)]
    results = [floats(name, ["B", size]) for name, size in zip(after, [*sizes, sizes[0]], strict=True)]
    first = g.constant([0])
    walked = g.nodes_of(
        "Scan",
        [*(g.node("Squeeze", s, first) for s in state), p],
        len(after),
        body=body.proto("step", [*inputs, floats(f"{p}_t", ["B", w.W_hh.shape[0]])], results),
        num_scan_inputs=1,
        scan_input_directions=[direction],
        scan_output_directions=[direction],
    )
    return walked[-1], [g.node("Unsqueeze", s, first) for s in walked[:-1]]


def _elman_step(g: Graph, cell: ElmanEquations, p: str, state: list[str], w: Weights[Tensor]) -> list[str]:
    a = g.node("Add", p, g.linear(state[0], w.W_hh, w.b_hh))  # (1)
    s = g.node(OPERATORS[cell.activation.name], a)  # (2)
    if cell.leak == 1:
        return [s]
    return [g.node("Add", g.scaled(state[0], 1 - cell.leak), g.scaled(s, cell.leak))]


def _lstm_step(g: Graph, p: str, state: list[str], w: Weights[Tensor]) -> list[str]:
    h_prev, c_prev = state
    a = g.node("Add", p, g.linear(h_prev, w.W_hh, w.b_hh))
    a_i, a_f, a_g, a_o = g.split(a, 4, axis=1)
    i, f, o = (g.node("Sigmoid", gate) for gate in (a_i, a_f, a_o))  # (1), (2), (4)
    c = g.node("Add", g.node("Mul", f, c_prev), g.node("Mul", i, g.node("Tanh", a_g)))  # (3), (5)
    h = g.node("Mul", o, g.node("Tanh", c))  # (6)
    return [h if w.W_hr is None else g.linear(h, w.W_hr, None), c]  # (7)
