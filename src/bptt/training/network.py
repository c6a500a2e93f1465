"""The network of a run, made from its choices and from what its data look like."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..modules import GRU, LSTM, RNN
from ..networks import SequenceModel
from ..reach.byte_sizes import format_bytes
from ..recurrent import Recurrent
from .data.streamed_tables import machine_memory
from .options.base import TrainOptions
from .options.classify import ClassifyOptions
from .options.forecast import ForecastOptions

TAKEN = 16  # bytes of a weight while it is learned: itself, its gradient, and Adam's two moments


def network_of(
    config: TrainOptions, columns: list[str], labels: list[str], calendar: list[str] | None = None
) -> SequenceModel:
    """The network that a task asks for.

    Args: as `sizes_of` takes them.

    Raises:
        UserError: it would not fit into the machine's memory.
    """
    return build(config, *sizes_of(config, columns, labels, calendar))


def sizes_of(
    config: TrainOptions, columns: list[str], labels: list[str], calendar: list[str] | None = None
) -> tuple[int, int]:
    """Input and output size of a task's network.

    Args:
        config: the choices of the run.
        columns: the input columns, targets first.
        labels: classes or tokens; empty if the outputs are numbers.
        calendar: the periods whose sine and cosine are input as well.
    """
    if config.task == "text":
        return len(labels), len(labels)
    if isinstance(config, ClassifyOptions):
        return len(columns) * (config.stride or 1), len(labels)
    assert isinstance(config, ForecastOptions)
    of_a_row = len(columns) * (2 if config.missing == "mask" else 1)
    return of_a_row * config.lags + 2 * len(calendar or []), max(1, len(config.targets)) * len(config.horizons)


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
