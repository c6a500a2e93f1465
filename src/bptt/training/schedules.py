"""Learning rate schedules, gradient clipping and early stopping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from ..insight.diagnosis.clipping import suggested_clip
from ..trees import Tree
from .options.base import TrainOptions

ENOUGH = 20  # gradient norms, from which --clip auto learns where to clip
WAIT = 5  # epochs without a better loss after which --schedule plateau halves the rate


class LearningRate:
    """The learning rate of an optimizer, epoch by epoch."""

    def __init__(self, optimizer: Optimizer, config: TrainOptions) -> None:
        self._optimizer = optimizer
        self._schedule: Any = {
            "constant": lambda: lr_scheduler.ConstantLR(optimizer, 1.0),
            "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs),
            "step": lambda: lr_scheduler.StepLR(optimizer, math.ceil(config.epochs / 3), gamma=0.1),
            "plateau": lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=WAIT),
        }[config.schedule]()

    @property
    def now(self) -> float:
        """The rate of the epoch that runs."""
        return float(self._optimizer.param_groups[0]["lr"])

    def epoch_done(self, loss: float) -> None:
        """Go on to the next epoch's; the loss is what a plateau is seen from."""
        if isinstance(self._schedule, lr_scheduler.ReduceLROnPlateau):
            self._schedule.step(loss)
            return
        setattr(self._optimizer, "_opt_called", True)  # noqa: B010  after a resume, its step may lie before it
        self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._schedule.load_state_dict(state)


class Clipping:
    """Shortens gradients that are longer than a limit, which may be learned as training goes.

    Args:
        clip: the limit; "auto" clips nothing up to the end of an epoch by which 20 norms were seen, and then where
            the diagnosis would.

    Attributes:
        limit: the largest norm; infinite while it is not known yet.
    """

    def __init__(self, clip: float | str) -> None:
        self.limit = math.inf if isinstance(clip, str) else clip
        self._seen: list[Tensor | float] | None = [] if isinstance(clip, str) else None  # norms seen so far

    def clip(self, model: nn.Module) -> Tensor:
        """Shorten `.grad` of the model's weights; returns its norm before, a scalar on their device."""
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.limit)
        if self._seen is not None:
            self._seen.append(norm)
        return norm

    def epoch_done(self) -> float | None:
        """The limit, where it has just been learned; else None."""
        if self._seen is None or len(self._seen) < ENOUGH:
            return None
        self.limit = suggested_clip(torch.tensor(list(map(float, self._seen)), device="cpu")) or math.inf
        self._seen = None
        return self.limit

    def state_dict(self) -> Tree:
        seen = None if self._seen is None else list(map(float, self._seen))
        return {"limit": self.limit, "seen": seen}

    def load_state_dict(self, state: Tree) -> None:
        self.limit, self._seen = state["limit"], state["seen"]


class Described(Protocol):
    """An epoch that knows its validation loss."""

    @property
    def validation(self) -> float | None: ...


def out_of_patience(epochs: Sequence[Described], patience: int | None) -> bool:
    """Whether so many epochs have passed since the best validation loss."""
    if patience is None or not epochs:
        return False
    losses = [math.inf if epoch.validation is None else epoch.validation for epoch in epochs]
    return len(losses) - 1 - losses.index(min(losses)) >= patience
