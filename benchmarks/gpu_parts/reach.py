"""Time and peak memory of contributions and checkpointed on a device, beside a plain step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

import bptt
from reach import TorchModel

from .measuring import Clock, Line, alternating, mebibytes, peak


def reach(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line for each way, of each kind of module."""
    T, B, I, H = (12, 2, 3, 4) if tiny else (1000, 64, 64, 256)
    segment = 4 if tiny else 40
    yield Line(f"T={T} B={B} I={I} H={H}: ms (least), relative to bptt's plain step, peak MiB")
    for kind in clock.each(("RNN", "GRU", "LSTM")):
        torch.manual_seed(0)
        x, d = torch.randn(T, B, I).to(device), torch.randn(T, B, 1).to(device)
        model = bptt.SequenceModel(getattr(bptt, kind)(I, H), 1).to(device)
        torchs = TorchModel(kind, I, H).to(device)
        ways = ways_of(model, torchs, x, d, segment)
        times = alternating(list(ways.values()), device, tiny)
        for (name, way), taken in zip(ways.items(), times, strict=True):
            bytes_ = peak(way, device)
            base = times[1].median
            text = f"{kind:<5}{name:<22}{taken}{taken.median / base:7.2f}{mebibytes(bytes_)}"
            yield Line(text, {"kind": kind, "way": name, "ms": taken, "peak": bytes_})


def ways_of(model: Any, torchs: Any, x: Any, d: Any, segment: int) -> dict[str, Callable[[], Any]]:
    """Each with the loss of the whole sequence."""
    criterion = nn.MSELoss()

    def step(of: Any) -> None:
        of.zero_grad()
        criterion(of(x)[0], d).backward()

    def checkpointed() -> None:
        model.zero_grad()
        bptt.checkpointed(model, x, d, criterion, segment=segment)

    return {
        "torch.nn, plain step": lambda: step(torchs),
        "bptt, plain step": lambda: step(model),
        "checkpointed": checkpointed,
        "contributions": lambda: bptt.contributions(model, x, d, criterion),
    }
