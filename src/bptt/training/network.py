"""The network of a run, made from its choices and from what its data look like."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..modules import GRU, LSTM, RNN
from ..networks import SequenceModel
from ..recurrent import Recurrent
from .config import TrainConfig, task_of


def network_of(
    config: TrainConfig, columns: list[str], labels: list[str], calendar: list[str] | None = None
) -> SequenceModel:
    """The network that a task asks for: what it reads at a step, and what it puts out.

    Args:
        config: the choices of the run.
        columns: those that are read, a target first.
        labels: classes, or tokens; empty where numbers are put out.
        calendar: the periods whose sine and cosine are input as well.
    """
    task = task_of(config)
    if task == "text":
        return build(config, len(labels), len(labels))
    if task == "classify":
        return build(config, len(columns), len(labels))
    of_a_row = len(columns) * (2 if config.missing == "mask" else 1)
    return build(config, of_a_row * config.lags + 2 * len(calendar or []), len(config.outputs))


def build(config: TrainConfig, input_size: int, output_size: int = 1) -> SequenceModel:
    """A recurrent network, its weights drawn from U(-init/√H, init/√H) by the seed; in eval mode.

    The random generator of the process is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SequenceModel(_recurrent(config, input_size), output_size)
        bound = config.init / math.sqrt(config.hidden)
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -bound, bound)
    return model.eval()


def _recurrent(config: TrainConfig, input_size: int) -> Recurrent:
    sizes = input_size, config.hidden, config.layers
    if config.cell == "elman":
        return RNN(*sizes, config.activation, dropout=config.dropout, leak=config.leak)
    return {"gru": GRU, "lstm": LSTM}[config.cell](*sizes, dropout=config.dropout)
