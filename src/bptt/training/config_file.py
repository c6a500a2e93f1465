"""A run's config.toml as choices again, each checked as the command line checks it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import fields
from pathlib import Path

from ..errors import UserError
from .config import TrainConfig, configured, task_of
from .data.text_files import check_file, read_utf8
from .typed import filled


def read_choices(path: Path) -> TrainConfig:
    """The choices in [train] of a config.toml, the task's defaults for those that are not there.

    The run folder it names, `out`, is left out: what runs again makes a new one.

    Raises:
        UserError: there is no such file, or it holds something that is no choice.
    """
    check_file(path, "a run's config.toml")
    try:
        document = tomllib.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} could not be read as TOML: {error}") from error
    choices = document.get("train")
    if not isinstance(choices, dict):
        raise UserError(f"{path} has no table [train]; `bptt train` writes one into each run folder's config.toml")
    known = [field.name for field in fields(TrainConfig)]
    for name in choices:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UserError(
                f"{path}: [train] has {name!r}, which is no choice" + (f"; {near[0]}?" if near else "")
            )
    try:
        config = filled(TrainConfig, {name: value for name, value in choices.items() if name != "out"})
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    given = {name: getattr(config, name) for name in choices if name != "out"}
    return configured(**{**given, "task": task_of(config)})
