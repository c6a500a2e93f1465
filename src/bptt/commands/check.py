"""`bptt check`: every way to the gradient side by side, for a model or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from ..errors import UserError
from ..printable import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    Checked = tuple[nn.Module, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor], str]

MODELS = ("elman", "rnn", "gru", "lstm")
OUTPUTS = 2  # of the read-out behind a model made here
OF_MODELS = ("size", "layers", "bidirectional", "projection", "activation", "leak")


@dataclass(frozen=True)
class CheckConfig:
    """Take one gradient by every way there is and compare: fused kernels, reference, checkpointed, torch.nn,
    autograd, and finite differences, which judge the others.

    MODEL is elman, rnn, gru or lstm, with random weights, input and targets, or a run folder, with its weights,
    the loss it was trained by and a stretch of its own data (random where the data are not there). Ends with 0 if
    all ways agree, with 1 if not.
    """

    model: Annotated[str, Positional, arg(metavar="MODEL")]
    """elman, rnn, gru, lstm, or a run folder that `bptt train` wrote."""
    size: Annotated[tuple[int, int, int, int], arg(metavar="T B I H")] = (20, 3, 4, 8)
    """Steps, batch, input and hidden size."""
    layers: int = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Each layer also walks from the last step to the first."""
    projection: int = 0
    """Of an lstm: size of its projected output; 0 is none."""
    activation: Literal["tanh", "relu", "sigmoid", "softplus", "gelu", "identity"] = "tanh"
    """Of elman and rnn."""
    leak: float = 1.0
    """Of elman and rnn: how much of the state is new at each step; 1 is the plain network."""
    steps: int = 50
    """Of a run: length of the stretch of its data, the last it learned from."""
    looks: int = 8
    """Places in each tensor that finite differences look at, at least 3."""
    seed: int = 0
    """Of random weights, input, targets, and these places."""


def check(config: CheckConfig) -> int:
    """Print the table and the verdict; returns the exit code.

    Raises:
        UserError: an option is out of its range, or the run cannot be used.
    """
    _check(config)
    import torch
    from rich.console import Console

    from ..insight.agreement.check import check_gradient as checked
    from ..insight.agreement.result import check_table, remarks

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model, x, d, criterion, what = _of_name(config) if config.model in MODELS else _of_run(config)
    try:
        result = checked(model, x, d, criterion, looks=config.looks, seed=config.seed)
    except ValueError as error:  # a run's weights may give a loss that is not finite
        raise UserError(str(error)) from error
    console = Console()
    console.print(f"{message(what)}\n", markup=False, highlight=False, soft_wrap=True)
    console.print(check_table(result))
    for line in (*remarks(result), result.verdict):
        console.print(line, markup=False, highlight=False)
    return 0 if result.passed else 1


def _of_name(config: CheckConfig) -> Checked:
    """A model with random weights, with random input and targets."""
    import torch

    from ..modules import GRU, LSTM, RNN
    from ..networks import Elman, SequenceModel, squared_error

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


def _of_run(config: CheckConfig) -> Checked:
    """A run's model with the last steps of its training set, or random ones, and its training loss."""
    import torch

    from ..networks import cross_entropy, squared_error
    from ..training.run import load

    folder = Path(config.model)
    if not folder.exists():
        raise UserError(f"{config.model} is neither {', '.join(MODELS)} nor a run folder: there is no such folder")
    run = load(folder)
    what = f"{run.model.recurrent} of {folder}"
    try:
        sample = run.sample().last(config.steps)
    except UserError as error:
        outputs = run.model.readout.out_features
        x = torch.randn(config.steps, 1, run.model.recurrent.input_size)
        what += f", on {len(x)} random steps, seed {config.seed}, since its data cannot be read: {error}"
        if run.task_name == "forecast":
            return run.model, x, torch.randn(config.steps, 1, outputs), squared_error, what
        return run.model, x, torch.randint(outputs, (config.steps, 1)), cross_entropy, what
    what += f", on the last {len(sample.x)} steps of its training set: {sample.what}"
    return run.model, sample.x, sample.d, sample.criterion, what


def _check(config: CheckConfig) -> None:
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
        if name not in takes and getattr(config, name) != getattr(CheckConfig, name):
            what = config.model if config.model in MODELS else "a run"
            raise UserError(f"--{name} is no choice of {what}, which takes --{', --'.join(takes)}")
