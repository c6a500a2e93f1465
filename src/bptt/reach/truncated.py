"""Truncated backpropagation through time.

Williams & Peng (1990), "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories": BPTT(h; h'), with h = k2 and h' = k1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checks import check_sizes
from ..trees import Tree, cloned, form, leaves
from .chunks import Chunks, open_sequences
from .gradients import backward_or_restore, scalar_loss
from .out_of_memory import memory_advice
from .pieces import Piece, Sequences
from .sequence_loss import criterion_or_own
from .walker import Model, Walker

ADVICE = "take a smaller batch or a smaller k2, or the full gradient by bptt.checkpointed(memory=...)"


class Window(NamedTuple):
    """The results of one window of truncated BPTT; its gradients are in `.grad`.

    Attributes:
        loss: of its steps, a scalar without history.
        outputs: y of its steps, laid out as x, without history; None where `loss` was given.
        state: after its last step, without history.
        start: its first step, counted from 0.
        stop: one past its last step.
    """

    loss: Tensor
    outputs: Any
    state: Tree
    start: int
    stop: int

    def __repr__(self) -> str:
        shapes = f"outputs={form(self.outputs)}, state={form(self.state)}"
        return f"Window(loss={self.loss.item():.6g}, {shapes}, start={self.start}, stop={self.stop})"


def truncated(
    model: Model | nn.Module,
    x: Any,
    d: Any = None,
    criterion: Callable[[Tensor, Any], Tensor] | None = None,
    *,
    loss: Callable[[Any], Tensor] | None = None,
    k1: int = 20,
    k2: int | None = None,
    state: Tree = None,
    resets: Any = None,
    time: int | None = None,
) -> Truncated:
    """Every k1 steps, backpropagate the loss of those steps over the last k2, and yield the window.

    A window [start, stop) has k1 steps, the last one perhaps fewer. Its gradient is exactly that of
    criterion(y[start:stop], d[start:stop]) when the model is walked from step stop - k2, or from the first one,
    to stop with the weights as they are now and the state before that walk held constant. Where k2 > k1, that
    state is the one the window before computed on its way. k1 = k2 = T is full BPTT.

    The gradients are added to `.grad` before a window is yielded, so step and zero between the windows:

        for window in bptt.truncated(model, x, d, criterion, k1=20, k2=60):
            optimizer.step()
            optimizer.zero_grad()

    Args:
        model: a module or function (x, state) -> (y, state), from the first step to the last, or (x) -> y, whose
            recurrent modules then carry their states as in `bptt.stateful`: see `Walker`.
        x: (T, B, ·), or (B, T, ·) if the model is batch_first; a tensor, array or memory map, a tuple or dict of
            them, or an iterable of chunks, each some steps long, read as they are needed. Tensors are on the
            model's device; arrays and chunks are copied there.
        d: the desired outputs, laid out as x and as long; chunks as long as those of x where x comes in chunks,
            or None where the chunks of x are pairs (x, d), as `bptt.stream` gives them. Where the length is not
            known before the end (`bptt.stream` knows it), a shorter last window goes back by as many steps less.
        criterion: (y, d) -> the loss of a window, a scalar. d is the window's own, a tuple or dict where d is one:
            weights, masks and whatever else the loss needs go in there.
        loss: a function of a window of x, a tree cut along time, that calls the model and returns a scalar, in
            place of d and the criterion. The recurrent modules carry their states, each called once a window,
            whatever the model takes and returns. It is called on windows as they are: k2 is a multiple of k1, and
            sequences begin where windows do. Default None.
        k1: steps between two updates, those whose loss counts. Default 20.
        k2: steps the gradient goes back from the end of a full window; at least k1. Default k1.
        state: the state before the first step, held constant; None for the model's own, which may be learned. A
            model may change the state it is given in place: it is given a copy.
        resets: booleans (T, B), or (T,), laid out as x: before these steps a new sequence begins in these rows,
            with zeros for a state, or the initial state of a `bptt.Cell`. Nothing flows back across. Default none.
        time: which axis of x and d is time, 0 or 1. Default: as the model has it, see `Walker`.

    Returns:
        an iterator of `Window`, with `state_dict` and `load_state_dict` to save and load its place. With k2 > k1
        steps are walked again: dropout is drawn again for them, and buffers that the model changes as it walks
        (batch normalisation) are changed again.

    Raises:
        ValueError, TypeError: at the call, for arguments and lengths; at a window, for what comes in chunks, a
            loss that is no scalar, outputs or states of another form. `.grad` is then as it was before it.

    >>> model = torch.nn.GRU(1, 3)
    >>> x, d = torch.zeros(50, 1, 1), torch.zeros(50, 1, 3)
    >>> [(w.start, w.stop) for w in truncated(model, x, d, torch.nn.MSELoss(), k1=20, k2=40)]
    [(0, 20), (20, 40), (40, 50)]

    A model that hides its state, a batch in a dict, and a loss of more than two arguments:

    >>> rnn, readout = torch.nn.GRU(1, 3), torch.nn.Linear(3, 1)
    >>> def predict(batch):
    ...     return readout(rnn(batch["x"])[0])
    >>> def loss(y, d):
    ...     return (d["weight"] * (y - d["target"]) ** 2).mean()
    >>> x, d = {"x": torch.zeros(50, 1, 1)}, {"target": torch.zeros(50, 1, 1), "weight": torch.ones(50, 1, 1)}
    >>> [sorted(w.state) for w in truncated(predict, x, d, loss, k1=25)]
    [['0'], ['0']]

    A loss that takes the window whole, and calls the model as it likes:

    >>> def loss(window):
    ...     y = readout(rnn(window["x"])[0])
    ...     return (window["weight"] * (y - window["target"]) ** 2).mean()
    >>> model = torch.nn.ModuleList([rnn, readout])
    >>> [sorted(w.state) for w in truncated(model, x | d, loss=loss, k1=25)]
    [['0'], ['0']]
    """
    check_reach(k1, k2)
    of_window = criterion_or_own(d, criterion, loss)
    if loss is not None and k2 is not None and k2 % k1:
        raise ValueError(f"loss(window) is called on windows as they are: k2={k2} must be a multiple of k1={k1}")
    walker = Walker(model, time, loss)
    source = open_sequences(walker, x, d, resets)
    if isinstance(source, Sequences):
        check_constant(source.whole)
    leaves(state)
    return Truncated(walker, source, of_window, k1, k2 or k1, state, backward_or_restore)


def check_reach(k1: int, k2: int | None) -> None:
    """Check that 1 ≤ k1 ≤ k2."""
    check_sizes(k1=k1)
    if k2 is not None:
        check_sizes(k2=k2)
        if k2 < k1:
            raise ValueError(
                f"k2={k2} is less than k1={k1}: some steps of a window would get no gradient; "
                "pass k2 of at least k1"
            )


class WindowInput(NamedTuple):
    """The arguments of a window's walk."""

    x: Tree  # of the last k2 steps
    d: Tree  # of the same steps
    state: Tree  # before them
    first: int = 0  # of these steps, counted from 0


