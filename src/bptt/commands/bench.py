"""`bptt bench`: time and accuracy compared with torch.nn's, on this machine."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from .. import peers, speed, terminal
from ..errors import UserError
from ..terminal import fitted
from ..walks import kernels
from .options import BenchOptions

TABLE = 92  # columns of a line of the table


def bench(config: BenchOptions) -> int:
    """Print the table, line by line as it is measured; returns the exit code.

    Raises:
        UserError: a size or a number is below 1.
    """
    _check(config)
    isa = kernels.isa() if kernels.available() else "none installed"
    threads = config.threads or torch.get_num_threads()
    shape = ", both directions" if config.bidirectional else ", 1 where B is 1"
    shape += f", {config.layers} layers" if config.layers > 1 else ""
    print(fitted(f"torch {torch.__version__}, kernels: {isa}, threads: {threads}{shape}"))
    if config.peers:
        for name in peers.PACKAGES:
            if not peers.installed(name):
                print(f"{name} is not installed: pip install bptt[peers]")
    first = (speed.STREAMING,) if config.inference else ()
    if config.accuracy:
        print(f"{'':<5}{'(T, B, I, H)':<22}{'bptt':>10}{'torch':>10}{'ratio':>8}")
    elif not _is_narrow():
        columns = f"{'torch ms (min)':>21}{'bptt ms (min)':>21}{'ratio':>8}{'GF/s':>8}{'sgemm':>7}"
        print(f"{'':<5}{'(T, B, I, H)':<22}{columns}")
    for kind in config.cells:
        for size in config.size or first + speed.SIZES:
            if config.accuracy:
                ours, theirs = speed.errors(kind, size)
                print(f"{kind:<5}{size!s:<22}{ours:>10.1e}{theirs:>10.1e}{ours / theirs:>8.2f}", flush=True)
            else:
                _print_times(config, kind, size)
    return 0


def _print_times(config: BenchOptions, kind: str, size: speed.Size) -> None:
    """One line for the modules, and one for each peer."""
    with ExitStack() as processes:
        started = {}
        for name in _timed(config):
            threads = speed.threads_for(size, config.threads)
            started[name] = peers.Peer(name, kind, size, config.inference, threads)
            processes.callback(started[name].end)
        s = speed.speed(
            kind,
            size,
            inference=config.inference,
            blocks=config.blocks,
            threads=config.threads,
            peers=[peer.block for peer in started.values()],
            layers=config.layers,
            bidirectional=config.bidirectional,
        )
    if _is_narrow():
        print(
            fitted(
                f"{kind} {size}: torch {s.torch_ms:.3f} ms ({s.torch_least:.3f}), bptt {s.ours_ms:.3f} ms "
                f"({s.ours_least:.3f}), ratio {s.ratio:.2f}, {s.gflops:.1f} GF/s, {s.share:.0%} of sgemm"
            ),
            flush=True,
        )
    else:
        print(
            f"{kind:<5}{size!s:<22}{s.torch_ms:>10.3f} ({s.torch_least:>8.3f}){s.ours_ms:>10.3f}"
            f" ({s.ours_least:>8.3f}){s.ratio:>8.2f}{s.gflops:>8.1f}{s.share:>7.0%}",
            flush=True,
        )
    of_peers = dict(zip(started, s.peers, strict=True))
    for name in peers.PACKAGES if config.peers else ():
        found = f"{'-':>10}"
        if (peer := of_peers.get(name)) is not None:
            times = f"{peer.ms / s.ours_ms:.2f} ({peer.least / s.ours_least:.2f}) times bptt's"
            found = f"{peer.ms:>10.3f} ({peer.least:>8.3f}) ms, {times}"
        print(fitted(f"     {name:<22}{found}"), flush=True)


def _is_narrow() -> bool:
    """Whether the terminal has no width for a line of the table."""
    return (terminal.columns() or TABLE) < TABLE


def _timed(config: BenchOptions) -> list[str]:
    """The peers that can be timed; ONNX Runtime does not train."""
    able = peers.PACKAGES if config.inference else ["JAX"]
    return [name for name in able if config.peers and peers.installed(name)]


def _check(config: BenchOptions) -> None:
    if not config.cells:
        raise UserError("name at least one of RNN, GRU, LSTM, or none for all of them")
    for size in config.size:
        if min(size) < 1:
            raise UserError(f"--size {' '.join(map(str, size))}: each of T, B, I, H must be at least 1")
    numbers = {"--blocks": config.blocks, "--threads": config.threads, "--layers": config.layers}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: must be at least 1")
    if config.accuracy and config.peers:
        raise UserError("--accuracy compares with torch.nn alone and has no --peers; choose one")
    if (config.layers > 1 or config.bidirectional) and (config.peers or config.accuracy):
        raise UserError(
            "--peers and --accuracy are for one layer in one direction; leave out --layers and --bidirectional"
        )
    if config.accuracy and config.inference:
        raise UserError("--accuracy looks at gradients too and has no --inference; choose one")
