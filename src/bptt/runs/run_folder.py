"""A run folder: made, and its files read and checked; `journal` writes them."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..files import LARGEST_TEXT, make_folder, read_regular
from ..forecast_model import ForecastModel, LinearPath
from ..networks import SequenceModel
from ..training.config_file import ConfigFile
from ..training.network import build, count_of, sizes_of
from ..training.tasks.intervals import Intervals
from ..training.tensors import read_tensors
from ..training.toml import made_of, read_toml

INTERVALS = "intervals.toml"
METRICS = "metrics.jsonl"
WEIGHTS = "model.safetensors"
LARGEST_MISSED = 1e9  # of `Intervals.missed`, far beyond what adaptation reaches


class MetricLines(list[dict[str, Any]]):
    """The lines of metrics.jsonl, a list that prints as one line."""

    def __repr__(self) -> str:
        epochs = sum(isinstance(line, dict) and line.get("event") == "epoch" for line in self)
        scores = "the scores of the test set" if epochs < len(self) else "no scores yet"
        return f"<metrics of {epochs} epoch{'' if epochs == 1 else 's'}, and {scores} in the last line>"


def make_run_folder(folder: Path, exist_ok: bool = False) -> Path:
    """Make the run folder that was asked for.

    Raises:
        UserError: it exists, unless that is allowed, or cannot be made.
    """
    try:
        make_folder(folder, exist_ok=exist_ok)
        return folder
    except FileExistsError as error:
        raise overwriting(folder) from error
    except OSError as error:
        raise unmade(error) from error


def overwriting(folder: Path) -> UserError:
    """The error of a run folder that exists already."""
    resume = f", or continue it with --resume {folder}" if (folder / "config.toml").exists() else ""
    return UserError(f"{folder} exists already and is not overwritten; pass another --out{resume}")


def unmade(error: OSError) -> UserError:
    """The error of a run folder that cannot be made."""
    return UserError(f"the run folder {error.filename} cannot be made: {error.strerror}; pass --out")


def check_run_folder(folder: Path) -> None:
    """Refuse what is no folder with a config.toml."""
    if folder.is_file():
        raise UserError(f"{folder} is a file; pass a run folder, as `bptt train` writes it")
    if folder.is_dir() and not os.path.lexists(folder / "config.toml"):
        runs = sorted(path.parent for path in folder.glob("*/config.toml"))
        hint = f"; run folders in it: {', '.join(map(str, runs[:5]))}" if runs else "; `bptt train` makes one"
        raise UserError(f"{folder} is not a run folder, or its config.toml is missing{hint}")
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")


def read_metrics(folder: Path) -> MetricLines:
    """The lines of metrics.jsonl."""
    path = folder / METRICS
    try:
        lines = MetricLines(json.loads(line) for line in read_regular(path, most=LARGEST_TEXT).splitlines())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, dict) or "event" not in line:
            raise UserError(f"{path} is damaged: line {number} is no event")
    return lines


def read_model(folder: Path, described: ConfigFile) -> SequenceModel | ForecastModel:
    """The trained model in eval mode.

    Args:
        described: the content of config.toml.

    Raises:
        UserError: it is not there yet, damaged, or of another network than config.toml describes.
    """
    path = folder / WEIGHTS
    if not os.path.lexists(path) and not is_finished(folder):
        raise UserError(
            f"{folder} is not finished: it has no model.safetensors yet; if its training was broken off, "
            f"`bptt train --resume {folder}` continues it"
        )
    weights = _read_weights(path)
    try:
        model = _model_for(weights, described)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.toml'} describes no network of this run: {error}") from error
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise UserError(
            f"{path} does not fit config.toml: {name} is {found.get(name, 'missing')} "
            f"in the file and {wanted.get(name, 'unknown')} by the config"
        )
    model.load_state_dict(weights)
    return model.eval()


def _model_for(weights: dict[str, Tensor], described: ConfigFile) -> SequenceModel | ForecastModel:
    """A model of the sizes of a run's weights, with new weights."""
    described_by = described.columns, described.labels, described.calendar, described.lags
    inputs, outputs = sizes_of(described.config, *described_by)
    reads = len(weights["path.reading"]) if "path.reading" in weights else inputs
    count = count_of(described.config, reads, outputs)
    there = sum(weight.numel() for weight in weights.values())
    if count > there:  # nothing larger than the file is built
        raise UserError(f"its network has {count:,} weights, and model.safetensors {there:,}")
    model = build(described.config, reads, outputs)
    return (
        ForecastModel(LinearPath(inputs, outputs, reads, "cpu", torch.float32), model)
        if "path.weight" in weights
        else model
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """A network's weights, finite float32."""
    weights = read_tensors(path)
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise UserError(f"{path} is damaged: it holds something else than weights by their names")
    for name, weight in weights.items():
        if weight.dtype != torch.float32 or not weight.isfinite().all():
            raise UserError(f"{path} is damaged: {name} is not finite float32 throughout")
    return weights


def read_intervals(folder: Path, outputs: int) -> Intervals | None:
    """The content of intervals.toml; None where there is no such file."""
    path = folder / INTERVALS
    if not os.path.lexists(path):
        return None
    try:
        found = made_of(Intervals, read_toml(path))
        if len(found.widths) != outputs or not all(width >= 0 for width in found.widths):
            raise ValueError(f"{outputs} widths of at least 0 are needed")
        if found.errors < 0:
            raise ValueError(f"errors must be at least 0, got {found.errors}")
        if not len(found.missed) == len(found.recent) == outputs:
            raise ValueError(f"{outputs} values of missed, and of recent, are needed")
        if not all(0 <= size < math.inf for sizes in found.recent for size in sizes):
            raise ValueError("recent must hold finite errors of at least 0")
        if not all(abs(missed) < LARGEST_MISSED for missed in found.missed):
            raise ValueError(f"missed must be between -{LARGEST_MISSED:g} and {LARGEST_MISSED:g}")
        if not 0 < found.coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, got {found.coverage}")
        return found
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def is_finished(folder: Path) -> bool:
    """Whether a run has its last line of metrics, which is written when all else is, and was not stopped."""
    try:
        last = json.loads(read_regular(folder / METRICS, most=LARGEST_TEXT).splitlines()[-1])
    except (UserError, ValueError, IndexError, RecursionError):
        return False
    return isinstance(last, dict) and last.get("event") == "test" and last.get("interrupted") is False


def check_same_files(began: ConfigFile, digests: dict[str, str], when: str, advice: str = "") -> None:
    """Refuse data files that are not those a run has read.

    Args:
        began: the content of the run's config.toml.
        digests: the SHA-256 of each file there is now, by its path.
        when: since when a file has changed, in words.
        advice: how the message continues.

    Raises:
        UserError: one has changed, or there is no digest of it.
    """
    for name in sorted(began.digests.keys() | digests.keys()):
        if name not in began.digests:
            raise UserError(f"{name} may have changed since {when} (config.toml has no SHA-256 of it){advice}")
        if began.digests[name] != digests.get(name):
            raise UserError(f"{name} has changed since {when} (its SHA-256 is another){advice}")
