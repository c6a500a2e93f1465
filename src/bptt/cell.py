"""A user's own cell: one step written down, unfolded in time by `unfold`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .calls import check_takes, pair_of
from .trees import Tree, check_same_form, leaves


class Cell(nn.Module):
    """A recurrent cell of one's own: write one step, and walk it through time with everything else here.

        (y_t, state_t) = step(x_t, state_{t-1})

    A subclass defines `step` and `initial_state`, and may set ``batch_first = True``, for x and y (B, T, ·) and
    not (T, B, ·).

    Call:
        cell(x, state=None) -> y, state: as `unfold`.

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
        return unfold(self, x, state)


def unfold(cell: Cell, x: Tensor, state: Tree = None) -> tuple[Tensor, Tree]:
    """Walk a cell of one's own through time, one copy of it for each step.

    Args:
        cell: the cell.
        x: (T, B, ·), or (B, T, ·) if the cell is batch_first; T ≥ 1.
        state: the state before the first step; None for ``cell.initial_state(B)``.

    Returns:
        y of every step, (T, B, ·) or (B, T, ·), and the state after the last one; under autograd, so that a loss
        of them is full backpropagation through time.

    Raises:
        TypeError: cell is no Cell, x no tensor, or a step returns no pair of a tensor and a state.
        ValueError: x has no step, or the state changes its form.
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell must be a bptt.Cell, got {type(cell).__name__}; derive a class from it")
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}")
    axis = int(cell.batch_first)
    layout = "(B, T, ·)" if cell.batch_first else "(T, B, ·)"
    if x.dim() < 2 or x.shape[axis] == 0:
        raise ValueError(f"x is {tuple(x.shape)}; it takes {layout} with at least one step")
    check_cell(cell)
    who = cell._get_name()
    state = cell.initial_state(x.shape[1 - axis]) if state is None else state
    leaves(state)
    y = []
    for x_t in x.unbind(axis):
        before = state
        y_t, state = pair_of(cell.step(x_t, state), f"{who}.step", "(y_t, state) with a tensor y_t")
        check_same_form(before, state, f"{who}.step")
        y.append(y_t)
    return torch.stack(y, axis), state


def check_cell(cell: Cell) -> None:
    """A cell's methods take what they are called with.

    Raises:
        TypeError: one takes something else.
    """
    who = cell._get_name()
    check_takes(cell.step, f"{who}.step", "step(x_t, state) -> (y_t, state)", "x_t", "state")
    check_takes(cell.initial_state, f"{who}.initial_state", "initial_state(batch) -> state", "batch")
