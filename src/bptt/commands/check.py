"""`bptt check`: every way to the gradient side by side, for a model or a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..insight.agreement.check import check_gradient
from ..losses import cross_entropy, squared_error
from ..modules import GRU, LSTM, RNN
from ..networks import Elman, SequenceModel
from ..printable import message
from ..training.device import move_model, named_device
from ..training.options.base import check_device_name
from ..training.transfer import device_of
from .opening import opened
from .options import CheckOptions
from .streams import say

CheckedModel = tuple[nn.Module, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor], str]

MODELS = ("elman", "rnn", "gru", "lstm")
OUTPUTS = 2  # of the read-out behind a model made here
OF_MODELS = ("size", "layers", "bidirectional", "projection", "activation", "leak")


def check(config: CheckOptions) -> int:
    """Print the table and the verdict; returns the exit code.

    Raises:
        UserError: an option is out of its range, or the run cannot be used.
    """
    _check(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model, x, d, criterion, what = _of_name(config) if config.model in MODELS else _of_run(config)
    if config.model in MODELS and config.device not in (None, "auto"):
        move_model(model, named_device(config.device).device)
    device = device_of(model)
    if device.type == "mps":
        raise UserError("bptt check computes in float64, which MPS does not have; pass --device cpu")
    try:
        result = check_gradient(model, x.to(device), d.to(device), criterion, looks=config.looks, seed=config.seed)
    except ValueError as error:  # a run's weights may give a loss that is not finite
        raise UserError(str(error)) from error
    say(message(what), result)
    return 0 if result.passed else 1


def _of_name(config: CheckOptions) -> CheckedModel:
    """A model with random weights, with random input and targets."""
    T, B, I, H = config.size
    if config.model == "elman":
        net = Elman(I, H, OUTPUTS, config.activation, leak=config.leak)
        what = f"{net}, x (B, T, I) = ({B}, {T}, {I}), seed {config.seed}"
        return net, torch.randn(B, T, I), torch.randn(B, T, OUTPUTS), squared_error, what
    if config.model == "rnn":
        layer = RNN(I, H, config.layers, config.activation, bidirectional=config.bidirectional, leak=config.leak)
    elif config.model == "gru":
        layer = GRU(I, H, config.layers, bidirectional=config.bidirectional)
    else:
        layer = LSTM(I, H, config.layers, bidirectional=config.bidirectional, proj_size=config.projection)
    model = SequenceModel(layer, OUTPUTS)
    what = f"{layer} and a read-out of {OUTPUTS}, x (T, B, I) = ({T}, {B}, {I}), seed {config.seed}"
    return model, torch.randn(T, B, I), torch.randn(T, B, OUTPUTS), squared_error, what


def _of_run(config: CheckOptions) -> CheckedModel:
    """A run's model with steps of its training set, or random ones, and its training loss."""
    folder = Path(config.model)
    if not folder.exists():
        raise UserError(f"{config.model} is neither {', '.join(MODELS)} nor a run folder: there is no such folder")
    run = opened(folder, config.device, "bptt check")
    what = f"{run.network.recurrent} of {folder}"
    try:
        excerpt = run.training_excerpt().last(config.steps)
    except UserError as error:
        outputs = run.network.readout.out_features
        x = torch.randn(config.steps, 1, run.network.recurrent.input_size)
        what += f", on {len(x)} random steps, seed {config.seed}, since its data cannot be read: {error}"
        if run.task_name == "forecast":
            return run.network, x, torch.randn(config.steps, 1, outputs), squared_error, what
        return run.network, x, torch.randint(outputs, (config.steps, 1)), cross_entropy, what
    what += f", on {excerpt.what}"
    return run.network, excerpt.x, excerpt.d, excerpt.criterion, what


def _check(config: CheckOptions) -> None:
    check_device_name(config.device)
    if min(config.size) < 1:
        raise UserError(f"--size {' '.join(map(str, config.size))}: each of T, B, I, H must be at least 1")
    for name, least in (("layers", 1), ("projection", 0), ("steps", 1), ("looks", 3), ("seed", 0)):
        if getattr(config, name) < least:
            raise UserError(f"--{name} must be at least {least}, got {getattr(config, name)}")
    if not 0 < config.leak <= 1:
        raise UserError(f"--leak must lie in (0, 1], got {config.leak}")
    if config.projection >= config.size[3]:
        raise UserError(f"--projection {config.projection} must be below the hidden size, {config.size[3]}")
    takes = {
        "elman": ("size", "activation", "leak"),
        "rnn": ("size", "layers", "bidirectional", "activation", "leak"),
        "gru": ("size", "layers", "bidirectional"),
        "lstm": ("size", "layers", "bidirectional", "projection"),
    }.get(config.model, ("steps",))
    for name in (*OF_MODELS, "steps"):
        if name not in takes and getattr(config, name) != getattr(CheckOptions, name):
            what = config.model if config.model in MODELS else "a run"
            raise UserError(f"--{name} is no choice of {what}, which takes --{', --'.join(takes)}")
