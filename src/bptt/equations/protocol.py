"""Protocol of every cell: a value with a `step` and, below it, its `step_adjoint`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from torch import Tensor

Each = TypeVar("Each")
Other = TypeVar("Other")
State = tuple[Tensor, ...]  # (h,) or (h, c), each (B, ·); what comes first is the output


class Weights(NamedTuple, Generic[Each]):
    """One layer's weights in torch's order, or one thing (a gradient, a factor) for each of them."""

    W_ih: Each  # (G·H, I)
    W_hh: Each  # (G·H, R)   R: size of the output h, H unless projected
    b_ih: Each | None = None  # (G·H)
    b_hh: Each | None = None  # (G·H)
    W_hr: Each | None = None  # (R, H), LSTM with a projection

    def each(self, function: Callable[[Each], Other]) -> Weights[Other]:
        """The function's value for each weight there is."""
        found = [None if weight is None else function(weight) for weight in self]
        return cast("Weights[Other]", Weights(*found))


class Deltas(NamedTuple):
    """Adjoints of a step's pre-activations: of their input part and of their recurrent part.

    The two differ only where a gate stands between the two parts (GRU's reset gate).
    """

    ih: Tensor  # (B, G·H)
    hh: Tensor  # (B, G·H)


class Equations(Protocol):
    """A recurrent cell as a value: its equations, forward and adjoint.

    Both act on the pre-activations' input part p_t = x_t W_ihᵀ + b_ih, which needs no earlier
    step and is therefore computed for all steps at once.
    """

    @property
    def name(self) -> str:
        """The cell's name, for people: "Elman", "GRU", "LSTM"."""
        ...

    @property
    def gates(self) -> int:
        """G: how many gates a unit has; its weights have G·H rows."""
        ...

    def step(self, p: Tensor, state: State, w: Weights[Tensor]) -> tuple[State, Any]:
        """The next state, and a NamedTuple of what its adjoint needs; all (B, ·)."""
        ...

    def step_adjoint(self, d_state: State, kept: Any, w: Weights[Tensor]) -> tuple[Deltas, State]:
        """The deltas of this step and the adjoint of the state before it."""
        ...
