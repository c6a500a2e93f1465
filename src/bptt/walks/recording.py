"""A recorded forward pass: backpropagated through from any step, cut short, or rearranged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ..equations.protocol import Equations, State, Weights
from .call import Call, repeated_rows
from .sweep import Errors, Swept
from .unfold import Adjoint, Factor, previous_states, weight_factors

Part = Callable[[Tensor], Tensor]  # rows of steps, (T, B, ·) -> (K, W, ·)
States = Callable[[Tensor, Tensor], Tensor]  # states before and after them, (B, ·), (T, B, ·) -> (K+1, W, ·)


class Saved(NamedTuple):
    """Values of the forward pass that the backward pass needs, each (T, B, ·) or (N, ·)."""

    y: Tensor
    c: Tensor | None  # of an LSTM
    kept: Tensor | None  # gates, for example; None where the cell needs none, or nothing was kept


@dataclass(frozen=True)
class Recording(ABC):
    """One layer's and direction's forward pass, without a graph.

    Of packed sequences rows are (N, ·) instead of (T, B, ·); they are neither swept nor rearranged.
    """

    call: Call

    @property
    def cell(self) -> Equations:
        return self.call.cell

    @property
    def x(self) -> Tensor:
        """(T, B, I), or (N, I)."""
        return self.call.x

    @property
    def weights(self) -> Weights[Tensor]:
        return self.call.weights

    @property
    @abstractmethod
    def states(self) -> Tensor:
        """h before the first step, then after each: (T+1, B, R), or (B+N, R)."""

    @property
    def y(self) -> Tensor:
        """h after each step, (T, B, R), or (N, R)."""
        return self.states[1:] if self.call.batch_sizes is None else self.states[self.call.batch_sizes[0] :]

    @property
    @abstractmethod
    def before(self) -> State:
        """The state before each step, each (T, B, ·)."""

    @property
    def unprojected(self) -> Tensor | None:
        """o tanh(c) of each step, (T, B, H), where an LSTM projects it to h."""
        return None

    @abstractmethod
    def adjoint(self, d_outputs: Tensor | None, d_state: State | None = None) -> Adjoint:
        """The backward pass, not summed over time: delta and ∂E/∂h of every step.

        Args:
            d_outputs: ∂E/∂h as it enters at each step, (T, B, R); None for zero.
            d_state: ∂E/∂(final state), a tuple of (B, ·); None for zero. Default None.
        """

    @abstractmethod
    def sweep(self, steps: int, errors: Errors, wanted: bool) -> Swept:
        """Many errors backpropagated over the first steps, side by side.

        Args:
            steps: K.
            errors: how they enter.
            wanted: whether ∂E/∂x is.
        """

    def factors(self, adjoint: Adjoint) -> Weights[Factor]:
        """Each weight's gradient before it is summed over time."""
        h_prev = previous_states(self.states, self.call.batch_sizes)
        return weight_factors(self.weights, adjoint, self.x, h_prev, self.unprojected)

    def with_own_weights(self) -> Self:
        """The same with copies of the weights, which training does not change."""
        return replace(self, call=self.call._replace(weights=self.weights.each(Tensor.clone)))

    def up_to(self, steps: int) -> Self:
        """The same, ended after so many steps."""
        if steps == len(self.x):
            return self
        return self._rearranged(
            lambda rows: rows[:steps], lambda first, after: torch.cat([first[None], after[:steps]])
        )

    def windows(self, steps: Tensor, rows: Tensor) -> Self:
        """Stretches side by side as a batch.

        Args:
            steps: of each stretch, (K, windows); the first steps may repeat step 0, and are then void.
            rows: which row of the batch each stretch is of, (windows).
        """
        places = torch.cat([steps, steps[-1:] + 1])  # the state at place s is that before step s
        later = (places > 0)[..., None]
        return self._rearranged(
            lambda field: field[steps, rows],
            lambda first, after: torch.where(later, after[(places - 1).clamp(min=0), rows], first[rows]),
        )

    def stretches(self, starts: list[int], rows: list[int], length: int) -> Self:
        """A few stretches of one length side by side as a batch, each of a row from a step on."""
        places = list(zip(starts, rows, strict=True))

        def part(field: Tensor) -> Tensor:  # by slices: an index would wake a second thread
            return torch.stack([field[start : start + length, row] for start, row in places], 1)

        def states(first: Tensor, after: Tensor) -> Tensor:
            before = [after[start - 1, row] if start else first[row] for start, row in places]
            return torch.cat([torch.stack(before)[None], part(after)])

        return self._rearranged(part, states)

    @abstractmethod
    def repeated(self, copies: int) -> Self:
        """The walk of copies of every sequence, packed or not, as `Call.repeated`."""

    @abstractmethod
    def _rearranged(self, part: Part, states: States) -> Self:
        """Other steps of this walk as a walk of their own."""


@dataclass(frozen=True)
class SavedRecording(Recording):
    """Every step's values that fused kernels saved."""

    saved: Saved

    @cached_property
    def states(self) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        h0 = self.call.state[0]
        return torch.cat([h0 if self.call.batch_sizes else h0[None], self.saved.y])

    @property
    def before(self) -> State:
        h_prev, c = self.states[:-1], self.saved.c
        if c is None:
            return (h_prev,)
        c0 = self.call.state[1]
        return h_prev, torch.cat([c0[None], c[:-1].to(c0.dtype)])

    def repeated(self, copies: int) -> Self:
        y, *others = self.saved
        c, kept = (None if field is None else repeated_rows(field, copies) for field in others)
        return replace(self, call=self.call.repeated(copies), saved=Saved(repeated_rows(y, copies), c, kept))

    def _rearranged(self, part: Part, states: States) -> Self:
        y, c, kept = self.saved
        pairs = zip(self.call.state, (y, c), strict=False)
        h, *cs = [states(first, rows) for first, rows in pairs if rows is not None]
        state = tuple(s[0].to(first.dtype) for s, first in zip((h, *cs), self.call.state, strict=True))
        call = self.call._replace(x=part(self.x), state=state)
        c = cs[0][1:] if cs else None
        return replace(self, call=call, saved=Saved(h[1:], c, None if kept is None else part(kept)))
