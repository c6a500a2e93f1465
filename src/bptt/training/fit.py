"""Full backpropagation through time over one sequence, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..modules import GRU, LSTM, RNN
from ..networks import SequenceModel, squared_error
from ..recurrent import Recurrent
from .config import TrainConfig
from .errors import TrainingDiverged


class Epoch(NamedTuple):
    """What one epoch did."""

    epoch: int  # from 1
    loss: float  # mean square error over the training steps, inputs noisy, targets standardised
    validation: float | None  # the same over the validation steps, inputs clean
    lr: float
    gradient_norm: float  # before clipping


@dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
        epochs: what each epoch did.
        best: the epoch whose weights the model now has: the last one, or the best on the validation steps.
        interrupted: whether it was asked to stop before its last epoch.
    """

    epochs: list[Epoch]
    best: int
    interrupted: bool


def build(config: TrainConfig, input_size: int) -> SequenceModel:
    """A recurrent network with one output, its weights drawn from U(-init/√H, init/√H) by the seed.

    The random generator of the process is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SequenceModel(_recurrent(config, input_size), 1)
        bound = config.init / math.sqrt(config.hidden)
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -bound, bound)
    return model


def _recurrent(config: TrainConfig, input_size: int) -> Recurrent:
    if config.cell == "elman":
        return RNN(input_size, config.hidden, config.layers, config.activation, leak=config.leak)
    return {"gru": GRU, "lstm": LSTM}[config.cell](input_size, config.hidden, config.layers)


def fit(
    model: SequenceModel,
    x: Tensor,
    d: Tensor,
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Fitted:
    """Train by full BPTT: every epoch one walk over the whole sequence and back.

    Adam with L2 weight decay, a learning rate that falls to 0 along a cosine, clipping of the gradient's norm, and
    Gaussian noise on the inputs, drawn afresh each epoch.

    Args:
        model: time-major, with one output.
        x: (T, I), the training steps' inputs.
        d: (T, 1), their targets.
        config: epochs, lr, weight_decay, clip, noise, validation, seed.
        on_epoch: called after each epoch.
        should_stop: asked before each epoch; true ends the training with what was reached.

    Raises:
        TrainingDiverged: the loss is not finite; the model has the last weights whose loss was.
    """
    learned = len(x) - round(len(x) * config.validation)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    noise = torch.Generator().manual_seed(config.seed)
    epochs: list[Epoch] = []
    finite, kept, lowest, best = _weights(model), None, math.inf, 0
    for number in range(1, config.epochs + 1):
        if should_stop():
            break
        noisy = x[:learned] + config.noise * torch.randn(x[:learned].shape, generator=noise)
        loss = _loss(model(noisy)[0], d[:learned])
        if not loss.isfinite():
            model.load_state_dict(finite)
            raise TrainingDiverged(
                f"the loss became {loss.item()} in epoch {number}; the weights before it are kept. Try a smaller "
                f"learning rate than {config.lr:g}, or a tighter clip than {config.clip:g}"
            )
        finite = _weights(model)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        lr = float(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        validation = None
        if learned < len(x):
            validation = _loss(predict(model, x)[learned:], d[learned:]).item()
            if validation < lowest:
                kept, lowest, best = _weights(model), validation, number
        epochs.append(Epoch(number, loss.item(), validation, lr, norm.item()))
        on_epoch(epochs[-1])
    if kept is not None:
        model.load_state_dict(kept)
    return Fitted(epochs, best if kept is not None else len(epochs), interrupted=len(epochs) < config.epochs)


def predict(model: SequenceModel, x: Tensor) -> Tensor:
    """y (T, 1) for one sequence x (T, I), in one walk from a zero state."""
    with torch.no_grad():
        y, _ = model(x)
    return y


def _loss(y: Tensor, d: Tensor) -> Tensor:
    """The mean square error of outputs y (T, 1) against targets d (T, 1)."""
    return squared_error(y, d) / d.numel()


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}
