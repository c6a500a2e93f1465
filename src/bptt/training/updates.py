"""What is learned from, update by update: each takes a loss back and leaves the gradients in `.grad`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..reach.checkpointed import DEFAULT, checkpointed
from ..reach.plan import plan
from ..reach.truncated import Walked, truncated
from ..trees import Tree
from .config import TrainConfig
from .errors import UserError
from .workers import ALONE, Workers

ROWS = 1  # the axis of a state, (L·D, B, ·), that its stretches stand on
BLOCK = 1024  # steps whose noise is drawn together


class Update(NamedTuple):
    """What one update was computed from."""

    loss: float  # the mean over its numbers
    numbers: int


class Pass(Protocol):
    """One pass over what is learned from; between two updates it can tell its place."""

    @property
    def walked(self) -> Walked | None:
        """What the last update was computed from."""
        ...

    def __next__(self) -> Update:
        """Take the next loss back; what was in `.grad` is added to."""
        ...

    def state_dict(self) -> Tree:
        """The place, of numbers and tensors."""
        ...


class Updates(Protocol):
    """What is learned from."""

    def epoch(self, number: int, place: Tree = None) -> Pass:
        """The pass of epoch `number`, counted from 1; from a place within it."""
        ...

    def validation(self) -> float | None:
        """The loss on what chooses the best epoch; None where nothing does."""
        ...


class Whole:
    """One update an epoch: the error of every step, taken back to the first one.

    Args:
        model: (x, state) -> (y, state).
        x, d: (T, I) and (T, O), or batched.
        config: noise on x, seed; whether the walk is checkpointed, and within what memory.
        validate: as `Updates.validation`.

    Raises:
        UserError: the memory is too little.
    """

    def __init__(
        self, model: nn.Module, x: Tensor, d: Tensor, config: TrainConfig, validate: Callable[[], float | None]
    ) -> None:
        self.model, self.x, self.d, self.config, self.validation = model, x, d, config, validate
        self.loss = nn.MSELoss()
        self.plan = None
        if config.reach == "checkpointed":
            try:
                self.plan = plan(model, x, d, self.loss, config.memory or DEFAULT)
            except ValueError as error:
                raise UserError(f"--{error}") from error

    def epoch(self, number: int, place: Tree = None) -> Pass:
        x = noisy(self.x, self.config, number)
        return _Once(lambda: self._update(x), Walked(x, self.d, None), done=bool(place and place["done"]))

    def _update(self, x: Tensor) -> Update:
        if self.plan is not None:
            loss = checkpointed(self.model, x, self.d, self.loss, self.plan).loss
        else:
            loss = self.loss(self.model(x)[0], self.d)
            loss.backward()
        return Update(loss.item(), self.d.numel())


class _Once(Iterator[Update]):
    """A pass of a single update."""

    def __init__(self, update: Callable[[], Update], walked: Walked, done: bool) -> None:
        self._update, self._done, self.walked = update, done, walked

    def __next__(self) -> Update:
        if self._done:
            raise StopIteration
        self._done = True
        return self._update()

    def state_dict(self) -> Tree:
        return {"done": self._done}


class Windows:
    """An update every k1 steps, each error taken back over k2: truncated BPTT.

    Args:
        model: (x, state) -> (y, state).
        sequences: x and d of an epoch as `bptt.truncated` takes them, by the epoch's number.
        config: k1 and k2.
        validate: as `Updates.validation`.
        workers: among whom the stretches are shared; a place is that of all of them together.
    """

    def __init__(
        self,
        model: nn.Module,
        sequences: Callable[[int], tuple[Any, Any]],
        config: TrainConfig,
        validate: Callable[[], float | None],
        workers: Workers = ALONE,
    ) -> None:
        self.model, self.sequences, self.config, self.validation = model, sequences, config, validate
        self.workers = workers

    def epoch(self, number: int, place: Tree = None) -> Pass:
        return _Windowed(self.model, *self.sequences(number), self.config, self.workers, place)


class _Windowed(Iterator[Update]):
    """A pass of truncated BPTT."""

    def __init__(
        self, model: nn.Module, x: Any, d: Any, config: TrainConfig, workers: Workers, place: Tree
    ) -> None:
        self._windows = truncated(model, x, d, nn.MSELoss(), config.window, config.k2)
        self._workers = workers
        if place is not None:
            self._windows.load_state_dict(place | {"state": workers.part(place["state"], ROWS)})

    def __next__(self) -> Update:
        window = next(self._windows)
        return Update(window.loss.item(), window.outputs.numel())

    @property
    def walked(self) -> Walked | None:
        return self._windows.walked

    def state_dict(self) -> Tree:
        place = self._windows.state_dict()
        return place | {"state": self._workers.joined(place["state"], ROWS)}


class NoisyChunks:
    """Chunks of (x, d) with noise on x, drawn anew each epoch and the same from wherever they are read.

    Args:
        chunks: an iterable of pairs that can be sought and knows its steps, as `bptt.stream`.
        config: noise and seed.
        epoch: the epoch's number.
        share: which of all stretches the chunks have.
    """

    def __init__(self, chunks: Any, config: TrainConfig, epoch: int, share: slice = slice(None)) -> None:
        self.chunks, self.config, self.epoch, self.share, self.place = chunks, config, epoch, share, 0
        self._block: tuple[int, Tensor] = -1, torch.empty(0)  # noise of steps drawn together, and which

    @property
    def steps(self) -> int:
        """T."""
        return self.chunks.steps

    def seek(self, step: int) -> None:
        """Let the next chunk begin at a step."""
        self.chunks.seek(step)
        self.place = step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, d in self.chunks:
            first, self.place = self.place, self.place + len(x)
            yield (x if self.config.noise == 0 else x + self._noise(x, first)), d

    def _noise(self, x: Tensor, first: int) -> Tensor:
        parts, stop = [], first + len(x)
        while first < stop:
            number, start = divmod(first, BLOCK)
            if number != self._block[0]:
                of_all = x.new_zeros(BLOCK, self.config.stretches, x.shape[2])
                self._block = number, noisy(of_all, self.config, self.epoch, number)[:, self.share]
            parts.append(self._block[1][start : start + stop - first])
            first += len(parts[-1])
        return torch.cat(parts)


def updates_of(model: nn.Module, x: Tensor, d: Tensor, config: TrainConfig, workers: Workers = ALONE) -> Updates:
    """One sequence in memory: x (T, I), d (T, O), the last part of it kept for validation where it is asked for.

    Raises:
        UserError: there are fewer steps than stretches to cut them into, or fewer stretches than workers.
    """
    learned = len(x) - round(len(x) * config.validation)

    def validation() -> float | None:
        if learned == len(x):
            return None
        return nn.functional.mse_loss(predict(model, x)[learned:], d[learned:]).item()

    check_workers(config, workers)
    if config.reach != "truncated":
        return Whole(model, x[:learned], d[:learned], config, validation)
    check_stretches(config, learned)
    share = workers.share(config.stretches)

    def sequences(epoch: int) -> tuple[Tensor, Tensor]:
        noised = side_by_side(noisy(x[:learned], config, epoch), config.stretches)
        return noised[:, share], side_by_side(d[:learned], config.stretches)[:, share]

    return Windows(model, sequences, config, validation, workers)


def side_by_side(steps: Tensor, stretches: int) -> Tensor:
    """Steps (T, ·) cut into B stretches that are walked side by side, (T // B, B, ·); what is left over is not."""
    T = len(steps) // stretches
    return steps[: T * stretches].view(stretches, T, -1).transpose(0, 1)


def check_stretches(config: TrainConfig, steps: int) -> None:
    """Each stretch has a step.

    Raises:
        UserError: one has none.
    """
    if steps < config.stretches:
        raise UserError(
            f"--batch {config.stretches} cuts the {steps} training steps into stretches without a step; pass a "
            f"--batch of at most {steps}"
        )


def check_workers(config: TrainConfig, workers: Workers) -> None:
    """Each worker has a stretch.

    Raises:
        UserError: one has none.
    """
    if workers.size == 1:
        return
    if config.reach != "truncated":
        raise UserError(
            f"--reach {config.reach} walks one sequence, which {workers.size} workers cannot share; pass --reach "
            f"truncated --batch {workers.size} or more, or train with one worker"
        )
    if config.stretches < workers.size:
        raise UserError(
            f"--batch {config.stretches} leaves some of {workers.size} workers without a stretch; pass --batch "
            f"{workers.size} or more"
        )


def predict(model: nn.Module, x: Tensor) -> Tensor:
    """y (T, O) for one sequence x (T, I), in one walk from a zero state."""
    with torch.no_grad():
        y, _ = model(x)
    return y


def noisy(x: Tensor, config: TrainConfig, *numbers: int) -> Tensor:
    """x with Gaussian noise that the seed and some numbers determine."""
    if config.noise == 0:
        return x
    (seed,) = np.random.SeedSequence([config.seed, *numbers]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(seed))
    return x + config.noise * torch.randn(x.shape, generator=generator)
