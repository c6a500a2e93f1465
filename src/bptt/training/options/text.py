"""The options of `bptt train` for a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from .base import CellName, DataOption, TaskOption
from .shared import ReachOptions

Tokens = Literal["characters", "bytes"]


@dataclass(frozen=True)
class TextOptions(ReachOptions):
    """Train a language model: a recurrent network that predicts the next character or byte of a text.

    Without DATA it is trained on the embedded Moby-Dick. With a run's config.toml as DATA that run is repeated;
    options given beside it override it.

    Writes a run folder: config.toml, model.safetensors, metrics.jsonl, report.html and sample.txt.
    """

    data: DataOption = None
    """A UTF-8 text, any file with --tokens bytes, or a run's config.toml; default: Moby-Dick."""
    task: TaskOption = "text"
    tokens: Tokens = "characters"
    """The token of each step: characters, or bytes, of which there are 256."""
    test: float = 0.1
    """Fraction of the text, at its end, kept as test set."""
    validation: float = 0.0
    """Fraction of the training text, at its end, kept as validation set, which chooses the best epoch; 0 keeps the
    last epoch."""
    cell: CellName = "lstm"
    leak: float = 1.0
    hidden: int = 128
    init: float = 1.0
    reach: Literal["truncated"] = "truncated"
    """How far back errors are propagated: over the last k2 tokens, with an update every k1."""
    k1: Annotated[int | None, arg(metavar="INT")] = 64
    """Tokens between two updates."""
    k2: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: k1)")] = None
    """Tokens an error is propagated back; at least k1."""
    batch: int = 16
    """Pieces that the text is cut into, trained on side by side."""
    epochs: int = 8
    lr: float = 0.01
    weight_decay: float = 0.0
