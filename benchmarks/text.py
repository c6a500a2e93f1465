"""Language models of the embedded text: bptt's and torch.nn's, from the same initial weights, in one run.

    python benchmarks/text.py [EPOCHS]     (default 8: `bptt train --task text` as it is)

An LSTM and an Elman network, with the command's own recipe. Both models see the same windows in the same order
with the same optimiser; they are trained epoch by epoch in turn, and the time of an epoch is its whole pass:
forward, backward, clipping and Adam.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import nn

from bptt.training.data.text import bits
from bptt.training.network import network_of
from bptt.training.options.forecast import ForecastOptions
from bptt.training.options.text import TextOptions
from bptt.training.schedules import Clipping, LearningRate
from bptt.training.tasks.text import TextTask, text_task
from reach import TorchModel


class Training:
    """A model that is trained epoch by epoch."""

    def __init__(self, name: str, model: nn.Module, task: TextTask, config: ForecastOptions) -> None:
        self.name, self.model, self.task = name, model, task
        self.updates = task.updates(model)
        self.optimizer = torch.optim.Adam(model.parameters(), config.lr, weight_decay=config.weight_decay)
        self.rate, self.clipping = LearningRate(self.optimizer, config), Clipping(config.clip)
        self.seconds: list[float] = []
        self.loss = float("nan")

    def epoch(self, number: int, updates: int = sys.maxsize) -> None:
        """One pass over the training characters, or so many updates of it."""
        total = count = 0.0
        started = time.perf_counter()
        one_pass = self.updates.epoch(number)
        for _ in range(updates):
            self.optimizer.zero_grad()
            update = next(one_pass, None)
            if update is None:
                break
            self.clipping.clip(self.model)
            self.optimizer.step()
            total, count = total + update.loss * update.numbers, count + update.numbers
        self.loss = float(total / count)
        self.seconds.append(time.perf_counter() - started)
        self.rate.epoch_done(self.loss)


def compare(cell: str, kind: str, epochs: int) -> None:
    """Train both, and print a line for each."""
    config = TextOptions(cell=cell, epochs=epochs)
    task = text_task(config)
    ours = network_of(config, task)
    theirs = TorchModel(kind, len(task.labels), config.hidden, len(task.labels))
    theirs.load_state_dict(ours.state_dict())
    trainings = [Training(f"bptt {cell}", ours, task, config), Training(f"torch.nn {cell}", theirs, task, config)]
    for number in range(1, epochs + 1):
        for training in trainings[:: 1 if number % 2 else -1]:
            training.epoch(number)
    for training in trainings:
        tested = bits(task.nats(training.model, "test"))
        print(
            f"{training.name:<16}{bits(training.loss):>14.4f}{tested:>14.4f}{sum(training.seconds):>11.1f}"
            f"{statistics.median(training.seconds):>17.2f}",
            flush=True,
        )
    ratio = sum(trainings[1].seconds) / sum(trainings[0].seconds)
    median = statistics.median(trainings[1].seconds) / statistics.median(trainings[0].seconds)
    print(f"{'torch / bptt':<44}{ratio:>11.2f}{median:>17.2f}\n", flush=True)


def main() -> None:
    """Print a table."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else TextOptions().epochs
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {epochs} epochs of the embedded text")
    print(f"{'':<16}{'training bpc':>14}{'test bpc':>14}{'seconds':>11}{'median epoch s':>17}")
    compare("lstm", "LSTM", epochs)
    compare("elman", "RNN", epochs)


if __name__ == "__main__":
    main()
