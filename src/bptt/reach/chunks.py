"""x, d and resets that come in chunks, one after the other, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..trees import form, leaves, mapped, refilled
from .arrays import as_tensors
from .pieces import Piece, Sequences
from .walker import Walker

_MISSING = object()


class Chunks:
    """Chunks of x, d and resets that come one after the other, each read once; on the CPU or the model's device.

    Args:
        walker: the model.
        x, d, resets: iterables of chunks, chunks at the same place of one length; with d None, x gives
            pairs (x, d), or x alone where the walker has a loss of its own. T is known where x has it as `steps`,
            as `bptt.stream` does.
    """

    def __init__(self, walker: Walker, x: Any, d: Any, resets: Any = None) -> None:
        self.walker, self.axis = walker, 0
        self.given = x, d, resets
        self.begin = getattr(x, "position", 0)  # of a stream, where it stands
        self.length: int | None = x.steps - self.begin if hasattr(x, "steps") else None  # T, if it is known
        self.layout = getattr(x, "batch_first", None)  # of the chunks where they say so, else the model's
        self.form: str | None = None  # of a step of the chunks before
        self._open()
        self.held: Piece | None = None
        self.start = self.stop = 0  # the steps held

    def read(self, first: int, stop: int) -> Piece | None:
        """Steps first to stop, fewer at the end; None where there are none. Steps before `first` are dropped.

        Never takes a chunk before it is needed.
        """
        parts = []
        if self.held is not None and first < self.stop:
            parts.append(self.held.narrowed(self.axis, first - self.start, self.stop - first))
        self.start = first
        while self.stop < stop and (chunk := self._next()) is not None:
            parts.append(chunk)
        self.held = _joined(parts, self.axis)
        steps = min(stop, self.stop) - first
        return None if self.held is None or steps <= 0 else self.held.narrowed(self.axis, 0, steps)

    def _open(self) -> None:
        x, d, resets = self.given
        if self.walker.has_loss:
            self.chunks = ((chunk, None) for chunk in x)
        else:
            self.chunks = iter(x) if d is None else _together(iter(x), iter(d))
        self.resets = None if resets is None else iter(resets)

    def prefetch(self, first: int, stop: int) -> None:
        """Nothing: a chunk may not be there before it is needed."""

    def seek(self, step: int) -> None:
        """Continue at a step.

        Raises:
            TypeError: what the chunks come from has no method seek(step).
        """
        if step == self.stop and self.held is None:
            return
        given_ones = [given for given in self.given if given is not None]
        for given in given_ones:
            if not hasattr(given, "seek"):
                raise TypeError(
                    f"chunks of a {type(given).__name__} cannot be taken up at step {step}: give it a method "
                    "seek(step), as bptt.stream has"
                )
        for given in given_ones:
            given.seek(self.begin + step)
        self._open()
        self.held, self.start, self.stop = None, step, step

    def _next(self) -> Piece | None:
        pair = next(self.chunks, _MISSING)
        if pair is _MISSING:
            if self.form is None and self.stop == 0:
                raise ValueError(
                    f"x gave no chunk; a {type(self.given[0]).__name__} that has been read to its end gives none: "
                    "make a new one for each pass"
                )
            return None
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"without d, x must give pairs (x, d), but after {self.stop} steps it gave a {type(pair).__name__}"
            )
        resets = None if self.resets is None else next(self.resets, _MISSING)
        if resets is _MISSING:
            raise ValueError(f"resets end after {self.stop} steps, but x goes on")
        try:
            chunk = Sequences(self.walker, *self._turned(pair[0], pair[1], resets), moved=True)
        except (TypeError, ValueError) as error:
            raise type(error)(f"in the chunk after step {self.stop}: {error}") from error
        self.axis = chunk.axis
        piece = chunk.read(0, chunk.steps)
        assert piece is not None
        self._check_form(piece)
        self.stop += chunk.steps
        return piece

    def _turned(self, x: Any, d: Any, resets: Any) -> tuple[Any, Any, Any]:
        """Chunks that say how they are laid out, with time on the axis where the model has it."""
        if not isinstance(self.layout, bool):
            return x, d, resets
        trees = as_tensors(x, "x"), as_tensors(d, "d"), as_tensors(resets, "resets")
        alone = not any(leaf.dim() > 1 for leaf in leaves(trees[0], "x"))
        if alone or self.walker.time_axis(trees[0]) == int(self.layout):
            return x, d, resets
        return mapped(lambda leaf: leaf.transpose(0, 1) if leaf.dim() > 1 else leaf, trees)

    def _check_form(self, piece: Piece) -> None:
        step = piece.narrowed(self.axis, 0, 1)
        found = f"x {form(step.x, 'x')} and d {form(step.d, 'd')}"
        if self.form not in (None, found):
            raise ValueError(
                f"a step of the chunk after step {self.stop} is {found}, but of those before it was {self.form}; "
                "sequences that are walked side by side stay the same from chunk to chunk"
            )
        self.form = found


def open_sequences(walker: Walker, x: Any, d: Any, resets: Any = None) -> Sequences | Chunks:
    """What x and d are: sequences to be read anywhere, or chunks.

    Raises:
        ValueError: no gradients are taken here, under torch.inference_mode().
    """
    if torch.is_inference_mode_enabled():
        raise ValueError("under torch.inference_mode() there are no gradients; leave it for the call")
    chunked = {name: _is_chunked(value) for name, value in (("x", x), ("d", d), ("resets", resets))}
    if not chunked["x"]:
        for name in ("d", "resets"):
            if chunked[name]:
                raise TypeError(f"{name} comes in chunks but x does not; pass both as chunks or both as a whole")
        return Sequences(walker, x, d, resets)
    for name, value in (("d", d), ("resets", resets)):
        if value is not None and not chunked[name]:
            raise TypeError(
                f"x comes in chunks but {name} is a {type(value).__name__}; pass an iterable of chunks as "
                "long as those of x"
            )
    return Chunks(walker, x, d, resets)


def _is_chunked(value: Any) -> bool:
    whole = Tensor | np.ndarray | tuple | list | dict | str | bytes
    return isinstance(value, Iterable) and not isinstance(value, whole) and not hasattr(value, "__array__")


def _together(x: Iterator[Any], d: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Pairs of chunks; both must end together."""
    number = 0
    while True:
        pair = next(x, _MISSING), next(d, _MISSING)
        if pair == (_MISSING, _MISSING):
            return
        for name, other, chunk in (("x", "d", pair[0]), ("d", "x", pair[1])):
            if chunk is _MISSING:
                raise ValueError(f"{name} ended after {number} chunks, but {other} goes on; each step needs both")
        number += 1
        yield pair


def _joined(parts: list[Piece], axis: int) -> Piece | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = zip(*(leaves(part) for part in parts), strict=True)
    return refilled(parts[0], iter([torch.cat(column, axis) for column in columns]))
