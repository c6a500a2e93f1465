"""Time and accuracy of the modules compared with torch.nn's, in the same process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from . import modules

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SIZES = (
    (100, 1, 8, 32),
    (1000, 1, 8, 32),
    (100, 32, 8, 32),
    (100, 32, 64, 128),
    (1000, 32, 64, 128),
    (100, 64, 128, 256),
    (100, 64, 512, 512),
    (35, 20, 650, 650),
)
STREAMING = (1, 1, 8, 32)
CALLS = 12  # in a block
STEPS = 100  # of a stream, timed as one call

Size = tuple[int, int, int, int]  # T, B, I, H


class PeerSpeed(NamedTuple):
    """Milliseconds of a peer's call: the median and the minimum over the blocks."""

    ms: float
    least: float


class Speed(NamedTuple):
    """Milliseconds of a call: medians and minima over the blocks."""

    torch_ms: float
    torch_least: float
    ours_ms: float
    ours_least: float
    gflops: float  # 10⁹ floating-point operations of the products, a second
    share: float  # of the rate of a 2048×2048 sgemm in the same loop
    peers: tuple[PeerSpeed, ...] = ()  # those that were timed beside

    @property
    def ratio(self) -> float:
        """torch's time over ours."""
        return self.torch_ms / self.ours_ms


class RelativeErrors(NamedTuple):
    """Largest relative error, of outputs and each weight's gradient, in float32 against torch.nn in float64."""

    ours: float
    torch: float


def speed(
    kind: str,
    size: Size,
    *,
    inference: bool = False,
    blocks: int = 5,
    threads: int | None = None,
    peers: Sequence[Callable[[], float]] = (),
    layers: int = 1,
    bidirectional: bool = False,
) -> Speed:
    """Time a module and torch.nn's in alternating warm blocks of a dozen calls (of one second at most).

    A call is a training step (zero_grad, forward, backward; x without gradient) or, without gradients, a forward
    pass. For T = 1 it is a stream: the mean of a hundred calls that each continue from the state before.

    Args:
        kind: "RNN", "GRU" or "LSTM".
        size: (T, B, I, H).
        inference: time the forward pass alone.
        blocks: blocks of each module.
        threads: default torch's own number; 1 where B is 1 and there is one direction.
        layers, bidirectional: of both modules.
        peers: each times a block of another library, in seconds a call; they take turns with the modules.
    """
    T, B, I, H = size
    with _threads(threads_for(size, threads, bidirectional)):
        x, (theirs, ours) = torch.randn(T, B, I), _pair(kind, I, H, layers, bidirectional)
        work = _forward if inference else _training_step
        square = torch.randn(2048, 2048)
        tasks = [work(theirs, x), work(ours, x), lambda: square @ square]
        times: list[list[float]] = [[], [], []]
        of_peers: list[list[float]] = [[] for _ in peers]
        for _ in range(blocks):
            for column, task in zip(times, tasks, strict=True):
                column.append(mean_time(task, CALLS, 1.0))
            for column, block in zip(of_peers, peers, strict=True):
                column.append(block())
    repeats = _repeats(x) if inference else 1
    of_torch, of_ours = ([seconds / repeats for seconds in column] for column in times[:2])
    of_sgemm = times[2]
    rate = 2 * T * B * GATES[kind] * H * _columns(I, H, inference, layers, 1 + bidirectional)
    rate /= statistics.median(of_ours) * 1e9
    ceiling = 2 * 2048**3 / statistics.median(of_sgemm) / 1e9
    return Speed(
        1e3 * statistics.median(of_torch),
        1e3 * min(of_torch),
        1e3 * statistics.median(of_ours),
        1e3 * min(of_ours),
        rate,
        rate / ceiling,
        tuple(
            PeerSpeed(1e3 * statistics.median(column) / repeats, 1e3 * min(column) / repeats)
            for column in of_peers
        ),
    )


def threads_for(size: Size, threads: int | None, bidirectional: bool = False) -> int:
    """1 for one sequence in one direction; else as many as asked for, by default torch's own number."""
    return 1 if size[1] == 1 and not bidirectional else threads or torch.get_num_threads()


def _columns(I: int, H: int, inference: bool, layers: int, directions: int) -> int:
    """Columns of weights that a row is multiplied by: forward, and back into states and weights, not into x."""
    inputs = I + (layers - 1) * directions * H
    columns = layers * H + inputs if inference else 3 * layers * H + 3 * inputs - I
    return directions * columns


def errors(kind: str, size: Size, seed: int = 0) -> RelativeErrors:
    """The float32 errors of a module and of torch.nn's, for the same weights, input and output gradient."""
    T, B, I, H = size
    g = torch.Generator().manual_seed(seed)
    x, dy = torch.randn(T, B, I, generator=g), torch.randn(T, B, H, generator=g)
    theirs, ours = _pair(kind, I, H)
    wanted = _results(getattr(torch.nn, kind)(I, H, dtype=torch.float64), theirs, x, dy)
    return RelativeErrors(*(_worst(_results(m, theirs, x, dy), wanted) for m in (ours, theirs)))


def _results(module: Any, like: Any, x: torch.Tensor, dy: torch.Tensor) -> list[torch.Tensor]:
    module.load_state_dict(like.state_dict())
    dtype = next(module.parameters()).dtype
    y = module(x.to(dtype))[0]
    return [y, *torch.autograd.grad(y, list(module.parameters()), dy.to(dtype))]


def _worst(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return max(((f.double() - w).norm() / w.norm()).item() for f, w in zip(found, wanted, strict=True))


def _pair(kind: str, I: int, H: int, layers: int = 1, bidirectional: bool = False) -> tuple[Any, Any]:
    """torch.nn's module and ours, of the same weights."""
    theirs, ours = (getattr(of, kind)(I, H, layers, bidirectional=bidirectional) for of in (torch.nn, modules))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def _training_step(module: Any, x: torch.Tensor) -> Callable[[], object]:
    def step() -> None:
        module.zero_grad()
        module(x)[0].sum().backward()

    return step


def _forward(module: Any, x: torch.Tensor) -> Callable[[], object]:
    def step() -> None:
        with torch.no_grad():
            state = None
            for _ in range(_repeats(x)):
                _, state = module(x, state)

    return step


def _repeats(x: torch.Tensor) -> int:
    return STEPS if len(x) == 1 else 1


def mean_time(
    task: Callable[[], object], most_calls: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Mean seconds of a call, over `most_calls` or as many as fit into `seconds`, after one warm call."""
    task()
    calls, start = 0, clock()
    while calls < most_calls and (calls == 0 or clock() - start < seconds):
        task()
        calls += 1
    return (clock() - start) / calls


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
