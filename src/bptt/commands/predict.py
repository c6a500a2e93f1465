"""`bptt predict`: forecast or classify new data with a trained run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..errors import UserError
from ..training.options.parts import Missing
from .interruption import ended_at_once
from .streams import Exact, complain, warnings_told
from .writing import check_new, write_text


@dataclass(frozen=True)
class PredictConfig:
    """Forecast or classify with a trained run, as CSV; DATA needs the columns the run was trained on.

    A forecast has a line for each row: time, target, truth, forecast, and the lower and upper end of its interval;
    the last ones are the future, their truth empty. Many series, targets and horizons come one after the other. A
    classification has a line for each sequence: series, truth (empty where DATA has no labels), predicted, and the
    probability of each class. With --follow, rows are read from standard input, and each is answered at once by
    the forecast of the row `horizon` after it.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[
        Path | None, Positional, arg(metavar="DATA", help_behavior_hint="(needed without --follow)")
    ] = None
    """CSV, Parquet or .npy file, rows in the order of time; to classify, as the run was trained on, or .ts."""
    follow: bool = False
    """Read rows from standard input as they come and answer each."""
    time: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as the run, if DATA has it)")
    ] = None
    """Column of numbers or dates that labels the rows."""
    missing: Annotated[Missing | None, arg(help_behavior_hint="(default: mask if the run does, else error)")] = (
        None
    )
    """What to do with missing values: refuse them, interpolate between neighbours, mask them as the run does."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """CSV file to write; it must not exist."""


def predict(config: PredictConfig) -> int:
    """Predict all that can be predicted and write the CSV; returns the exit code.

    Raises:
        UserError: the run, the data or the file to write cannot be used.
    """
    from ..training.run import load
    from .follow import follow

    check_new(config.out, "--out")
    if config.follow:
        _check_follow(config)
        run = load(config.run)
        with ended_at_once():
            return follow(run, config.time, sys.stdin.buffer)
    if config.data is None:
        raise UserError("DATA is needed: a CSV or Parquet file, or --follow to read rows from standard input")
    run = load(config.run)
    with warnings_told(partial(complain, "bptt predict")):
        text = run.predict(config.data, config.time, config.missing).write_csv()
    if config.out is None:
        Exact().write(text)
    else:
        write_text(config.out, text)
    return 0


def _check_follow(config: PredictConfig) -> None:
    if config.data is not None:
        raise UserError(f"--follow reads standard input, and DATA is {config.data} as well; leave one of them out")
    if config.out is not None:
        raise UserError(f"--follow answers on standard output; write > {config.out} instead of --out")
    if config.missing == "interpolate":
        raise UserError("--missing interpolate needs the rows that come later, and --follow has none yet")
