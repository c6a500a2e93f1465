"""`bptt sample`: let a trained language model write."""

from __future__ import annotations

import sys

from ..errors import UserError
from ..printable import printable
from ..training.data.text import as_bytes, as_tokens
from ..training.options.text import TextOptions
from ..training.tasks.text import sample_text
from .opening import opened
from .options import SampleOptions


def sample(config: SampleOptions) -> int:
    """Write to standard output; returns the exit code.

    Raises:
        UserError: the run is none of text, the prompt has a character it never saw, or a number makes no sense.
    """
    if not 0 <= config.temperature < float("inf"):
        raise UserError(f"--temperature must be at least 0 and finite, got {config.temperature}")
    if config.length < 1:
        raise UserError(f"--length must be at least 1, got {config.length}")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed must be at least 0 and below 2^63, got {config.seed}")
    run = opened(config.run, config.device, "bptt sample")
    if run.task_name != "text":
        raise UserError(
            f"{config.run} was trained with --task {run.task_name} and writes no text; use `bptt predict`"
        )
    assert isinstance(run.config, TextOptions)
    tokens, prompt = run.config.tokens, as_tokens(config.prompt, run.config.tokens)
    written = sample_text(run.network, run.labels, prompt, config.length, config.temperature, config.seed)
    if tokens == "characters":
        text = f"{prompt}{written}\n"
        sys.stdout.write(printable(text, keep="\n\t") if sys.stdout.isatty() else text)
    else:
        sys.stdout.buffer.write(as_bytes(f"{prompt}{written}\n", tokens))
    return 0
