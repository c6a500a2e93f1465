"""Cells as walks of one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from ...step_cells import GRUCell, LSTMCell, RNNCell
from ...walks.call import Call

CELLS = (RNNCell, GRUCell, LSTMCell, nn.RNNCell, nn.GRUCell, nn.LSTMCell)  # ours are subclasses
CELL_NAMES = Weights("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def call_of_cell(cell: Any, input: Tensor, hx: Any) -> Call | None:
    """The walk that a cell's call is; None where the cell refuses it."""
    state = () if hx is None else (hx,) if isinstance(hx, Tensor) else tuple(hx)
    is_lstm = isinstance(cell, nn.LSTMCell)
    if input.dim() not in (1, 2) or input.shape[-1] != cell.input_size or input.numel() == 0:
        return None
    batch = 1 if input.dim() == 1 else input.shape[0]
    if hx is None:
        state = (input.new_zeros(batch, cell.hidden_size),) * (1 + is_lstm)
    shape = (*input.shape[:-1], cell.hidden_size)
    if len(state) != 1 + is_lstm or any(s.shape not in (shape, (batch, cell.hidden_size)) for s in state):
        return None
    equations = LSTMEquations() if is_lstm else GRUEquations()
    if isinstance(cell, nn.RNNCell):
        equations = ElmanEquations(ACTIVATIONS[cell.nonlinearity])
    weights = Weights(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    x, state = input.reshape(1, batch, -1), tuple(s.reshape(batch, -1) for s in state)
    return Call(equations, x, state, weights)
