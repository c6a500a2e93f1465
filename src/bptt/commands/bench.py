"""`bptt bench`: time and accuracy compared with torch.nn's, on this machine."""

from __future__ import annotations

import torch

from .. import speed
from ..errors import UserError
from ..terminal import fitted
from ..walks import kernels
from .options import BenchOptions


def bench(config: BenchOptions) -> int:
    """Print the table, line by line as it is measured; returns the exit code.

    Raises:
        UserError: a size or a number is below 1.
    """
    _check(config)
    isa = kernels.isa() if kernels.available() else "none installed"
    threads = config.threads or torch.get_num_threads()
    print(fitted(f"torch {torch.__version__}, kernels: {isa}, threads: {threads}, 1 where B is 1"))
    first = (speed.STREAMING,) if config.inference else ()
    if config.accuracy:
        print(f"{'':<5}{'(T, B, I, H)':<22}{'bptt':>10}{'torch':>10}{'ratio':>8}")
    else:
        columns = f"{'torch ms (min)':>21}{'bptt ms (min)':>21}{'ratio':>8}{'GF/s':>8}{'sgemm':>7}"
        print(fitted(f"{'':<5}{'(T, B, I, H)':<22}{columns}"))
    for kind in config.cells:
        for size in config.size or first + speed.SIZES:
            if config.accuracy:
                ours, theirs = speed.errors(kind, size)
                print(f"{kind:<5}{size!s:<22}{ours:>10.1e}{theirs:>10.1e}{ours / theirs:>8.2f}", flush=True)
                continue
            s = speed.speed(kind, size, inference=config.inference, blocks=config.blocks, threads=config.threads)
            line = (
                f"{kind:<5}{size!s:<22}{s.torch_ms:>10.3f} ({s.torch_least:>8.3f}){s.ours_ms:>10.3f}"
                f" ({s.ours_least:>8.3f}){s.ratio:>8.2f}{s.gflops:>8.1f}{s.share:>7.0%}"
            )
            print(fitted(line), flush=True)
    return 0


def _check(config: BenchOptions) -> None:
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
