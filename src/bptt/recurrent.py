"""Base class of RNN, GRU and LSTM: argument checks, layers and directions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, is_grad_enabled
from torch.nn.utils.rnn import PackedSequence

from . import checks
from .dropout import dropout
from .equations import Weights
from .equations.protocol import State
from .recurrent_weights import RecurrentWeights
from .walks import door
from .walks.call import BatchSizes, Call
from .walks.stack import Between, Stack, through_layers

Walk = Callable[[Call], tuple[Tensor, State]]


class _Quick(NamedTuple):
    """Native calls of a module's layers that check their own arguments; each None where there is none."""

    cell: Any  # for which they are
    walks: list[Callable[..., Any]] | None  # of each layer and direction: (parameters, x, hx) -> y and final state
    stack: Callable[..., Any] | None  # of all of them, without gradients: (parameters, x, hx, readout) -> y, state


class Recurrent(RecurrentWeights):
    """Base class of RNN, GRU and LSTM. Not for direct use."""

    state_names: tuple[str, ...] = ("h_0",)
    _quick = _Quick(None, None, None)

    def run(self, input: Any, hx: Any, walk: Walk = door.walk) -> tuple[Any, State]:
        """Check the input, walk all layers and directions, and lay the results out as the input was.

        Args:
            input, hx: as `forward` takes them.
            walk: walks one layer and direction; called for each in order, the forward direction first.

        Returns:
            the outputs, and the final state as a tuple of (L·D, B, ·), without B for unbatched input.
        """
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx, walk)
        found = self._walk_quickly(input, hx) if walk is door.walk else None
        if found is None:
            weights = self.weights()
            like = weights[0][0].W_ih
            checks.check_input(type(self).__name__, input, self.input_size, self.batch_first, like)
            state = self._state(hx, None if input.dim() == 2 else self.batch_of(input), like, None)
            found = self._walk_layers(self._time_first(input), state, weights, None, walk)
        y, state = found
        if input.dim() == 2:
            return y.squeeze(1), tuple(s.squeeze(1) for s in state)
        return y.transpose(0, 1) if self.batch_first else y, state

    def _run_packed(self, input: PackedSequence, hx: Any, walk: Walk) -> tuple[PackedSequence, State]:
        weights = self.weights()
        like = weights[0][0].W_ih
        batch_sizes = checks.check_packed(type(self).__name__, input, self.input_size, like)
        order, back = input.sorted_indices, input.unsorted_indices
        state = self._state(hx, batch_sizes[0], like, order)
        y, state = self._walk_layers(input.data, state, weights, batch_sizes, walk)
        state = state if back is None else tuple(s.index_select(1, back) for s in state)
        return PackedSequence(y, input.batch_sizes, order, back), state

    def _time_first(self, input: Tensor) -> Tensor:
        """The input as (T, B, I)."""
        if input.dim() == 2:
            return input.unsqueeze(1)
        return input.transpose(0, 1) if self.batch_first else input

    def _walk_layers(
        self, x: Tensor, state: State, weights: list[list[Weights[Tensor]]], batch_sizes: BatchSizes, walk: Walk
    ) -> tuple[Tensor, State]:
        """All layers and directions over x (T, B, I), or (N, I) with batch_sizes; all has been checked."""
        listed = tuple(of_direction for layer in weights for of_direction in layer)
        stack = Stack(self.cell, x, state, listed, self.num_directions, batch_sizes)
        return door.walk_stack(stack, self._between) if walk is door.walk else stack.walk(walk, self._between)

    @property
    def _between(self) -> Between:
        """Applied between two layers: dropout, while training."""
        return partial(dropout, p=self.dropout) if self.dropout and self.training else None

    def _walk_quickly(self, input: Any, hx: Any) -> tuple[Tensor, State] | None:
        """All layers and directions before any check, by walks that check for themselves; None if one refuses."""
        quick = self._quick_walks(input, hx)
        if quick is None:
            return None
        x, unbatched = self._time_first(input), input.dim() == 2
        if len(quick) == 1:
            return quick[0](self._parameters, x, _state_of(hx, 0, 1, unbatched))
        stack = self._quick.stack
        if stack is not None and not is_grad_enabled() and self._between is None:
            found = stack(self._parameters, x, _batched(hx) if unbatched else hx)
            return found and (found[0], found[1] if isinstance(found[1], tuple) else (found[1],))

        def walk_one(number: int, rows: Tensor) -> tuple[Tensor, State] | None:
            return quick[number](self._parameters, rows, _state_of(hx, number, len(quick), unbatched))

        return through_layers(x, self.num_layers, self.num_directions, None, walk_one, self._between)

    def _quick_calls(self) -> _Quick:
        """The native calls for the cell that the module has now."""
        if self.cell is not self._quick.cell:
            native, H = None if self.proj_size else door.quick_walk_of(self.cell), self.hidden_size
            names = tuple(of_direction for layer in self._names for of_direction in layer)
            walks = native and [partial(native.walk, own, self._shapes[own.W_ih][1], H) for own in names]
            stack = native and partial(native.stack, names, self.num_directions, self.input_size, H)
            self._quick = _Quick(self.cell, walks, stack)
        return self._quick

    def _quick_walks(self, input: Any, hx: Any) -> list[Callable[..., Any]] | None:
        """A walk of each layer and direction that checks its own arguments; None to check all of them before."""
        quick = self._quick_calls().walks
        if quick is None or not isinstance(input, Tensor) or input.layout is not torch.strided:
            return None
        dimensions = input.dim()
        if dimensions not in (2, 3):
            return None
        if hx is not None and (len(quick) > 1 or dimensions == 2):
            for s in hx if isinstance(hx, tuple) else (hx,):
                fits = isinstance(s, Tensor) and s.layout is torch.strided and s.dim() == dimensions
                if not fits or s.shape[0] != len(quick):
                    return None
        return quick

    def step(self, x_t: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """One step, for streams: the same as a walk over all steps, one after the other.

        Args:
            x_t: (B, I), or (I) unbatched.
            hx: the state before the step, as the last one or a walk returned it; None for zeros. Default None.

        Returns:
            y_t (B, R) or (R), and the state after the step; under autograd.

        Raises:
            ValueError: the module is bidirectional, or a shape is wrong.

        >>> from bptt.modules import GRU
        >>> gru, x, state = GRU(2, 3), torch.randn(5, 2), None
        >>> for x_t in x:
        ...     y_t, state = gru.step(x_t, state)
        >>> torch.allclose(y_t, gru(x)[0][-1], atol=1e-6)
        True
        """
        found = self.quick_step(x_t, hx)
        if found is not None:
            return found
        who = type(self).__name__
        if self.bidirectional:
            raise ValueError(
                f"this {who} is bidirectional, and its other direction starts from the last step, which a stream "
                "has not reached; build it with bidirectional=False, or call it on stretches of the stream"
            )
        checks.check_step(who, x_t, self.input_size)
        axis = int(self.batch_first and x_t.dim() == 2)
        y, state = self.run(x_t.unsqueeze(axis), hx)
        return y.squeeze(axis), state if len(self.state_names) > 1 else state[0]

    def quick_step(self, x_t: Any, hx: Any, readout: tuple[Tensor, Tensor | None] | None = None) -> Any:
        """`step` without gradients, and a read-out by (weight, bias), in one native call; None if it refuses."""
        stack = self._quick_calls().stack
        if stack is None or not isinstance(x_t, Tensor) or x_t.dim() > 2:
            return None
        return stack(self._parameters, x_t, hx, readout)

    def batch_of(self, input: Any) -> int:
        """How many sequences an input holds."""
        if isinstance(input, PackedSequence):
            return int(input.batch_sizes[0])
        return 1 if input.dim() == 2 else input.shape[0 if self.batch_first else 1]

    def _state(self, hx: Any, batch: int | None, like: Tensor, order: Tensor | None) -> State:
        """The initial state as a tuple of (L·D, B, ·): zeros, or hx checked; batch None is unbatched."""
        layers = self.num_layers * self.num_directions
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: len(self.state_names)]
        if hx is None:
            return tuple(like.new_zeros(layers, 1 if batch is None else batch, size) for size in sizes)
        shapes = [(layers, size) if batch is None else (layers, batch, size) for size in sizes]
        checks.check_state(type(self).__name__, hx, self.state_names, shapes, like)
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if batch is None:
            state = tuple(s.unsqueeze(1) for s in state)
        return state if order is None else tuple(s.index_select(1, order) for s in state)


def _batched(hx: Any) -> Any:
    """A state, each (L·D, H), as that of one sequence, (L·D, 1, H)."""
    return tuple(_batched(s) for s in hx) if isinstance(hx, tuple) else hx if hx is None else hx.unsqueeze(1)


def _state_of(hx: Any, number: int, walks: int, unbatched: bool) -> Any:
    """The initial state, each (1, B, ·), of one of the walks that a module's state is for."""
    if hx is None or (walks == 1 and not unbatched):
        return hx
    if isinstance(hx, tuple):
        return tuple(_state_of(s, number, walks, unbatched) for s in hx)
    part = hx.narrow(0, number, 1)
    return part.unsqueeze(0) if unbatched else part
