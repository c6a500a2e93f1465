"""`bptt explain`: the lesson's example, computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from ..training.errors import UserError


@dataclass(frozen=True)
class ExplainConfig:
    """Take the error of one step back through time and print what every earlier step contributed.

    The lesson's example: a small Elman network with random weights, inputs and targets, and E_3.
    """

    t: int = 3
    """Step whose error is taken back."""
    steps: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: t)")] = None
    """Length of the sequence."""
    input_size: int = 2
    """Features of x_t."""
    state_size: int = 3
    """Units of the state s_t."""
    output_size: int = 1
    """Outputs y_t."""
    activation: Literal["tanh", "relu", "sigmoid", "softplus", "gelu", "identity"] = "tanh"
    """Φ."""
    leak: float = 1.0
    """α of s_t = (1-α) s_(t-1) + α Φ(...); 1 is the lesson's network."""
    loss: Literal["squared_error", "cross_entropy"] = "squared_error"
    """E_t; cross entropy is of softmax(s_t W_y) against a class number."""
    seed: int = 0
    """Of weights, inputs and targets."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to write every number to; it must not exist."""
    svg: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to draw the unfolded network to, with the gradient on every edge; it must not exist."""
    derivation: bool = False
    """Also print the chain rule of E_t for every matrix, term by term, in symbols and in numbers."""


def explain(config: ExplainConfig) -> int:
    """Print the explanation and the derivation, write the JSON and the picture; returns the exit code.

    Raises:
        UserError: an option is out of its range, or a file exists or cannot be written.
    """
    import torch

    from ..insight.derivation import derivation
    from ..insight.diagrams import diagram
    from ..insight.explain import explain as explanation_of
    from ..networks import Elman

    steps = config.t if config.steps is None else config.steps
    _check(config, steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = Elman(
            config.input_size,
            config.state_size,
            config.output_size,
            config.activation,
            softmax=config.loss == "cross_entropy",
            leak=config.leak,
            dtype=torch.float64,
        )
        x = torch.randn(steps, config.input_size, dtype=torch.float64)
        if config.loss == "cross_entropy":
            d = torch.randint(config.output_size, (steps,))
        else:
            d = torch.randn(steps, config.output_size, dtype=torch.float64)
    e = explanation_of(net, x, d, config.t, config.loss)
    if config.json is not None:
        with torch.no_grad():
            y, s = net(x)
        network: dict[str, Any] = {name: w.tolist() for name, w in net.named_parameters()}
        numbers = {"x": x.tolist(), "d": d.tolist(), "s": s.tolist(), "y": y.tolist(), **network, **e.numbers()}
        _write(config.json, json.dumps(numbers, indent=1))
    if config.svg is not None:
        _write(config.svg, f"{diagram(net, 'unfolded', e).svg}\n")
    print(_heading(config), e, sep="\n\n")
    if config.derivation:
        print("", derivation(net, config.t, x, d, config.loss), sep="\n")
    return 0


def _heading(config: ExplainConfig) -> str:
    """The network's equations, its sizes and the seed."""
    leak = "" if config.leak == 1 else f"{1 - config.leak:g} s_(t-1) + {config.leak:g} "
    y = "softmax(s_t W_y)" if config.loss == "cross_entropy" else "s_t W_y"
    sizes = (config.input_size, config.state_size, config.output_size)
    return (
        f"s_t = {leak}{config.activation}(x_t W_x + s_(t-1) W_s),   y_t = {y}\n"
        f"sizes of x, s, y: {sizes[0]}, {sizes[1]}, {sizes[2]}; seed {config.seed}"
    )


def _check(config: ExplainConfig, steps: int) -> None:
    for name in ("t", "input_size", "state_size", "output_size"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(config, name)}")
    if not config.t <= steps:
        raise UserError(f"--t is {config.t}, but the sequence has --steps {steps}")
    if not 0 < config.leak <= 1:
        raise UserError(f"--leak must lie in (0, 1], got {config.leak}")
    if config.loss == "cross_entropy" and config.output_size < 2:
        raise UserError("cross entropy needs at least two classes: pass --output-size 2 or more")
    for option, path in (("--json", config.json), ("--svg", config.svg)):
        if path is not None and path.exists():
            raise UserError(f"{path} exists already and is not overwritten; pass another {option} FILE")
    if config.json is not None and config.json == config.svg:
        raise UserError(f"--json and --svg are both {config.json}; give each a file of its own")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
