"""`bptt explain`: the backward pass of one error through the lesson's network or a trained one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch

from ..errors import UserError
from ..insight.lesson.derivation import derivation
from ..insight.lesson.diagram import diagram
from ..insight.lesson.explain import explain as explain_error
from ..losses import LOSSES
from ..networks import Elman
from ..page.html import page_html
from ..page.network import Experiment, Subject
from ..runs.explorer import Explorer
from ..runs.run import load
from ..training.options.base import option_of
from .opening import explorer_of
from .options import ExplainOptions
from .streams import say
from .writing import check_new, write_text

STEP = 3  # of the lesson's error
DRAWN = 5  # steps of the README's example
FURTHER = 200  # steps to which a reader of the page can lengthen the sequence


def explain(config: ExplainOptions) -> int:
    """Print the explanation, and write the JSON, the page and the picture; returns the exit code.

    Raises:
        UserError: an option is out of its range, or a file exists or cannot be written.
    """
    _check(config)
    run = None if config.run is None else load(config.run)
    if run is None:
        explorer, heading = lesson_explorer(config), _heading(config)
    else:
        explorer = explorer_of(run, config.steps)
        heading = "\n".join(filter(None, [_of_run(explorer), run.network_note]))
    net, x, d, criterion = explorer.subject.shown()
    t = explorer.t if config.t is None else config.t
    if t > len(x):
        raise UserError(f"--t is {t}, but there are {len(x)} steps; pass --steps {t} or more, if the run has them")
    e = explain_error(net, x, d, criterion, t=t) if run is None else run.explain(t, config.steps)
    if config.json is not None:
        with torch.no_grad():
            y, s = net(x)[0], net.hidden(x)
        network: dict[str, Any] = {name: w.tolist() for name, w in net.named_parameters()}
        numbers = {"x": x.tolist(), "d": d.tolist(), "s": s.tolist(), "y": y.tolist(), **network, **e.numbers()}
        write_text(config.json, json.dumps(numbers, indent=1))
    if config.html is not None:
        try:
            page = page_html(replace(explorer, t=t).page())
        except ValueError as error:
            raise UserError(f"no page can be made: {error}") from error
        write_text(config.html, page)
    if config.svg is not None:
        write_text(config.svg, diagram(net, x, d, criterion, t=t).svg + "\n")
    parts = [heading, e]
    if config.derivation:
        parts.append(derivation(net, x, d, criterion, t=t).text)
    say(*parts)
    return 0


def lesson(config: ExplainOptions) -> Experiment:
    """The lesson's network and sequence from the seed, with further steps up to `FURTHER`.

    Weights, x and d are drawn in float32 and over five steps first, as in the README.
    """
    classes = config.loss == "cross_entropy"
    sizes = (config.input_size, config.state_size, config.output_size)

    def sequence(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(steps, config.input_size)
        if classes:
            return x, torch.randint(config.output_size, (steps,))
        return x, torch.randn(steps, config.output_size)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = Elman(*sizes, config.activation, softmax=classes, leak=config.leak)
        parts = sequence(DRAWN), sequence(max(FURTHER, _steps(config)) - DRAWN)
    x, d = (torch.cat(rows) for rows in zip(*parts, strict=True))
    return Experiment(net.double(), x.double(), d if classes else d.double(), LOSSES[config.loss])


def lesson_explorer(config: ExplainOptions) -> Explorer:
    """The page about the lesson's network."""
    lead = [
        "To train a recurrent network at step t, backpropagation through time sends the error of that step back "
        "through every earlier step.",
    ]
    subject = Subject(lesson(config), _steps(config))
    return Explorer("Backpropagation through time", lead, subject, config.t or STEP, lesson=True)


def _steps(config: ExplainOptions) -> int:
    """The length of the lesson's sequence."""
    return config.steps or config.t or STEP


def _heading(config: ExplainOptions) -> str:
    """The network's equations, its sizes and the seed."""
    leak = "" if config.leak == 1 else f"{1 - config.leak:g} s_(t-1) + {config.leak:g} "
    y = "softmax(s_t W_y)" if config.loss == "cross_entropy" else "s_t W_y"
    sizes = (config.input_size, config.state_size, config.output_size)
    return (
        f"s_t = {leak}{config.activation}(x_t W_x + s_(t-1) W_s),   y_t = {y}\n"
        f"sizes of x, s, y: {sizes[0]}, {sizes[1]}, {sizes[2]}; seed {config.seed}"
    )


def _of_run(explorer: Explorer) -> str:
    """The run, and the steps that its error goes back through."""
    steps, times, said = explorer.subject.steps, explorer.times, explorer.where
    if times is not None:
        said += f", forecasts of {times[-steps]} to {times[-1]}"
    return f"{explorer.title}: {explorer.lead[0]}\n{said}"


def _check(config: ExplainOptions) -> None:
    """Refuse options that cannot work.

    Raises:
        UserError: naming the option, what it was and what is wanted.
    """
    for name in ("t", "steps", "input_size", "state_size", "output_size"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"{option_of(name)} must be at least 1, got {value}")
    for name in ("input_size", "state_size", "output_size", "activation", "leak", "loss", "seed"):
        if config.run is not None and getattr(config, name) != getattr(ExplainOptions, name):
            raise UserError(f"{option_of(name)} is an option of the lesson's network; {config.run} has its own")
    if config.run is None and (config.t or STEP) > _steps(config):
        raise UserError(f"--t is {config.t or STEP}, but the sequence has --steps {config.steps}")
    if not 0 < config.leak <= 1:
        raise UserError(f"--leak must lie in (0, 1], got {config.leak}")
    if config.loss == "cross_entropy" and config.output_size < 2:
        raise UserError("cross entropy needs at least two classes: pass --output-size 2 or more")
    check_new(config.json, "--json FILE")
    check_new(config.html, "--html FILE")
    check_new(config.svg, "--svg FILE")
    files = [file for file in (config.json, config.html, config.svg) if file is not None]
    if len(set(files)) < len(files):
        raise UserError(f"{files[-1]} was given for two files; pass another FILE for one of them")
