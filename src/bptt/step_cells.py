"""RNNCell, GRUCell and LSTMCell as in torch.nn, a step as one native call.

Subclasses of torch.nn's, with the same constructors, parameters, checks, errors and results. A call that the
native kernels do not take is torch.nn's own: on another device, in half precision, unbatched, under a transform or
a compiler, of a parametrized cell; and one row with gradients at large weights, where torch is faster.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, is_grad_enabled, nn

from .equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from .walks.door import quick_walk_of

NAMES = Weights("weight_ih", "weight_hh", "bias_ih", "bias_hh")
WITHOUT_BIAS = Weights("weight_ih", "weight_hh")
ELMAN = {phi: quick_walk_of(ElmanEquations(ACTIVATIONS[phi])) for phi in ("tanh", "relu")}
GATED = quick_walk_of(GRUEquations())
LONG_SHORT_TERM = quick_walk_of(LSTMEquations())


def _state_after(cell: nn.RNNCellBase, quick: Any, input: Any, hx: Any) -> Any:
    """The state after a native step, a tuple; None where torch.nn's cell takes the call."""
    if quick is None or not isinstance(input, Tensor) or input.dim() != 2:
        return None
    if input.shape[0] == 1 and is_grad_enabled():  # the weights' gradients, outer products, take most of the time
        units = cell.hidden_size * (cell.input_size + cell.hidden_size)
        if units >= (2**15 if isinstance(cell, nn.RNNCell) else 2**16):  # measured by benchmarks/step_cells.py
            return None
    names = NAMES if cell.bias else WITHOUT_BIAS
    found = quick.walk(names, cell.input_size, cell.hidden_size, cell._parameters, input, hx)
    return None if found is None else found[1]


class RNNCell(nn.RNNCell):
    """One step of an Elman network, tanh or relu; a drop-in for torch.nn.RNNCell.

    Call:
        cell(input, hx=None) -> h: input (B, I); hx and h (B, H), zeros by default; or all without B.

    >>> import torch
    >>> tuple(RNNCell(3, 5, nonlinearity="relu")(torch.ones(4, 3)).shape)
    (4, 5)
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        after = _state_after(self, ELMAN.get(self.nonlinearity), input, hx)
        return super().forward(input, hx) if after is None else after[0]


class GRUCell(nn.GRUCell):
    """One step of gated recurrent units; a drop-in for torch.nn.GRUCell.

    Call: as `RNNCell`.

    >>> import torch
    >>> cell, h = GRUCell(3, 5), torch.zeros(4, 5)
    >>> for x_t in torch.ones(10, 4, 3):
    ...     h = cell(x_t, h)
    >>> tuple(h.shape)
    (4, 5)
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        after = _state_after(self, GATED, input, hx)
        return super().forward(input, hx) if after is None else after[0]


class LSTMCell(nn.LSTMCell):
    """One step of long short-term memory; a drop-in for torch.nn.LSTMCell.

    Call:
        cell(input, hx=None) -> (h, c): input (B, I); hx, a pair, and h and c (B, H).

    >>> import torch
    >>> h, c = LSTMCell(3, 5)(torch.ones(4, 3))
    >>> tuple(h.shape), tuple(c.shape)
    ((4, 5), (4, 5))
    """

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        after = _state_after(self, LONG_SHORT_TERM, input, hx)
        return super().forward(input, hx) if after is None else after
