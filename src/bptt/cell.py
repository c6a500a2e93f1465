"""Base class for custom recurrent cells: one step is written down, and the call walks it through time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .trees import Tree, check_same_form, leaves
from .user_functions import check_takes, pair_of


class Cell(nn.Module):
    """Base class for custom recurrent cells.

        (y_t, state_t) = step(x_t, state_{t-1})

    A subclass defines `step` and `initial_state`; x and y are (T, B, ·), or (B, T, ·) with ``batch_first = True``.

    Call:
        cell(x, state=None) -> y, state: x with T ≥ 1 steps; state before the first step, None for
        ``initial_state(B)``; y of every step, laid out as x, and the state after the last one. A loss of them is
        backpropagated through all T steps.

    Raises:
        TypeError: x is no tensor, or a step returns no pair of a tensor and a state.
        ValueError: x has no step, or the state changes its form.

    >>> class Average(Cell):
    ...     def step(self, x_t, state):
    ...         state = 0.5 * state + 0.5 * x_t
    ...         return state, state
    ...
    ...     def initial_state(self, batch):
    ...         return torch.zeros(batch, 1)
    >>> y, state = Average()(torch.ones(3, 1, 1))
    >>> y.flatten().tolist()
    [0.5, 0.75, 0.875]
    """

    batch_first: bool = False

    def step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step, for a subclass to define.

        Args:
            x_t: the input, (B, ·).
            state: the state before it: a tensor, or tuples, lists and dicts of tensors, each (B, ·).

        Returns:
            y_t, a tensor (B, ·), and the state after the step, of the same form as the one before it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(x_t, state) -> (y_t, state)")

    def initial_state(self, batch: int) -> Any:
        """The state before the first step, for a subclass to define; it may be learned.

        Args:
            batch: B.
        """
        raise NotImplementedError(f"{type(self).__name__} must define initial_state(batch) -> state")

    def forward(self, x: Tensor, state: Tree = None) -> tuple[Tensor, Tree]:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}")
        axis, layout = (1, "(B, T, ·)") if self.batch_first else (0, "(T, B, ·)")
        if x.dim() < 2 or x.shape[axis] == 0:
            raise ValueError(f"x is {tuple(x.shape)}; it takes {layout} with at least one step")
        check_cell(self)
        who = self._get_name()
        state = self.initial_state(x.shape[1 - axis]) if state is None else state
        leaves(state)
        y = []
        for x_t in x.unbind(axis):
            before = state
            y_t, state = pair_of(self.step(x_t, state), f"{who}.step", "(y_t, state) with a tensor y_t")
            check_same_form(before, state, f"{who}.step")
            y.append(y_t)
        return torch.stack(y, axis), state


def check_cell(cell: Cell) -> None:
    """Check that a cell's methods take what they are called with.

    Raises:
        TypeError: one takes something else.
    """
    who = cell._get_name()
    check_takes(cell.step, f"{who}.step", "step(x_t, state) -> (y_t, state)", "x_t", "state")
    check_takes(cell.initial_state, f"{who}.initial_state", "initial_state(batch) -> state", "batch")
