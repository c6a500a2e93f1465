"""`bptt explain`: the lesson's example, computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from ..training.errors import UserError
from .writing import check_new, write_text

if TYPE_CHECKING:
    from ..insight.variations import Situation
    from .subject import Subject

FURTHER = 200  # steps to which a live page can lengthen the sequence


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
    html: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to write the page of `bptt explore` to, for reading offline; it must not exist."""
    svg: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to draw the unfolded network into, the gradient on its edges; it must not exist."""
    derivation: bool = False
    """Write the chain rule out too, term by term, with this network's numbers."""


def explain(config: ExplainConfig) -> int:
    """Print the explanation, and write the JSON, the page and the picture; returns the exit code.

    Raises:
        UserError: an option is out of its range, or a file exists or cannot be written.
    """
    import torch

    from ..insight.derivation import derivation
    from ..insight.diagrams import diagram
    from ..insight.explain import explain as explanation_of
    from ..networks import Elman
    from ..report.page import page_html

    check(config)
    net, x, d, _ = lesson(config)
    e = explanation_of(net, x, d, config.t, config.loss)
    if config.json is not None:
        with torch.no_grad():
            y, s = net(x)
        network: dict[str, Any] = {name: w.tolist() for name, w in net.named_parameters()}
        numbers = {"x": x.tolist(), "d": d.tolist(), "s": s.tolist(), "y": y.tolist(), **network, **e.numbers()}
        write_text(config.json, json.dumps(numbers, indent=1))
    if config.html is not None:
        try:
            page = page_html(lesson_subject(config).page())
        except ValueError as error:
            raise UserError(f"no page can be made: {error}") from error
        write_text(config.html, page)
    assert isinstance(net, Elman)
    if config.svg is not None:
        write_text(config.svg, diagram(net, "unfolded", e).svg + "\n")
    parts = [_heading(config), e]
    if config.derivation:
        parts.append(derivation(net, config.t, x, d, loss=config.loss).text)
    print(*parts, sep="\n\n")
    return 0


def lesson(config: ExplainConfig, further: int = 0) -> Situation:
    """The lesson's network and sequence, by the seed; the sequence with steps after its end up to `further`."""
    import torch

    from ..insight.variations import Situation
    from ..networks import Elman

    classes = config.loss == "cross_entropy"
    sizes = (config.input_size, config.state_size, config.output_size)

    def sequence(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(steps, config.input_size, dtype=torch.float64)
        if classes:
            return x, torch.randint(config.output_size, (steps,))
        return x, torch.randn(steps, config.output_size, dtype=torch.float64)

    steps = config.steps or config.t
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = Elman(*sizes, config.activation, softmax=classes, leak=config.leak, dtype=torch.float64)
        x, d = sequence(steps)
        if further > steps:
            x, d = (torch.cat(rows) for rows in zip((x, d), sequence(further - steps), strict=True))
    return Situation(net, x, d, config.loss)


def lesson_subject(config: ExplainConfig) -> Subject:
    """The page about the lesson's network."""
    from ..insight.variations import Start
    from .subject import Subject

    lead = [
        "An Elman network reads a sequence step by step. To train it at step t, the error of that step is taken "
        "back through all that happened before.",
        f"Weights, inputs and targets are random here (seed {config.seed}).",
    ]
    start = Start(lesson(config, FURTHER), config.steps or config.t, "end")
    return Subject("Backpropagation through time", lead, "bptt explore", start, config.t)


def _heading(config: ExplainConfig) -> str:
    """The network's equations, its sizes and the seed."""
    leak = "" if config.leak == 1 else f"{1 - config.leak:g} s_(t-1) + {config.leak:g} "
    y = "softmax(s_t W_y)" if config.loss == "cross_entropy" else "s_t W_y"
    sizes = (config.input_size, config.state_size, config.output_size)
    return (
        f"s_t = {leak}{config.activation}(x_t W_x + s_(t-1) W_s),   y_t = {y}\n"
        f"sizes of x, s, y: {sizes[0]}, {sizes[1]}, {sizes[2]}; seed {config.seed}"
    )


def check(config: ExplainConfig) -> None:
    """Refuse options that cannot work.

    Raises:
        UserError: naming the option, what it was and what is wanted.
    """
    steps = config.t if config.steps is None else config.steps
    for name in ("t", "input_size", "state_size", "output_size"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(config, name)}")
    if not config.t <= steps:
        raise UserError(f"--t is {config.t}, but the sequence has --steps {steps}")
    if not 0 < config.leak <= 1:
        raise UserError(f"--leak must lie in (0, 1], got {config.leak}")
    if config.loss == "cross_entropy" and config.output_size < 2:
        raise UserError("cross entropy needs at least two classes: pass --output-size 2 or more")
    check_new(config.json, "--json FILE")
    check_new(config.html, "--html FILE")
    check_new(config.svg, "--svg FILE")
    files = [file for file in (config.json, config.html, config.svg) if file is not None]
    if len(set(files)) < len(files):
        raise UserError(f"{files[-1]} was given for both of two files; pass another FILE for one of them")
