"""The interface of a backend: a way to walk a layer through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ..equations.protocol import Equations, State
from .call import Call
from .recording import Recording
from .stack import WalkStack


class QuickWalk(NamedTuple):
    """Native calls for a module's layers that check their own arguments, and give None where they refuse them."""

    walk: Callable[..., tuple[Tensor, State] | None]  # (names, I, H, parameters, x, hx) -> y and the final state
    stack: Callable[..., tuple[Tensor, Any] | None]  # as `kernels.stack_of_module`; never under autograd


class Recorded(NamedTuple):
    """A forward pass with its recording."""

    y: Tensor  # (T, B, R): h after each step
    state: State  # after the last step, each (B, ·)
    recording: Recording


class Backend(Protocol):
    """A way to walk a layer through time. `door.BACKENDS` lists them in the order in which they are asked."""

    @property
    def name(self) -> str:
        """Its name in what `why` prints."""
        ...

    def refuses(self, call: Call) -> str | None:
        """In words, why it cannot take a call; None where it can."""
        ...

    def walk(self, call: Call) -> tuple[Tensor, State]:
        """h after each step, (T, B, R) or (N, R), and the final state; differentiable in the call's tensors."""
        ...

    @property
    def walk_stack(self) -> WalkStack | None:
        """`Stack.walk` in one call; None where each layer and direction is a call."""
        ...

    def record(self, call: Call) -> Recorded:
        """`walk`, and the recording of it."""
        ...

    def quick_walk_of(self, cell: Equations) -> QuickWalk | None:
        """A walk of a module's layers with this cell that checks its own arguments; None where it has none."""
        ...

    def describe(self, call: Call) -> str:
        """In a few words, how it takes a call that it does not refuse."""
        ...
