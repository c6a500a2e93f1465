"""`bptt bench`: time and accuracy compared with torch.nn's, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import UserError

Kind = Literal["RNN", "GRU", "LSTM"]


@dataclass(frozen=True)
class BenchConfig:
    """Time RNN, GRU and LSTM beside torch.nn's, in the same process and float32.

    A line gives the milliseconds of a call (median of alternating warm blocks, the minimum in brackets), torch's
    time divided by bptt's, bptt's GF/s and its share of a 2048×2048 matrix product in the same loop. A call is a
    whole training step: zero_grad, forward, backward.
    """

    cells: Annotated[tuple[Kind, ...], Positional, arg(metavar="[RNN|GRU|LSTM ...]")] = ("RNN", "GRU", "LSTM")
    """Which modules (default all)."""
    size: Annotated[
        UseAppendAction[tuple[tuple[int, int, int, int], ...]],
        arg(metavar="T B I H", help_behavior_hint="(default: a table of eight)"),
    ] = ()
    """Steps, batch, input and hidden size; may be repeated."""
    inference: bool = False
    """Time the forward pass alone, without gradients; the table begins with a stream of single steps."""
    accuracy: bool = False
    """Instead of time, show the relative error of bptt's and torch's outputs and gradients against float64."""
    blocks: int = 5
    """How many blocks of a dozen calls are timed of each module."""
    threads: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: torch's number)")] = None
    """Threads for both; always 1 where B is 1."""


def bench(config: BenchConfig) -> int:
    """Print the table, line by line as it is measured; returns the exit code.

    Raises:
        UserError: a size or a number is below 1.
    """
    _check(config)
    import torch

    from .. import speed
    from ..walks import kernels

    isa = kernels.isa() if kernels.available() else "none installed"
    threads = config.threads or torch.get_num_threads()
    print(f"torch {torch.__version__}, kernels: {isa}, threads: {threads}, 1 where B is 1")
    first = (speed.STREAMING,) if config.inference else ()
    if config.accuracy:
        print(f"{'':<5}{'(T, B, I, H)':<22}{'bptt':>10}{'torch':>10}{'ratio':>8}")
    else:
        columns = f"{'torch ms (min)':>21}{'bptt ms (min)':>21}{'ratio':>8}{'GF/s':>8}{'sgemm':>7}"
        print(f"{'':<5}{'(T, B, I, H)':<22}{columns}")
    for kind in config.cells:
        for size in config.size or first + speed.SIZES:
            if config.accuracy:
                ours, theirs = speed.errors(kind, size)
                print(f"{kind:<5}{size!s:<22}{ours:>10.1e}{theirs:>10.1e}{ours / theirs:>8.2f}", flush=True)
                continue
            s = speed.speed(kind, size, inference=config.inference, blocks=config.blocks, threads=config.threads)
            print(
                f"{kind:<5}{size!s:<22}{s.torch_ms:>10.3f} ({s.torch_least:>8.3f}){s.ours_ms:>10.3f}"
                f" ({s.ours_least:>8.3f}){s.ratio:>8.2f}{s.gflops:>8.1f}{s.share:>7.0%}",
                flush=True,
            )
    return 0


def _check(config: BenchConfig) -> None:
    if not config.cells:
        raise UserError("name at least one of RNN, GRU, LSTM, or none for all of them")
    for size in config.size:
        if min(size) < 1:
            raise UserError(f"--size {' '.join(map(str, size))}: each of T, B, I, H must be at least 1")
    for name, value in (("--blocks", config.blocks), ("--threads", config.threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: must be at least 1")
    if config.accuracy and config.inference:
        raise UserError("--accuracy looks at gradients too and has no --inference; choose one")
