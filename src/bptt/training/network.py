"""The network of a run, made from its choices and from what its data look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import UserError
from ..modules import GRU, LSTM, RNN
from ..networks import SequenceModel
from ..reach.byte_sizes import format_bytes
from ..recurrent import Recurrent
from .data.calendar import FEATURES
from .data.streamed_tables import machine_memory
from .options.base import TrainOptions
from .options.classify import ClassifyOptions
from .options.forecast import ForecastOptions

if TYPE_CHECKING:
    from .tasks.task import Task

SMALL = 0.1  # of the weights drawn, for the read-out beside a linear path
TAKEN = 16  # bytes of a weight while it is learned: itself, its gradient, and Adam's two moments


def network_of(config: TrainOptions, task: Task) -> SequenceModel:
    """The network that a task asks for; on what a linear path leaves it begins with small outputs.

    Raises:
        UserError: it would not fit into the machine's memory.
    """
    inputs, outputs = sizes_of(config, task.columns, task.labels, task.calendar, task.lags)
    if task.path is None:
        return build(config, inputs, outputs)
    model = build(config, len(task.path.reading), outputs)
    for weight in model.readout.parameters():
        weight.detach().mul_(SMALL)
    return model


def sizes_of(
    config: TrainOptions, columns: list[str], labels: list[str], calendar: Sequence[str], lags: Sequence[int]
) -> tuple[int, int]:
    """Input and output size of a task's model.

    Args:
        config: the choices of the run.
        columns: the input columns, targets first.
        labels: classes or tokens; empty if the outputs are numbers.
        calendar: the periods whose sine and cosine are input as well.
        lags: the rows that are input at each step.
    """
    if config.task == "text":
        return len(labels), len(labels)
    if isinstance(config, ClassifyOptions):
        return len(columns) * (config.stride or 1), len(labels)
    assert isinstance(config, ForecastOptions)
    of_a_row = len(columns) * (2 if config.missing == "mask" else 1)
    return of_a_row * len(lags) + FEATURES * len(calendar), max(1, len(config.targets)) * len(config.horizons)


def build(config: TrainOptions, input_size: int, output_size: int = 1) -> SequenceModel:
    """A recurrent network, its weights drawn from U(-init/√H, init/√H) by the seed; in eval mode.

    They are drawn from a generator of their own, so that threads do not disturb each other; the process's is
    neither read nor changed.

    Raises:
        UserError: it would not fit into the machine's memory.
    """
    count, memory = count_of(config, input_size, output_size), machine_memory()
    if count * TAKEN > memory:
        raise UserError(
            f"a network of --hidden {config.hidden}, --layers {config.layers} and {input_size} inputs has "
            f"{count:,} weights, which take {format_bytes(count * TAKEN)} while they are learned, and this "
            f"machine has {format_bytes(memory)}; make it smaller"
        )
    model = SequenceModel(_recurrent(config, input_size), output_size)  # on "meta", where nothing is drawn
    model = model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(config.seed)
    bound = config.init / math.sqrt(config.hidden)
    for _ in range(2):  # a seed's weights have always been the second ones it gives, after the modules' own
        for weight in model.parameters():
            nn.init.uniform_(weight, -bound, bound, generator)
    return model.eval()


def count_of(config: TrainOptions, input_size: int, output_size: int) -> int:
    """How many weights such a network has, nothing of it built."""
    gates, hidden = {"elman": 1, "gru": 3, "lstm": 4}[config.cell], config.hidden
    read = input_size + (config.layers - 1) * hidden  # by all layers
    return gates * hidden * (read + config.layers * (hidden + 2)) + (hidden + 1) * output_size


def _recurrent(config: TrainOptions, input_size: int) -> Recurrent:
    sizes = input_size, config.hidden, config.layers
    choices: dict[str, Any] = {"dropout": config.dropout, "device": "meta", "dtype": torch.float32}
    if config.cell == "elman":
        return RNN(*sizes, config.activation, leak=config.leak, **choices)
    return {"gru": GRU, "lstm": LSTM}[config.cell](*sizes, **choices)
