"""Training on the embedded text on a device: bptt and torch.nn in the same loop, and the command `bptt train`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial

import torch
from text import Training

from bptt.training.network import network_of
from bptt.training.options.text import TextOptions
from bptt.training.tasks.text import text_task
from reach import TorchModel

from .measuring import Clock, Line, finish

COMMAND = [sys.executable, "-m", "bptt", "train"]


def training(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line for each model with the seconds of each epoch; then the command's last lines."""
    turns, updates = (1, 3) if tiny else (3, sys.maxsize)
    config = TextOptions(cell="lstm", epochs=turns, hidden=8 if tiny else TextOptions().hidden)
    task = text_task(config)
    ours = network_of(config, task)
    theirs = TorchModel("LSTM", len(task.labels), config.hidden, len(task.labels))
    theirs.load_state_dict(ours.state_dict())
    models = {"bptt": ours.to(device), "torch.nn": theirs.to(device)}
    trainings = [Training(name, model, task, config) for name, model in models.items()]
    for number in clock.each(range(1, turns + 1)):
        for one in trainings[:: 1 if number % 2 else -1]:
            finish(device)
            one.epoch(number, updates)
    for one in trainings:
        shown = "".join(f"{seconds:9.2f}" for seconds in one.seconds)
        data = {"model": one.name, "seconds": one.seconds, "loss": one.loss}
        yield Line(f"{one.name:<10}seconds of each epoch{shown}   loss {one.loss:.4f}", data)
    yield command(tiny, clock)


def command(tiny: bool, clock: Clock) -> Line:
    """One epoch of `bptt train --task text --device cuda`; tiny: some of the sunspots on the CPU."""
    options = (
        ["--epochs", "2", "--device", "cpu"] if tiny else ["--task", "text", "--epochs", "1", "--device", "cuda"]
    )
    shown, most = "$ bptt train " + " ".join(options), clock.left() + 1
    with tempfile.TemporaryDirectory() as folder:
        start = partial(subprocess.run, cwd=folder, capture_output=True, text=True, check=False, timeout=most)
        try:
            done = start([*COMMAND, *options])
        except subprocess.TimeoutExpired:
            clock.cut = "not all of the command"
            return Line(shown, {"finished": False})
    lines = (done.stdout + done.stderr).splitlines()
    return Line("\n".join([shown, *lines[-12:]]), {"code": done.returncode, "output": lines}, done.returncode != 0)
