"""What a reach needs of a model: to walk it over some steps from a state, and to know where time stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..trees import Tree, check_same_form, leaves, mapped

Model = Callable[[Any, Any], tuple[Tensor, Any]]


class Walker:
    """A model that can be walked piece by piece.

    Args:
        model: a module or function (x, state) -> (y, state) that reads x from its first step to its last and takes
            None for its own initial state: bptt's and torch.nn's recurrent modules, a `bptt.SequenceModel`,
            `bptt.Elman`, `bptt.Cell`, or anything of that form.

    x is (T, B, ·), or (B, T, ·) where the model's attribute `batch_first` is true; floating x of two dimensions is
    one sequence (T, I), integers of two dimensions are class numbers (T, B) or (B, T).

    Raises:
        TypeError: the model cannot be called.
        ValueError: it walks in both directions, so that its pieces are not its whole.
    """

    def __init__(self, model: Any) -> None:
        if not callable(model):
            raise TypeError(f"model must be a module or function (x, state) -> (y, state), got {_name(model)}")
        for module in model.modules() if isinstance(model, nn.Module) else ():
            if getattr(module, "bidirectional", False):
                raise ValueError(
                    f"{_name(module)} is bidirectional: its first output needs the last step of x, so it cannot "
                    "be walked piece by piece; use full backpropagation, or bidirectional=False"
                )
        self.model, self.name = model, _name(model)
        self.batch_first = bool(getattr(model, "batch_first", False))

    def time_axis(self, x: Tree) -> int:
        """Which axis of x, and with it of d and y, is time."""
        first = leaves(x, "x")[0]
        if isinstance(self.model, Cell):
            return int(self.batch_first)
        return int(self.batch_first and first.dim() > (2 if first.is_floating_point() else 1))

    def walk(self, x: Tree, state: Tree, axis: int) -> tuple[Tensor, Tree]:
        """Outputs of the steps in x and the state after them.

        Raises:
            TypeError, ValueError: the model returns something else, or a state of another form.
        """
        result = self.model(x, state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{self.name} must return a pair (y, state), got {_name(result)}")
        y, after = result
        steps = leaves(x, "x")[0].shape[axis]
        if not isinstance(y, Tensor):
            raise TypeError(f"the outputs y of {self.name} must be a tensor, got {_name(y)}")
        if y.dim() <= axis or y.shape[axis] != steps:
            raise ValueError(
                f"{self.name} put out y {tuple(y.shape)} for {steps} steps of x; time must be axis {axis} of it. "
                "A model of batches (B, T, ·) says so by an attribute batch_first = True"
            )
        if isinstance(self.model, Elman):  # its second result is the state after each step
            after = after.select(axis, -1)
        if not leaves(after):
            raise TypeError(f"{self.name} returned no state to carry to the next steps")
        if state is not None:
            check_same_form(state, after, self.name)
        return y, after

    def reset(self, state: Tree, rows: Tensor) -> Tree:
        """The state with some rows (B,) back at the initial state; a 0-dimensional `rows` means all of it."""
        if state is None or not rows.any():
            return state
        if rows.all():
            return self._initial(state, rows.numel())
        B = rows.shape[0]
        fresh = iter(leaves(self._initial(state, B)))

        def mixed(leaf: Tensor) -> Tensor:
            shape = [1] * leaf.dim()
            shape[self._batch_axis(leaf, B)] = B
            return torch.where(rows.to(leaf.device).view(shape), next(fresh), leaf)

        return mapped(mixed, state)

    def _initial(self, state: Tree, batch: int) -> Tree:
        if isinstance(self.model, Cell):
            return self.model.initial_state(batch)
        return mapped(torch.zeros_like, state)

    def _batch_axis(self, leaf: Tensor, batch: int) -> int:
        """Which axis of a state's tensor is the batch."""
        if isinstance(self.model, Cell | Elman):
            return 0
        if isinstance(self.model, Recurrent | SequenceModel | nn.RNNBase):
            return 1
        found = [axis for axis, size in enumerate(leaf.shape) if size == batch]
        if len(found) != 1:
            raise ValueError(
                f"resets need the batch axis of each state of {self.name}, but a state {tuple(leaf.shape)} has "
                f"{len(found)} axes of {batch} rows; write the model as a bptt.Cell, whose states are (B, ·)"
            )
        return found[0]

    @property
    def like(self) -> Tensor | None:
        """The model's first floating weight: arrays are brought to its dtype and device."""
        weights = self.model.parameters() if isinstance(self.model, nn.Module) else ()
        return next((weight for weight in weights if weight.is_floating_point()), None)


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", None) or type(thing).__name__
