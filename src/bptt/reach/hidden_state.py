"""Models (x) -> y that hide their states, as models (x, state) -> (y, state)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..trees import Tree
from .carry import RECURRENT, Carry
from .layout import name_of, roots_of
from .state_rows import reset_rows

WRAPPERS = (nn.parallel.DistributedDataParallel, nn.DataParallel)  # their forward takes anything


class HiddenState:
    """A model (x) -> y as a model (x, state) -> (y, state); the state is a dict, by recurrent module.

    Args:
        model: the model.
        loss: a function of x that calls the model and returns a scalar, which is then y. Default the model itself.
    """

    def __init__(self, model: Callable[..., Any], loss: Callable[[Any], Any] | None = None) -> None:
        self.model, self.__name__ = model, name_of(model)
        self.loss = loss
        self._carry = Carry(model)

    def __call__(self, x: Any, state: Tree) -> tuple[Tensor, Tree]:
        carry = self._carry
        carry.start_from({} if state is None else state)
        try:
            with carry.hooked():
                y = self.model(x) if self.loss is None else self.loss(x)
            after = {name: carry.after[name] for name in carry.modules if name in carry.asked}
        finally:
            carry.start_from({})
        if self.loss is not None:
            _check_loss(y)
        elif not isinstance(y, Tensor):
            raise TypeError(
                f"{self.__name__} takes x alone, so that it must return y, a tensor, got {type(y).__name__}; pass "
                "a function that chooses it, lambda x: model(x)[0], or write the model as (x, state) -> (y, state)"
            )
        if not after:
            raise ValueError(
                f"no state can be carried: {self.__name__} gives its recurrent modules a state of its own in each "
                "call, or is not called. Let it leave that out, or write it as (x, state) -> (y, state)"
            )
        return y, after

    def reset(self, state: Tree, rows: Tensor) -> Tree:
        """The state with some rows (B,) back at the initial state; a 0-dimensional `rows` means all of it."""
        return reset_rows(self._carry.modules, state, rows) or None


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"loss(window) must return a scalar tensor, got {got}")


def hides_state(model: Any) -> bool:
    """Whether a model takes x alone, and holds or names recurrent modules."""
    inner = _unwrapped(model)
    try:
        signature = inspect.signature(getattr(inner, "forward", inner) if isinstance(inner, nn.Module) else inner)
    except (TypeError, ValueError):
        return False  # built in: there is no signature to read
    if not _takes(signature, 1) or _takes(signature, 2):
        return False
    return any(isinstance(module, RECURRENT) for root in roots_of(model) for module in root.modules())


def _unwrapped(model: Any) -> Any:
    """The model inside data parallel wrappers and torch.compile's."""
    if isinstance(model, WRAPPERS):
        return _unwrapped(model.module)
    return _unwrapped(model._orig_mod) if hasattr(model, "_orig_mod") else model


def _takes(signature: inspect.Signature, arguments: int) -> bool:
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True
