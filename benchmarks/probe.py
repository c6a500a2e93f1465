"""Time and memory of a training loop with bptt.Probe compared with the same loop without it.

    python benchmarks/probe.py [--every 100] [--threads 1] [--blocks 10] [--models gru tagger deep]

Three models, float32, Adam, each with torch.nn's recurrent modules and with bptt's; sizes are (T, B):

    gru        GRU(8, 32), (50, 16)
    tagger     an embedding, a bidirectional LSTM over packed sequences, attention, (40, 16)
    deep       LSTM(12, 40) of two layers with dropout, (84, 64)

In one process, a block of 20 plain steps and a measured one in turns; minima over the blocks, in milliseconds: of
processor time with one thread, which does not depend on the machine's other work; of wall-clock time with more.

    plain      a training step: zero_grad, forward, loss, backward, optimizer.step
    measured   a step that the probe measures: opening it, the step, `probe.step()`
    cost       how much longer `every` steps take, one of them measured, than without the probe
    memory     the peak of the tensors made in a plain and in a measured step, in MB, beyond the weights
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import bptt
from bptt.reach.meters import TensorMeter

STEPS = 20  # plain ones in a block


class Regressor(nn.Module):
    """A GRU and a read-out of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


class Tagger(nn.Module):
    """A bidirectional LSTM over packed sequences, attention; a score a token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(1000, 64), nn.Linear(128, 10)
        self.rnn = nn.LSTM(64, 64, bidirectional=True, batch_first=True)
        self.attention = nn.MultiheadAttention(128, 4, batch_first=True)
        self.lengths = torch.arange(40, 8, -2)

    def forward(self, tokens: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), self.lengths, batch_first=True)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(y + self.attention(y, y, y)[0])


class Deep(nn.Module):
    """A stacked LSTM whose outputs are a distribution's parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(12, 40, 2, batch_first=True, dropout=0.1), nn.Linear(40, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


MODELS = {
    "gru": lambda: (Regressor(), torch.randn(16, 50, 8)),
    "tagger": lambda: (Tagger(), torch.randint(0, 1000, (16, 40))),
    "deep": lambda: (Deep(), torch.randn(64, 84, 12)),
}


def training_step(name: str, ours: bool) -> tuple[nn.Module, Callable[[], object]]:
    """A model and its training step."""
    torch.manual_seed(0)
    model, x = MODELS[name]()
    model = bptt.from_torch(model) if ours else model
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return model, step


def peak(step: Callable[[], object]) -> float:
    """The peak of the tensors that are made in a step, in MB."""
    with TensorMeter() as meter:
        step()
    return meter.total / 1e6


def line(name: str, ours: bool, every: int, blocks: int, clock: Callable[[], float]) -> str:
    """A line of the table."""
    model, step = training_step(name, ours)

    def with_probe() -> None:
        with bptt.Probe(model) as probe:
            step()
            probe.step()

    def timed(step: Callable[[], object], steps: int) -> float:
        start = clock()
        for _ in range(steps):
            step()
        return 1e3 * (clock() - start) / steps

    with_probe()
    times = [(timed(step, STEPS), timed(with_probe, 1)) for _ in range(blocks)]
    plain, measured = (min(column) for column in zip(*times, strict=True))
    return (
        f"{name:<8}{'bptt' if ours else 'torch.nn':<10}{plain:>9.2f}{measured:>10.2f}"
        f"{(measured - plain) / (every * plain):>+8.1%}{peak(step):>10.1f}{peak(with_probe):>6.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, every {options.every}, {options.threads} threads")
    print(f"{'model':<8}{'modules':<10}{'plain':>9}{'measured':>10}{'cost':>8}{'memory':>16}")
    for name in options.models:
        for ours in (False, True):
            print(line(name, ours, options.every, options.blocks, clock), flush=True)


if __name__ == "__main__":
    main()
