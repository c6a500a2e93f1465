"""Updates of the training loop: each runs a forward and a backward pass and leaves the gradients in `.grad`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..reach.checkpointed import DEFAULT, checkpointed
from ..reach.plan import plan_checkpoints
from ..reach.truncated import Truncated, WindowInput, truncated
from ..trees import Tree, mapped
from .forward import in_precision, learning, noisy
from .options.base import TrainOptions
from .options.forecast import ForecastOptions
from .options.shared import ReachOptions
from .transfer import device_of, to_device
from .workers import ALONE, Workers

ROWS = 1  # the axis of a state, (L·D, B, ·), that its stretches stand on


class Update(NamedTuple):
    """The loss of one update; scalars on the model's device are not waited for."""

    loss: Tensor | float  # the mean over its numbers
    numbers: Tensor | float  # how many, or what they weigh


class Pass(Protocol):
    """One pass over the training set; between two updates its place can be saved."""

    @property
    def walked(self) -> WindowInput | None:
        """Input, target and initial state of the last update."""
        ...

    def __next__(self) -> Update:
        """Run the next forward and backward pass; gradients are added to `.grad`."""
        ...

    def state_dict(self) -> Tree:
        """The place, of numbers and tensors."""
        ...


class Updates(Protocol):
    """The training set as a sequence of updates."""

    def epoch(self, number: int, place: Tree = None) -> Pass:
        """The pass of epoch `number`, counted from 1; from a place within it."""
        ...

    def validation(self) -> float | None:
        """The validation loss; None without a validation set."""
        ...


def of_option(error: ValueError) -> UserError:
    """An error about `memory`, as the command line spells that."""
    text = re.sub(r"\bmemory='([^']+)'", r"--memory \1", str(error))
    return UserError(text if text.startswith("--") else f"--{text}")


class Whole:
    """One update an epoch: all errors are propagated back to the first step.

    Args:
        model: (x, state) -> (y, state).
        x, d: (T, I) and (T, O), or batched; where d is NaN, nothing is learned.
        config: noise on x, dropout, precision, seed; whether the walk is checkpointed, and within what memory.
        validate: as `Updates.validation`.

    Raises:
        UserError: the memory is too little.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, d: Tensor, config: ForecastOptions, validate: Callable[[], float | None]
    ) -> None:
        self.model, self.config, self.validation = in_precision(model, config), config, validate
        self.numbers, device = numbers_in(d), device_of(model)
        self.x, self.d = x, d = to_device(x, device), to_device(d, device)
        self.loss, self.reduction = nn.MSELoss(), "mean"
        if self.numbers < d.numel():
            self.loss, self.reduction = (lambda y, d: sum_of_squares(y, d) / self.numbers), "sum"
        self.plan = None
        if config.reach == "checkpointed":
            memory = config.memory or DEFAULT
            try:
                self.plan = plan_checkpoints(self.model, x, d, self.loss, memory=memory, reduction=self.reduction)
            except ValueError as error:
                raise of_option(error) from error

    def epoch(self, number: int, place: Tree = None) -> Pass:
        x = noisy(self.x, self.config, number)
        walked = WindowInput(x, self.d, None)
        return _Once(lambda: self._update(x, number), walked, done=bool(place and place["done"]))

    def _update(self, x: Tensor, number: int) -> Update:
        with learning(self.model, self.config, number):
            if self.plan is not None:
                loss = checkpointed(
                    self.model, x, self.d, self.loss, memory=self.plan, reduction=self.reduction
                ).loss
            else:
                loss = self.loss(self.model(x)[0], self.d)
                loss.backward()
        return Update(loss.detach(), self.numbers)


class _Once(Iterator[Update]):
    """A pass of a single update."""

    def __init__(self, update: Callable[[], Update], walked: WindowInput, done: bool) -> None:
        self._update, self._done, self.walked = update, done, walked

    def __next__(self) -> Update:
        if self._done:
            raise StopIteration
        self._done = True
        return self._update()

    def state_dict(self) -> Tree:
        return {"done": self._done}


class Windows:
    """Truncated BPTT: an update every k1 steps, each error propagated back over k2.

    Args:
        model: (x, state) -> (y, state).
        sequences: x and d of an epoch as `bptt.truncated` takes them, by the epoch's number.
        config: k1 and k2, dropout, precision, seed.
        validate: as `Updates.validation`.
        loss: of a window, a mean. Default the mean square error, NaN weighing nothing.
        workers: among whom the stretches are shared; a place has this one's part of the state.
    """

    def __init__(
        self,
        model: nn.Module,
        sequences: Callable[[int], tuple[Any, Any]],
        config: ReachOptions,
        validate: Callable[[], float | None],
        loss: Callable[[Tensor, Any], Tensor] | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.model, self.sequences, self.config, self.validation = model, sequences, config, validate
        self.loss, self.workers = loss or mean_square, workers

    def epoch(self, number: int, place: Tree = None) -> Pass:
        model = in_precision(self.model, self.config)
        windows = truncated(model, *self.sequences(number), self.loss, k1=self.config.window, k2=self.config.k2)
        if place is not None:
            state = mapped(lambda own: own.to(device_of(model)), self.workers.own(place["state"]))
            windows.load_state_dict(place | {"state": state})
        return _Windowed(windows, self, number)


class _Windowed(Iterator[Update]):
    """A pass of truncated BPTT."""

    def __init__(self, windows: Truncated, source: Windows, epoch: int) -> None:
        self._windows, self._source, self._epoch = windows, source, epoch

    @property
    def walked(self) -> WindowInput | None:
        return self._windows.walked

    def __next__(self) -> Update:
        source, place = self._source, (self._epoch, self._windows.state_dict()["start"])
        with learning(source.model, source.config, *place, *source.workers.apart):
            window = next(self._windows)
        numbers = window.outputs.numel()
        if source.loss is mean_square and self.walked is not None:
            numbers = numbers - self.walked.d[window.start - window.stop :].isnan().sum()
        return Update(window.loss, numbers)

    def state_dict(self) -> Tree:
        place = self._windows.state_dict()
        return place | {"state": self._source.workers.parts(place["state"], ROWS)}


def numbers_in(d: Tensor) -> int:
    """How many numbers of d are there: not NaN."""
    return d.numel() - int(d.isnan().sum())


def mean_square(y: Tensor, d: Tensor) -> Tensor:
    """The mean square error over the numbers of d that are there; 0 where none is."""
    if d.device.type != "cpu":  # their count is not waited for
        return sum_of_squares(y, d) / (~d.isnan()).sum().clamp(min=1)
    numbers = numbers_in(d)
    return nn.functional.mse_loss(y, d) if numbers == d.numel() else sum_of_squares(y, d) / max(1, numbers)


def loss_for_targets(d: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean square error of d and parts of it: torch's own where no number is missing."""
    return nn.functional.mse_loss if numbers_in(d) == d.numel() else mean_square


