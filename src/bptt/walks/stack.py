"""The loop over a module's layers and directions, and the arguments of a whole stack as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..equations.protocol import Equations, State, Weights
from ..packing import reversed_rows
from .call import BatchSizes, Call, want_gradients

WalkOne = Callable[[Call], tuple[Tensor, State]]
WalkOneOf = Callable[[int, Tensor], tuple[Tensor, State] | None]
WalkStack = Callable[["Stack"], tuple[Tensor, State]]
Between = Callable[[Tensor], Tensor] | None


class Stack(NamedTuple):
    """What a module's layers and directions are walked with."""

    cell: Equations
    x: Tensor  # (T, B, I), or (N, I) with batch_sizes; T ≥ 1
    state: State  # the initial state, a tuple of (L·D, B, ·)
    weights: tuple[Weights[Tensor], ...]  # of each layer, the forward direction first
    directions: int = 1
    batch_sizes: BatchSizes = None  # rows of each step, not increasing; None where all steps have B rows

    def layers(self) -> int:
        return len(self.weights) // self.directions

    def tensors(self) -> tuple[Tensor | None, ...]:
        """x, the state, and five weights of each layer and direction."""
        return (self.x, *self.state, *(w for weights in self.weights for w in weights))

    def with_tensors(self, tensors: Iterable[Tensor | None]) -> Stack:
        """The same stack of other tensors, in the order of `tensors`."""
        x, *rest = tensors
        n, per = len(self.state), len(Weights._fields)
        weights = tuple(Weights(*rest[at : at + per]) for at in range(n, len(rest), per))  # pyright: ignore
        return self._replace(x=x, state=tuple(rest[:n]), weights=weights)  # pyright: ignore

    def each(self, function: Callable[[Tensor], Tensor]) -> Stack:
        """The same stack of the function's value for each tensor."""
        return self.with_tensors(None if t is None else function(t) for t in self.tensors())

    def in_dtype(self, dtype: torch.dtype) -> Stack:
        """The same stack, converted."""
        return self.each(lambda t: t.to(dtype))

    def wants_gradients(self) -> bool:
        """Whether autograd has to follow the walk."""
        return want_gradients(self.tensors())

    def call(self, number: int, x: Tensor) -> Call:
        """The walk of one layer and direction, of this number, over these rows."""
        return Call(self.cell, x, tuple(s[number] for s in self.state), self.weights[number], self.batch_sizes)

    def check_memory(self) -> None:
        """Refuse a tensor whose storage was resized below it."""
        for number in range(len(self.weights)):
            self.call(number, self.x).check_memory()

    def walk(self, walk: WalkOne, between: Between = None) -> tuple[Tensor, State]:
        """The last layer's outputs and the final state (L·D, B, ·), each layer and direction by a call of `walk`.

        Args:
            walk: h after each step and the final state, each (B, ·), of a call; in order, the forward direction
                first.
            between: applied to the outputs of each layer but the last, dropout for example. Default None.
        """

        def walk_one(number: int, x: Tensor) -> tuple[Tensor, State]:
            y, final = walk(self.call(number, x))
            return y, tuple(s.unsqueeze(0) for s in final)

        walked = through_layers(self.x, self.layers(), self.directions, self.batch_sizes, walk_one, between)
        return cast("tuple[Tensor, State]", walked)

    def walk_by_layer(self, walk: WalkStack, between: Between) -> tuple[Tensor, State]:
        """The same, each layer with its directions by a call of `walk`."""

        def walk_one(number: int, x: Tensor) -> tuple[Tensor, State]:
            own = slice(number * self.directions, (number + 1) * self.directions)
            state = tuple(s[own] for s in self.state)
            return walk(self._replace(x=x, state=state, weights=self.weights[own]))

        return cast("tuple[Tensor, State]", through_layers(self.x, self.layers(), 1, None, walk_one, between))


def through_layers(
    x: Tensor, layers: int, directions: int, batch_sizes: BatchSizes, walk_one: WalkOneOf, between: Between = None
) -> tuple[Tensor, State] | None:
    """Walk all layers and directions in turn.

    Args:
        x: (T, B, I), or (N, I) with batch_sizes.
        walk_one: the outputs (T, B, R) or (N, R) and final state (1, B, ·) of the layer and direction of a number,
            forward in time over the rows it is given; called for each in order, the forward direction first.
            None ends the walk.
        between: applied to the outputs of each layer but the last. Default None.

    Returns:
        the last layer's outputs, (T, B, D·R) or (N, D·R), and the final state (L·D, B, ·); None where `walk_one`
        gave None.
    """
    mirror = reversed_rows(batch_sizes, x.device) if batch_sizes is not None and directions == 2 else None
    finals = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            walked = walk_one(len(finals), _mirrored(x, mirror) if direction else x)
            if walked is None:
                return None
            outputs.append(_mirrored(walked[0], mirror) if direction else walked[0])
            finals.append(walked[1])
        x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        x = x if between is None or layer == layers - 1 else between(x)
    if len(finals) == 1:
        return x, finals[0]
    return x, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))


def _mirrored(x: Tensor, mirror: Tensor | None) -> Tensor:
    """Rows in the opposite order of time, for each sequence within its own length."""
    return x.flip(0) if mirror is None else x.index_select(0, mirror)
