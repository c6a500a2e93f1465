"""`bptt sample`: let a trained language model write."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..errors import UserError
from ..training.options.text import TextOptions


@dataclass(frozen=True)
class SampleConfig:
    """Let a run of `bptt train --task text` write on after a prompt, token by token."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    prompt: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: a new line)")] = ""
    """What is read, and printed, before."""
    temperature: float = 0.8
    """0 takes the likeliest token each time; 1 draws them as they were learned; more is bolder."""
    length: int = 500
    """Characters or bytes to write."""
    seed: int = 0
    """Of what is drawn."""


def sample(config: SampleConfig) -> int:
    """Write to standard output; returns the exit code.

    Raises:
        UserError: the run is none of text, the prompt has a character it never saw, or a number makes no sense.
    """
    from ..printable import printable
    from ..training.data.text import as_bytes, as_tokens
    from ..training.run import load
    from ..training.tasks.text import sample_text

    if not 0 <= config.temperature < float("inf"):
        raise UserError(f"--temperature must be at least 0 and finite, got {config.temperature}")
    if config.length < 1:
        raise UserError(f"--length must be at least 1, got {config.length}")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed must be at least 0 and below 2^63, got {config.seed}")
    run = load(config.run)
    if run.task_name != "text":
        raise UserError(
            f"{config.run} was trained with --task {run.task_name} and writes no text; use `bptt predict`"
        )
    assert isinstance(run.config, TextOptions)
    tokens, prompt = run.config.tokens, as_tokens(config.prompt, run.config.tokens)
    written = sample_text(run.model, run.labels, prompt, config.length, config.temperature, config.seed)
    if tokens == "characters":
        text = f"{prompt}{written}\n"
        sys.stdout.write(printable(text, keep="\n\t") if sys.stdout.isatty() else text)
    else:
        sys.stdout.buffer.write(as_bytes(f"{prompt}{written}\n", tokens))
    return 0