def sum_of_squares(y: Tensor, d: Tensor) -> Tensor:
    """The sum of the square errors; where d is NaN there is none, and no gradient."""
    return torch.where(d.isnan(), 0.0, y - d.nan_to_num()).square().sum()


def updates_of(
    model: nn.Module, x: Tensor, d: Tensor, config: ForecastOptions, workers: Workers = ALONE
) -> Updates:
    """One sequence in memory: x (T, I), d (T, O), the last part of it kept for validation where it is asked for.

    Raises:
        UserError: there are fewer steps than stretches to cut them into, or fewer stretches than workers.
    """
    learned = len(x) - round(len(x) * config.validation)

    def validation() -> float | None:
        if learned == len(x):
            return None
        return mean_square(predictions(model, x)[learned:], d[learned:]).item()

    check_workers(config, workers)
    if config.reach != "truncated":
        return Whole(model, x[:learned], d[:learned], config, validation)
    check_stretches(config, learned)
    share = workers.share(config.stretches)
    own_x, own_d = (to_device(part[:learned], device_of(model)) for part in (x, d))

    def sequences(epoch: int) -> tuple[Tensor, Tensor]:
        noised = side_by_side(noisy(own_x, config, epoch), config.stretches)
        return noised[:, share], side_by_side(own_d, config.stretches)[:, share]

    return Windows(model, sequences, config, validation, loss_for_targets(d), workers)


def side_by_side(steps: Tensor, stretches: int) -> Tensor:
    """Steps (T, ·) cut into B stretches that are walked side by side, (T // B, B, ·); what is left over is not."""
    T = len(steps) // stretches
    return steps[: T * stretches].view(stretches, T, -1).transpose(0, 1)


def check_stretches(config: TrainOptions, steps: int) -> None:
    """Each stretch has a step.

    Raises:
        UserError: one has none.
    """
    if steps < config.stretches:
        raise UserError(
            f"--batch {config.stretches} cuts the {steps} training steps into stretches without a step; pass a "
            f"--batch of at most {steps}"
        )


def check_workers(config: ReachOptions, workers: Workers, series: int | None = None) -> None:
    """Each worker has a stretch, or one of many series.

    Raises:
        UserError: one has none.
    """
    if workers.size == 1:
        return
    if config.reach != "truncated":
        raise UserError(
            f"--reach {config.reach} makes one walk, which {workers.size} workers cannot share; pass --reach "
            f"truncated --batch {workers.size} or more, or train with one worker"
        )
    if series is not None and series < workers.size:
        raise UserError(f"{series} series leave some of {workers.size} workers without one; train with {series}")
    if series is None and config.stretches < workers.size:
        raise UserError(
            f"--batch {config.stretches} leaves some of {workers.size} workers without a stretch; pass --batch "
            f"{workers.size} or more"
        )


def predictions(model: nn.Module, x: Tensor) -> Tensor:
    """y (T, O) for one sequence x (T, I), in one walk from a zero state; on the device of x."""
    with torch.no_grad():
        y, _ = model(to_device(x, device_of(model)))
    return y.to(x.device)
