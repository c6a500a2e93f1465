"""Training of the estimators, update by update, by truncated backpropagation through time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TrainingDiverged
from ..reach.truncated import WindowInput, truncated
from ..training.schedules import Clipping
from ..training.updates import Update
from ..trees import Tree
from .batch import Batch

MeanLoss = Callable[..., Tensor]  # (y (N, ·), d (N, ·), reduction="mean" or "none")


class Carried(NamedTuple):
    """The steps and the state that a stream's next piece begins with."""

    steps: Batch  # the last ones, which the next window goes back over
    state: Tree  # before them


class WindowSizes(NamedTuple):
    """k1 and k2 of truncated BPTT; k1 None for one window over all steps."""

    k1: int | None
    k2: int | None  # None for k1

    def within(self, steps: int) -> tuple[int, int]:
        """k1 and k2 of so many steps."""
        return (steps, steps) if self.k1 is None else (self.k1, self.k2 or self.k1)


def _weighed(loss: MeanLoss, share: float = 1.0) -> Callable[[Tensor, Any], Tensor]:
    """`share` times the weighted mean loss of the steps that have a target; 0 where none has."""

    def criterion(y: Tensor, wanted: tuple[Tensor, Tensor]) -> Tensor:
        d, weight = wanted
        desired = weight.nonzero(as_tuple=True)
        if not len(desired[0]):
            return 0 * y.sum()
        y, d, weight = y[desired], d[desired], weight[desired]
        if bool((weight == weight[0]).all()):
            return share * loss(y, d)
        each = loss(y, d, reduction="none")
        each = each.mean(1) if each.dim() > 1 else each
        return share * (each * weight).sum() / weight.sum()

    return criterion


@dataclass(frozen=True)
class Batches:
    """Mini-batches of sequences, in a new random order each epoch: `Updates` of the training loop."""

    model: nn.Module  # (x, state) -> (y, state)
    count: int  # of sequences
    batch: Callable[[np.ndarray], Batch]  # sequences side by side, by their numbers
    size: int  # how many at a time
    loss: MeanLoss
    reach: WindowSizes
    draw: np.random.RandomState  # draws the orders
    held_out: Batch | None = None  # the validation set, which chooses the best epoch; None for the last epoch

    def epoch(self, number: int, place: Tree = None) -> _Pass:
        return _Pass(self)

    def validation(self) -> float | None:
        if self.held_out is None:
            return None
        with torch.no_grad():
            y, _ = self.held_out.walked_by(self.model)(self.held_out.x, None)
            return _weighed(self.loss)(y, (self.held_out.d, self.held_out.weight)).item()


class _Pass(Iterator[Update]):
    """A pass over all sequences; its updates are the windows that have a target."""

    def __init__(self, source: Batches) -> None:
        self._source = source
        self._order = source.draw.permutation(source.count)
        self._windows = self._walk()
        self.walked: WindowInput | None = None

    def __next__(self) -> Update:
        update, self.walked = next(self._windows)
        return update

    def _walk(self) -> Iterator[tuple[Update, WindowInput]]:
        source = self._source
        for start in range(0, source.count, source.size):
            batch = source.batch(self._order[start : start + source.size])
            share, (k1, k2) = batch.share, source.reach.within(len(batch.x))
            d, criterion = (batch.d, batch.weight), _weighed(source.loss, share)
            windows = truncated(batch.walked_by(source.model), batch.x, d, criterion, k1=k1, k2=k2)
            for window in windows:
                weight = batch.weight[window.start : window.stop].sum().item()
                if weight and windows.walked is not None:
                    x, d, state, first = windows.walked
                    x, state = batch.packed(x, state)
                    yield Update(window.loss.item() / share, weight), WindowInput(x, d, state, first)

    def state_dict(self) -> Tree:  # an estimator is not resumed within an epoch
        return None


def learn_piece(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    clipping: Clipping,
    piece: Batch,
    loss: MeanLoss,
    reach: WindowSizes,
    before: Carried | None,
) -> tuple[float, Carried]:
    """Train on one more piece of a stream: an update for each window, the state carried in and out.

    Returns:
        the mean loss, and the state for the next piece.

    Raises:
        TrainingDiverged: a loss or gradient is not finite; the model has the weights before that update.
    """
    steps = piece if before is None else before.steps.then(piece)
    k1, k2 = reach.within(len(piece.x))
    chunks = iter([(steps.x, (steps.d, steps.weight))])  # as a stream, whose end is not known
    windows = truncated(steps.walked_by(model), chunks, None, _weighed(loss), k1=k1, k2=k2)
    start = len(steps.x) - len(piece.x)
    windows.load_state_dict({"first": 0, "start": start, "state": None if before is None else before.state})
    total, seen = 0.0, 0
    optimizer.zero_grad()
    for window in windows:
        weight = steps.weight[window.start : window.stop].sum().item()
        if weight:
            found, norm = window.loss.item(), clipping.clip(model).item()
            if not (math.isfinite(found) and math.isfinite(norm)):
                raise TrainingDiverged(
                    f"the loss became {found}, the norm of its gradient {norm}, in the window from step "
                    f"{window.start - start + 1} of this piece; the weights before it are kept. Try a smaller lr, "
                    "or standardise X and y",
                    windows.walked,
                )
            optimizer.step()
            total, seen = total + found * weight, seen + weight
        optimizer.zero_grad()
    place = windows.state_dict()
    return total / seen, Carried(steps.since(place["first"]), place["state"])
