"""`bptt predict`: forecast new data with a trained run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..training.config import Missing
from .writing import check_new, write_text


@dataclass(frozen=True)
class PredictConfig:
    """Forecast with a trained run: one line a row, as CSV with the columns time, target, truth, forecast.

    DATA needs the columns the run was trained on. The last lines are the future: their truth is empty.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path, Positional, arg(metavar="DATA")]
    """CSV or Parquet file, rows in the order of time."""
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
    run = load_run(config.run)
    task = new_task(run, config.data, config.time, config.missing)
    text = forecast_rows(task, task.forecasts(outputs(run.model, task.inputs()))).write_csv()
    if config.out is None:
        sys.stdout.write(text)
    else:
        write_text(config.out, text)
    return 0
