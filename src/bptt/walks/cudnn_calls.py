"""cuDNN's calls, forward and backward, for a whole stack, and the flat buffer that it reads the weights from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from ..equations.protocol import Equations
from .call import BatchSizes, lacks_memory
from .stack import Stack

RELU, TANH, LSTM, GRU = range(4)  # cudnnRNNMode_t
CELLS: dict[int, Equations] = {
    RELU: ElmanEquations(ACTIVATIONS["relu"]),
    TANH: ElmanEquations(ACTIVATIONS["tanh"]),
    LSTM: LSTMEquations(),
    GRU: GRUEquations(),
}

StackOperands = tuple[Tensor, Tensor, Tensor | None]  # x, h0 and c0, which an LSTM alone has


def mode_of(cell: Equations) -> int | None:
    """cuDNN's mode for a cell; None where it has none."""
    if type(cell) is ElmanEquations:
        same = (m for m in (RELU, TANH) if cell.leak == 1 and CELLS[m].activation == cell.activation)  # pyright: ignore
        return next(same, None)
    return next((mode for mode in (LSTM, GRU) if type(cell) is type(CELLS[mode])), None)


class Terms(NamedTuple):
    """A stack in cuDNN's terms; its x, state and weights are handed beside it."""

    mode: int
    hidden: int  # H
    projected: int  # R of an LSTM with a projection; else 0
    directions: int
    per_layer: int  # weights of each layer and direction: 2, one more with W_hr, two more with biases
    batch_sizes: BatchSizes = None

    @classmethod
    def of(cls, stack: Stack) -> tuple[Terms, StackOperands, list[Tensor]]:
        """The terms of a stack whose cell has a mode, with x, h0 and c0, and its weights as cuDNN lists them.

        Where a layer has one bias of the two, zeros stand for the other.
        """
        first = stack.weights[0]
        biased = first.b_ih is not None or first.b_hh is not None
        projected = 0 if first.W_hr is None else first.W_hr.shape[0]
        hidden = first.W_ih.shape[0] // stack.cell.gates
        per_layer = 2 + 2 * biased + (projected > 0)
        mode = mode_of(stack.cell)
        assert mode is not None
        listed = []
        for w in stack.weights:
            biases = (w.W_ih.new_zeros(len(w.W_ih)) if b is None else b for b in (w.b_ih, w.b_hh))
            listed += [w.W_ih, w.W_hh, *(biases if biased else ()), *([w.W_hr] if projected else [])]
        terms = cls(mode, hidden, projected, stack.directions, per_layer, stack.batch_sizes)
        return terms, (stack.x, *stack.state, *[None] * (2 - len(stack.state))), listed  # pyright: ignore

    def stack(self, x: Tensor, h0: Tensor, c0: Tensor | None, weights: Sequence[Tensor]) -> Stack:
        """The stack itself."""
        fields = ["W_ih", "W_hh", *(["b_ih", "b_hh"] if self.per_layer > 3 else [])]
        fields += ["W_hr"] if self.projected else []
        every = range(0, len(weights), self.per_layer)
        layers = (dict(zip(fields, weights[at : at + self.per_layer], strict=True)) for at in every)
        state = (h0,) if c0 is None else (h0, c0)
        return Stack(
            CELLS[self.mode], x, state, tuple(Weights(**w) for w in layers), self.directions, self.batch_sizes
        )

    def layers(self, weights: Sequence[Tensor]) -> int:
        return len(weights) // (self.per_layer * self.directions)

    def arguments(self, weights: Sequence[Tensor], train: bool) -> tuple:
        """The arguments that both calls have in common, from the mode on; no dropout, time first."""
        sizes = self.mode, self.hidden, self.projected, self.layers(weights), False
        return *sizes, 0.0, train, self.directions == 2, self.batch_sizes or [], None


class StackWalked(NamedTuple):
    """The result of a forward pass."""

    y: Tensor  # (T, B, D·R) or (N, D·R)
    h_n: Tensor
    c_n: Tensor | None  # of an LSTM
    reserve: Tensor  # cuDNN's own values for the backward pass; empty where none is wanted
    buffer: Tensor  # the weights as it read them


def cudnn_forward(
    terms: Terms, train: bool, x: Tensor, h0: Tensor, c0: Tensor | None, weights: Sequence[Tensor]
) -> StackWalked:
    """Walk a stack forward; `train`: whether to keep what the backward pass needs, in train and in eval mode."""
    operands = (x, h0) if c0 is None else (x, h0, c0)
    if lacks_memory((*operands, *weights)):
        terms.stack(x, h0, c0, weights).check_memory()
    buffer = flat_weights(terms, x.shape[-1], weights)
    h0, c0 = h0.contiguous(), None if c0 is None else c0.contiguous()
    y, h_n, c_n, reserve, buffer = torch.ops.aten._cudnn_rnn(
        x, weights, terms.per_layer, buffer, h0, c0, *terms.arguments(weights, train)
    )
    return StackWalked(y, h_n, None if c0 is None else c_n, reserve, buffer)


