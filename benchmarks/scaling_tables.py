"""What `scaling.py` prints: measured times, the model's, how many workers pay, and snapshots."""

from __future__ import annotations

import argparse
from functools import partial

import torch
from scaling_model import (
    COUNTS,
    ETHERNET,
    FABRIC,
    MESSAGES,
    Network,
    Size,
    fitted,
    most_workers,
    quicker,
    ring,
    tree,
)

import bptt

PAYS = (0.8, 0.5)  # efficiencies
FASTER = 20  # times one core, what a GPU is taken for


def bytes_text(size: float) -> str:
    """A size in words."""
    for unit, many in (("MB", 1e6), ("kB", 1e3)):
        if size >= many:
            return f"{size / many:.3g} {unit}"
    return f"{size:.0f} B"


def show_messages(seconds: list[float]) -> Network:
    """Print what messages took, and what a latency and a bandwidth say of it."""
    network = fitted(MESSAGES, seconds)
    modelled = [ring(2, size, network) for size in MESSAGES]
    errors = [model / took - 1 for model, took in zip(modelled, seconds, strict=True)]
    print(
        f"\nall-reduce of two: latency {1e6 * network.latency:.0f} us, {network.bandwidth / 1e9:.2f} GB/s", end=""
    )
    print(f" (off by {min(errors):+.0%} to {max(errors):+.0%}); us measured and modelled:")
    lines = [
        f"{bytes_text(size):>10}{1e6 * took:>8.0f}{1e6 * model:>8.0f}"
        for size, took, model in zip(MESSAGES, seconds, modelled, strict=True)
    ]
    for first in range(3):
        print("".join(lines[first::3]))
    return network


def show_measured(H: int, B: int, size: Size, network: Network) -> None:
    """Print the lines of one size."""
    for name, alone, found, of_whole in (
        (f"1 x {B}", None, size.one, 1.0),
        (f"1 x {B // 2}", None, size.one_half, 0.5),
        (f"2 x {B}", size.one, size.two, 2.0),
        (f"2 x {B // 2}", size.one_half, size.two_halves, 1.0),
    ):
        parts, rounds = found.parts, found.of_rounds
        line = f"H={H:<5}{name:<8}{1e3 * found.step:>8.2f} ({1e3 * min(rounds):>7.2f} -{1e3 * max(rounds):>7.2f})"
        line += f"{1e3 * parts.compute:>9.2f}"
        if alone is not None:
            line += "".join(f"{1e3 * part:>9.2f}" for part in (parts.packing, parts.reducing, parts.waiting))
            model = alone.slowest(2) + parts.packing + ring(2, found.bytes, network)
            line += f"{found.calls:>7.2f}{bytes_text(found.bytes):>9}{of_whole * size.one.step / found.step:>6.2f}"
            line += f"{1e3 * model:>8.2f}{model / found.step - 1:>+7.0%}"
        print(line)


def show_model(H: int, size: Size, network: Network) -> None:
    """Print the model's table of one size."""
    compute, packing = size.one.step, size.two.parts.packing
    print(f"H={H}: compute {1e3 * compute:.1f} ms, packing {1e3 * packing:.2f} ms, {bytes_text(size.two.bytes)}")
    for count in COUNTS:
        line = f"{count:>6}{size.one.slowest(count) / compute:>9.2f}"
        for chosen in (network, ETHERNET, FABRIC):
            for way in (ring, tree):
                reduction, part = way(count, size.two.bytes, chosen), size.efficiency(way, chosen, 1, False, count)
                line += f"{1e3 * reduction:>9.3g}{part:>6.2f}"
        print(line)


def show_most(H: int, size: Size, network: Network) -> None:
    """Print how many workers pay."""
    for wait in (False, True):
        line = f"H={H:<5}{'the slowest' if wait else 'all alike':<11}"
        for way, chosen, faster in (
            (ring, network, 1),
            (ring, ETHERNET, 1),
            (tree, ETHERNET, 1),
            (quicker, FABRIC, 1),
            (quicker, FABRIC, FASTER),
        ):
            most = (most_workers(least, partial(size.efficiency, way, chosen, faster, wait)) for least in PAYS)
            line += " /".join("  >1000" if count > COUNTS[-1] else f"{count:>7}" for count in most).rjust(18)
        print(line)


def show_snapshot(H: int, size: Size) -> None:
    """Print the size and time of a snapshot, here and of many workers."""
    of_many = size.snapshot + (COUNTS[-1] - 2) * size.own
    line = f"H={H:<5}{bytes_text(size.snapshot):>9}{1e3 * size.taken:>9.1f}"
    print(line + f"{bytes_text(of_many):>12}")


def show(seconds: list[float], sizes: dict[int, Size], options: argparse.Namespace) -> None:
    """Print all tables."""
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, LSTM, I={options.inputs}, k1={options.k1}")
    network = show_messages(seconds)
    columns = "".join(f"{column:>9}" for column in ("compute", "packing", "reducing", "waiting"))
    print(f"\n{'ms':<7}{'N x B':<8}{'step (of rounds)':>27}{columns}  calls    bytes  gain   model  error")
    for H, size in sizes.items():
        show_measured(H, options.batch, size, network)
    print(f"\nmodel of N x {options.batch}: ms of a reduction by ring and by tree, and the efficiency")
    print(f"{'N':>6}  slowest" + "".join(f"{name:>30}" for name in ("measured", "10 GbE", "GPU fabric")))
    print(" " * 15 + f"{'ring':>9}{'eff.':>6}{'tree':>9}{'eff.':>6}" * 3)
    for H, size in sizes.items():
        show_model(H, size, network)
    print(f"\nmost workers at an efficiency of at least {' / '.join(map(str, PAYS))}, all alike or waiting for")
    columns = "measured, ring", "10 GbE, ring", "10 GbE, tree", "GPU fabric", f"and {FASTER} x faster"
    print(" " * 18 + "".join(f"{column:>18}" for column in columns))
    for H, size in sizes.items():
        show_most(H, size, network)
    print(f"\nsnapshot of two workers: bytes, ms; of {COUNTS[-1]:,}: bytes")
    for H, size in sizes.items():
        show_snapshot(H, size)