class Truncated(Iterator[Window]):
    """The iterator that `truncated` returns: one window after the other, and the place reached.

    `state_dict` is that place: the step the next window begins with, the step its walk begins with, and the state
    before that one. `load_state_dict` continues from there bit for bit, in the same x and d and with the same
    weights; chunks must come from an object with a method seek(step), as `bptt.stream`.

    Attributes:
        walked: the arguments of the last window's walk, or of the one that failed; None before the first.
    """

    def __init__(
        self,
        walker: Walker,
        source: Sequences | Chunks,
        criterion: Callable[[Tensor, Any], Tensor],
        k1: int,
        k2: int,
        state: Tree,
        backward: Callable[[Tensor], object],
    ) -> None:
        self._walker, self._source, self._criterion = walker, source, criterion
        self._k1, self._k2, self._backward = k1, k2, backward  # the last is called with each loss
        self._first = self._start = 0  # of the walk, of the window
        self._state = cloned(state)  # before step `first`; never handed to the model itself
        self.walked: WindowInput | None = None

    def __next__(self) -> Window:
        source, first, start = self._source, self._first, self._start
        whole = self._walker.has_loss  # windows are not cut, but walked again as they were
        piece = None if start == source.length else source.read(first, start + self._k1)
        stop = start if piece is None else first + leaves(piece.x)[0].shape[source.axis]
        if piece is None or stop == start:
            raise StopIteration
        check_constant(piece)
        self.walked = WindowInput(piece.x, piece.d, self._state, first)
        coming = self._k1 if whole or source.length is None else min(self._k1, source.length - stop)
        following = max(0, stop + coming - self._k2)
        if whole:
            self._check_resets(piece.resets, start - first)
        d = piece.narrowed(source.axis, start - first, stop - start).d
        with memory_advice(f"a window of {stop - start} steps that goes back {stop - first}", ADVICE):
            with torch.enable_grad():
                y, marked, after = _walk(
                    self._walker, piece, cloned(self._state), source.axis, start - first, following - first
                )
                loss = scalar_loss(self._criterion, y, d)
            if coming:
                source.prefetch(following, stop + coming)
            self._backward(loss)
        self._first, self._start, self._state = following, stop, marked
        return Window(loss.detach(), None if whole else y.detach(), after, start, stop)

    def _check_resets(self, resets: Tensor | None, start: int) -> None:
        """No sequence begins within a window that a loss takes whole."""
        inside = [step for step in _reset_steps(resets, self._source.axis) if step > start]
        if inside:
            raise ValueError(
                f"a sequence begins at step {self._first + inside[0]}, within the window from step {self._start}, "
                "which loss(window) takes whole: let sequences begin where windows do, every k1 steps"
            )

    def state_dict(self) -> dict[str, Any]:
        """The place: where the next window begins, "start", and its walk, "first", and the "state" before that."""
        return {"first": self._first, "start": self._start, "state": self._state}

    def load_state_dict(self, place: dict[str, Any]) -> None:
        """Continue from a saved place.

        Raises:
            ValueError: it is not a place of truncated BPTT, or lies beyond the end of x.
            TypeError: x comes in chunks without a method seek.
        """
        own = self.state_dict()
        if not isinstance(place, dict) or set(place) != set(own):
            got = sorted(place) if isinstance(place, dict) else f"a {type(place).__name__}"
            raise ValueError(f"the place of truncated BPTT has {sorted(own)}, got {got}")
        first, start = place["first"], place["start"]
        if not all(isinstance(step, int) for step in (first, start)):
            raise ValueError(f"a place has ints for its steps, got first={first!r} and start={start!r}")
        if not 0 <= first <= start or (self._source.length is not None and start > self._source.length):
            raise ValueError(f"a walk from step {first} for a window from step {start} does not lie in x")
        leaves(place["state"])
        self._source.seek(first)
        self._first, self._start, self._state = first, start, cloned(place["state"])