def cudnn_backward(
    terms: Terms,
    wanted: Sequence[bool],
    operands: StackOperands,
    weights: Sequence[Tensor],
    saved: tuple[Tensor, Tensor, Tensor],
    seeds: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """∂L/∂ of x, h0, c0 and each weight; None where not wanted.

    Args:
        saved: y, reserve and buffer. cuDNN overwrites the reserve.
        seeds: ∂L/∂y, ∂L/∂h_n and ∂L/∂c_n, None for zero.
    """
    x, h0, c0 = operands
    h0, c0 = h0.contiguous(), None if c0 is None else c0.contiguous()
    y, reserve, buffer = saved
    of_x, of_h0, of_c0, *of_weights = wanted
    if all(seed is None for seed in seeds):
        return [None] * len(wanted)
    mask = [of_x, of_h0, of_c0 and c0 is not None, any(of_weights)]
    dx, dh0, dc0, found = torch.ops.aten._cudnn_rnn_backward(
        x, weights, terms.per_layer, buffer, h0, c0, y, *seeds, *terms.arguments(weights, True), reserve, mask
    )
    found = found if any(of_weights) else [None] * len(of_weights)
    return [g if want else None for g, want in zip((dx, dh0, dc0, *found), wanted, strict=True)]


# The order of cuDNN's buffer: a weight's number, None for zeros, and how many numbers.
BufferOrder = tuple[tuple[int | None, int], ...]


def flat_weights(terms: Terms, I: int, weights: Sequence[Tensor]) -> Tensor:
    """The weights as the flat buffer that cuDNN reads.

    A view, where they already lie in memory so; else a copy. Biases that a stack has not are zeros in it.

    Raises:
        ValueError: a weight has not the size that cuDNN reads.
    """
    first = weights[0]
    order = order_of(terms._replace(batch_sizes=None), I, terms.layers(weights), first.dtype, first.device)
    if order is None:  # no order that a concatenation can make: cuDNN lays copies out itself
        return _flatten(terms, I, [w.detach().clone() for w in weights])
    for number, count in order:
        if number is not None and weights[number].numel() != count:
            raise ValueError(
                f"weight {number} has shape {tuple(weights[number].shape)}; cuDNN reads {count} numbers"
            )
    parts = [first.new_zeros(count) if number is None else weights[number] for number, count in order]
    view = _adjacent(parts)
    # A view takes about as long as a small kernel, so the biases, which are flat, do without.
    return torch.cat([p if p.dim() == 1 else p.reshape(-1) for p in parts]) if view is None else view


def _adjacent(parts: Sequence[Tensor]) -> Tensor | None:
    """One view of parts that lie one after the other in one storage; None where they do not."""
    first, at = parts[0], parts[0].storage_offset()
    start, memory = at, first.untyped_storage().data_ptr()
    for part in parts:
        if part.storage_offset() != at or part.untyped_storage().data_ptr() != memory or not part.is_contiguous():
            return None
        at += part.numel()
    return first.as_strided((at - start,), (1,))


@lru_cache(maxsize=256)
def order_of(terms: Terms, I: int, layers: int, dtype: torch.dtype, device: torch.device) -> BufferOrder | None:
    """The order of cuDNN's buffer for a shape, learnt from where cuDNN itself puts empty weights.

    None where a weight is no plain stretch of the buffer, or two overlap.
    """
    weights = [torch.empty(shape, dtype=dtype, device=device) for shape in _shapes(terms, I, layers)]
    buffer = _flatten(terms, I, weights)
    memory = buffer.untyped_storage().data_ptr()
    if not all(w.is_contiguous() and w.untyped_storage().data_ptr() == memory for w in weights):
        return None
    parts, at = [], 0
    for number in sorted(range(len(weights)), key=lambda n: weights[n].storage_offset()):
        start, count = weights[number].storage_offset(), weights[number].numel()
        if start < at:
            return None
        parts += [(None, start - at)] if start > at else []
        parts.append((number, count))
        at = start + count
    parts += [(None, buffer.numel() - at)] if buffer.numel() > at else []
    return tuple(parts)


def _flatten(terms: Terms, I: int, weights: list[Tensor]) -> Tensor:
    """cuDNN's buffer of weights, which become views of it."""
    sizes = I, terms.mode, terms.hidden, terms.projected, terms.layers(weights), False, terms.directions == 2
    with torch.no_grad():
        return torch.ops.aten._cudnn_rnn_flatten_weight(weights, terms.per_layer, *sizes)


def _shapes(terms: Terms, I: int, layers: int) -> list[tuple[int, ...]]:
    """The shapes of a stack's weights, as cuDNN lists them."""
    H, R = terms.hidden, terms.projected or terms.hidden
    rows, shapes = CELLS[terms.mode].gates * H, []
    for layer in range(layers):
        features = R * terms.directions if layer else I
        biases = [(rows,)] * 2 if terms.per_layer > 3 else []
        shapes += [(rows, features), (rows, R), *biases, *([(R, H)] if terms.projected else [])] * terms.directions
    return shapes


def tf32_is_on() -> bool:
    """Whether cuDNN may compute float32 through TF32, by torch's own setting."""
    setting: Any = torch.backends.cudnn.rnn  # pyright: ignore[reportAttributeAccessIssue]
    return setting.fp32_precision == "tf32"
