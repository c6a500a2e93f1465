"""The training loop: update by update, epoch by epoch, stopped and taken up again anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from ..errors import TrainingDiverged
from ..reach.transfer import is_asynchronous
from ..reach.truncated import WindowInput
from ..trees import differing
from .nonfinite import first_non_finite
from .options.base import TrainOptions
from .schedules import Clipping, LearningRate, out_of_patience
from .transfer import device_of, read_later
from .updates import Update, Updates
from .workers import ALONE, Workers


class Epoch(NamedTuple):
    """The metrics of one epoch."""

    epoch: int  # from 1
    loss: float  # mean training loss, with noise on the inputs and standardised targets
    validation: float | None  # validation loss, without noise
    lr: float
    gradient_norm: float  # before clipping, the largest of its updates
    clip: float | None  # the norm it was clipped at, None for not at all
    gradient_by_lag: dict[str, list[float]] | None = None  # by layer, where it was looked at
    sample: str | None = None  # text that the model generates now, after some epochs


@dataclass(frozen=True)
class Fitted:
    """The result of training.

    Attributes:
        epochs: the metrics of each epoch.
        best: the epoch whose weights the model now has: the last one, or the best on the validation steps.
        interrupted: whether it was asked to stop before its last epoch.
    """

    epochs: list[Epoch]
    best: int
    interrupted: bool

    @property
    def still_falling(self) -> bool:
        """Whether the training loss of the last fifth of the epochs lies a fifth or more below that of the fifth
        before, and above a tenth of the first epoch's: more epochs would go on lowering it.
        """
        losses, fifth = [epoch.loss for epoch in self.epochs], len(self.epochs) // 5
        if fifth == 0 or self.interrupted:
            return False
        last, before = sum(losses[-fifth:]), sum(losses[-2 * fifth : -fifth])
        return last < 0.8 * before and last > 0.1 * fifth * losses[0]


class Training:
    """The training loop: every epoch is one pass over the training set. It can stop between any two updates, save
    its state, and continue from there bit for bit.

    Adam with L2 weight decay, a scheduled learning rate, and clipping of the norm of each update's gradient. An
    update whose loss or gradient is not finite ends the training. On a GPU that is read while the next update is
    computed, whose weights are then thrown away, so that the GPU never waits.
    It draws nothing, and its updates draw from generators of their own, by the seed: no random generator of the
    process is read or changed.

    Args:
        model: whose weights are learned, on any device.
        updates: the training set, and the validation loss that chooses the best epoch.
        config: epochs, patience, lr, schedule, weight_decay, clip, seed.
        workers: who train the model together; all call the same methods at the same time.
        look: asked after each epoch, by its number, for the gradient by lag.
        sample: asked after each epoch, by its number, for a sample of generated text.
    """

    def __init__(
        self,
        model: nn.Module,
        updates: Updates,
        config: TrainOptions,
        workers: Workers = ALONE,
        look: Callable[[int], dict[str, list[float]] | None] = lambda number: None,
        sample: Callable[[int], str | None] = lambda number: None,
    ) -> None:
        self.model, self.updates, self.config, self.workers = model, updates, config, workers
        self._look, self._sample = look, sample
        self._optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self._rate, self._clipping = LearningRate(self._optimizer, config), Clipping(config.clip)
        self._epochs: list[Epoch] = []
        self._kept: dict[str, Tensor] | None = None  # the weights of the best epoch
        self._lowest, self._best = math.inf, 0
        self._pass = updates.epoch(1)
        self._done = _Sum()  # of this pass
        self._finite = _weights(model)  # the last whose loss was
        self._reads_late = is_asynchronous(device_of(model))
        self._unread: _Unread | None = None  # the last update, whose numbers may still be on their way
        self._reached: dict[str, Tensor] | None = None  # weights at the end of a run

    @property
    def epochs(self) -> list[Epoch]:
        """The metrics of each finished epoch."""
        return self._epochs

    def run(
        self,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        should_stop: Callable[[], bool] = lambda: False,
        on_update: Callable[[], None] = lambda: None,
    ) -> Fitted:
        """Train to the last epoch.

        Args:
            on_epoch: called after each epoch.
            should_stop: asked before each update, of several workers while its gradients are averaged; true ends
                the training with what was reached.
            on_update: called after each update, and after each epoch; `state_dict` may be asked then.

        Raises:
            TrainingDiverged: a loss or gradient is not finite; the model has the last weights whose were.
        """
        self._reached = None
        while not self._is_done() and not self.workers.ask(should_stop):
            if self._update():
                on_update()
                continue
            self._finish_epoch()
            on_epoch(self._epochs[-1])
            on_update()
        self._read_last()
        interrupted = not self._is_done()
        self._reached = _weights(self.model)
        if self._kept is None:
            return Fitted(self._epochs, len(self._epochs), interrupted)
        self.model.load_state_dict(self._kept)
        return Fitted(self._epochs, self._best, interrupted)

    def _update(self) -> bool:
        """Take one step; false where the pass is at its end."""
        self._optimizer.zero_grad()
        update = next(self._pass, None)  # pyright: ignore[reportArgumentType]
        if update is None:
            return False
        update = Update(*self.workers.average(self.model.parameters(), *update))
        read = read_later([*update, self._clipping.clip(self.model)])
        self._read_last()
        self._unread = _Unread(read, self._pass.walked, _weights(self.model))
        if not self._reads_late:
            self._read_last()
        self._optimizer.step()
        return True

    def _read_last(self) -> None:
        """Read the numbers of the last update, check them and add them to those of the epoch."""
        update, self._unread = self._unread, None
        if update is None:
            return
        loss, numbers, norm = update.read()
        for what, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                self._diverge(what, value, update)
        self._finite = update.weights
        self._done = self._done.and_(loss, numbers, norm)

    def _finish_epoch(self) -> None:
        self._read_last()
        number, lr, limit = len(self._epochs) + 1, self._rate.now, self._clipping.limit
        validation = self.updates.validation()
        self._rate.epoch_done(self._done.loss if validation is None else validation)
        self._clipping.epoch_done()
        if validation is not None and validation < self._lowest:
            self._kept, self._lowest, self._best = _weights(self.model), validation, number
        clip = limit if math.isfinite(limit) else None
        loss, norm = self._done.loss, self._done.largest
        looks = self._look(number), self._sample(number)
        self._epochs.append(Epoch(number, loss, validation, lr, norm, clip, *looks))
        self._pass, self._done = self.updates.epoch(number + 1), _Sum()

    def _is_done(self) -> bool:
        """Whether the last epoch is over, or patience has run out."""
        return len(self._epochs) >= self.config.epochs or out_of_patience(self._epochs, self.config.patience)

    def _diverge(self, what: str, value: float, update: _Unread) -> NoReturn:
        """Raise an error that locates its origin, with the last finite weights back in the model."""
        self.model.load_state_dict(update.weights)  # a GPU may be one update ahead
        walked = update.walked
        place = None if walked is None else first_non_finite(self.model, walked.x, walked.state, walked.first)
        found = self.workers.all((place, walked))
        place, walked = next((one for one in found if one[0] is not None), found[0])
        if place is None:
            place = "in the backward pass" if what != "loss" else "in the loss itself"
            place += ", while every state is finite"
        self.model.load_state_dict(self._finite)
        raise TrainingDiverged(
            f"the {what} became {value} in epoch {len(self._epochs) + 1}, first at: {place}. The weights before "
            f"it are kept. Try a smaller learning rate than {self.config.lr:g}, or a tighter clip than "
            f"{self._clipping.limit:g}",
            walked,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on, as a tree of numbers and tensors."""
        self._read_last()
        return {
            "weights": dict(self._reached or self.model.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "rate": self._rate.state_dict(),
            "clipping": self._clipping.state_dict(),
            "epochs": [tuple(epoch) for epoch in self._epochs],
            "kept": self._kept,
            "best": (self._lowest, self._best),
            "place": self._pass.state_dict(),
            "done": tuple(self._done),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, of the same model, updates and config.

        Raises:
            ValueError: it is of something else.
        """
        if (place := differing(state, self.state_dict())) is not None:
            raise ValueError(f"{place} is not as this training has it")
        self.model.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.load_state_dict(state["rate"])
        self._clipping.load_state_dict(state["clipping"])
        self._epochs = [Epoch(*epoch) for epoch in state["epochs"]]
        self._kept = state["kept"]
        moments = ((p.shape, m) for p, own in self._optimizer.state.items() for m in own.values() if m.dim())
        if any(shape != moment.shape for shape, moment in moments):
            raise ValueError("optimizer is not as this training has it")
        kept, weights = state["kept"], state["weights"]
        if kept is not None and (differing(kept, weights) is not None or len(kept) > len(weights)):
            raise ValueError("kept is not as this training has it")
        self._lowest, self._best = state["best"]
        self._pass = self.updates.epoch(len(self._epochs) + 1, state["place"])
        self._done = _Sum(*state["done"])
        self._finite = _weights(self.model)


class _Unread(NamedTuple):
    """An update whose loss, numbers and gradient's norm are not read yet."""

    read: Callable[[], list[float]]
    walked: WindowInput | None
    weights: dict[str, Tensor]  # before its step


class _Sum(NamedTuple):
    """Sums over the updates of an epoch so far."""

    total: float = 0.0
    numbers: float = 0.0
    largest: float = 0.0  # norm of a gradient

    def and_(self, loss: float, numbers: float, norm: float) -> _Sum:
        return _Sum(self.total + loss * numbers, self.numbers + numbers, max(self.largest, norm))

    @property
    def loss(self) -> float:
        return self.total / self.numbers


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}
