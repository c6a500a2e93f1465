"""`bptt predict`: forecast new data with a trained run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..training.config import Missing
from ..training.errors import UserError
from .follow import follow
from .interruption import ended_at_once
from .writing import check_new, write_text


@dataclass(frozen=True)
class PredictConfig:
    """Forecast with a trained run: one line a row, as CSV with the columns time, target, truth, forecast.

    DATA needs the columns the run was trained on. The last lines are the future: their truth is empty.
    With --follow, rows of CSV are read from standard input, a header first, and each is answered at once by a line
    of time, target, value, forecast: its own time and value, and the forecast of the run's horizon of rows later.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[
        Path | None, Positional, arg(metavar="DATA", help_behavior_hint="(needed without --follow)")
    ] = None
    """CSV or Parquet file, rows in the order of time."""
    follow: bool = False
    """Read rows from standard input as they come and answer each."""
    time: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as the run, if DATA has it)")
    ] = None
    """Column of numbers or ISO dates that labels the rows."""
    missing: Missing = "error"
    """What to do with missing values: refuse them, or interpolate between neighbours."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """CSV file to write; it must not exist."""


def predict(config: PredictConfig) -> int:
    """Forecast every row that can be forecast and write the CSV; returns the exit code.

    Raises:
        UserError: the run, the data or the file to write cannot be used.
    """
    from ..training.run import load_run, new_task
    from ..training.tasks.forecast import forecast_rows
    from ..training.updates import predict as outputs

    check_new(config.out, "--out")
    if config.follow:
        _check_follow(config)
        with ended_at_once():
            return follow(load_run(config.run), config.time, sys.stdin.buffer)
    if config.data is None:
        raise UserError("DATA is needed: a CSV or Parquet file, or --follow to read rows from standard input")
    run = load_run(config.run)
    task = new_task(run, config.data, config.time, config.missing)
    text = forecast_rows(task, task.forecasts(outputs(run.model, task.inputs()))).write_csv()
    if config.out is None:
        sys.stdout.write(text)
    else:
        write_text(config.out, text)
    return 0


def _check_follow(config: PredictConfig) -> None:
    if config.data is not None:
        raise UserError(f"--follow reads standard input, and DATA is {config.data} as well; leave one of them out")
    if config.out is not None:
        raise UserError(f"--follow answers on standard output; write > {config.out} instead of --out")
    if config.missing != "error":
        raise UserError("--missing interpolate needs the rows that come later, and --follow has none yet")