def _walk(
    walker: Walker, piece: Piece, state: Tree, axis: int, start: int, mark: int
) -> tuple[Tensor, Tree, Tree]:
    """Walk a piece: y from step `start` on, and copies of the state before step `mark` and after the last one."""
    steps = leaves(piece.x)[0].shape[axis]
    whole = {start} if walker.has_loss else set()
    cuts = [*sorted({0, mark, *whole, *_reset_steps(piece.resets, axis)} - {steps}), steps]
    outputs, marked = [], None
    for first, stop in itertools.pairwise(cuts):
        if first == mark:
            marked = cloned(state)
        if piece.resets is not None:
            state = walker.reset(state, piece.resets.select(axis, first))
        x = piece.x if stop - first == steps else piece.narrowed(axis, first, stop - first).x
        y, state = walker.walk(x, state, axis)
        if stop > start:
            lead = max(0, start - first)
            outputs.append(y.narrow(axis, lead, stop - first - lead) if lead else y)
    y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, axis)
    return y, cloned(state) if mark == steps else marked, cloned(state)


def _reset_steps(resets: Tensor | None, axis: int) -> list[int]:
    if resets is None:
        return []
    rows = resets if resets.dim() == 1 else resets.any(1 - axis)
    return rows.nonzero().flatten().tolist()


def check_constant(piece: Piece) -> None:
    """Check that x and d require no gradients."""
    for name, tree in (("x", piece.x), ("d", piece.d)):
        if any(leaf.requires_grad for leaf in leaves(tree, name)):
            raise ValueError(
                f"{name} requires gradients, which truncated BPTT does not give: pass {name}.detach(), or make "
                f"the layer that computed {name} a part of the model"
            )
