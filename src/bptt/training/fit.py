"""The training loop: update by update, epoch by epoch, stopped and taken up again anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import TrainConfig
from .errors import TrainingDiverged
from .optimizing import Clipping, LearningRate, out_of_patience
from .updates import Update, Updates


class Epoch(NamedTuple):
    """What one epoch did."""

    epoch: int  # from 1
    loss: float  # the mean of what is learned from, inputs noisy, targets standardised
    validation: float | None  # the same of what chooses the best epoch, inputs clean
    lr: float
    gradient_norm: float  # before clipping, the largest of its updates
    clip: float | None  # the norm it was clipped at, None for not at all


@dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
        epochs: what each epoch did.
        best: the epoch whose weights the model now has: the last one, or the best on the validation steps.
        interrupted: whether it was asked to stop before its last epoch.
    """

    epochs: list[Epoch]
    best: int
    interrupted: bool


def fit(
    model: nn.Module,
    updates: Updates,
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fitted:
    """Train: every epoch one pass over what is learned from.

    Adam with L2 weight decay, a scheduled learning rate, and clipping of the norm of each update's gradient.

    Args:
        model: whose weights are learned.
        updates: what they are learned from, and the loss that chooses the best epoch.
        config: epochs, patience, lr, schedule, weight_decay, clip.
        on_epoch: called after each epoch.
        should_stop: asked before each update; true ends the training with what was reached.

    Raises:
        TrainingDiverged: the loss is not finite; the model has the last weights whose loss was.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    rate, clipping = LearningRate(optimizer, config), Clipping(config.clip)
    epochs: list[Epoch] = []
    finite, kept, lowest, best = _weights(model), None, math.inf, 0
    interrupted = False
    for number in range(1, config.epochs + 1):
        lr, limit, done = rate.now, clipping.limit, _Sum()
        one_pass = updates.epoch(number)
        while not should_stop():
            optimizer.zero_grad()
            update = next(one_pass, None)
            if update is None:
                break
            if not math.isfinite(update.loss):
                model.load_state_dict(finite)
                raise TrainingDiverged(
                    f"the loss became {update.loss} in epoch {number}; the weights before it are kept. Try a "
                    f"smaller learning rate than {config.lr:g}, or a tighter clip than {limit:g}"
                )
            finite = _weights(model)
            done = done.and_(update, clipping.clip(model))
            optimizer.step()
        else:
            interrupted = True
            break  # in the middle of the epoch
        validation = updates.validation()
        rate.epoch_done(done.loss if validation is None else validation)
        clipping.epoch_done()
        if validation is not None and validation < lowest:
            kept, lowest, best = _weights(model), validation, number
        epochs.append(
            Epoch(number, done.loss, validation, lr, done.largest, limit if math.isfinite(limit) else None)
        )
        on_epoch(epochs[-1])
        if out_of_patience(epochs, config.patience):
            break
    if kept is not None:
        model.load_state_dict(kept)
    return Fitted(epochs, best if kept is not None else len(epochs), interrupted)


class _Sum(NamedTuple):
    """What the updates of an epoch have come to so far."""

    total: float = 0.0
    numbers: int = 0
    largest: float = 0.0  # norm of a gradient

    def and_(self, update: Update, norm: float) -> _Sum:
        total = self.total + update.loss * update.numbers
        return _Sum(total, self.numbers + update.numbers, max(self.largest, norm))

    @property
    def loss(self) -> float:
        return self.total / self.numbers


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}
