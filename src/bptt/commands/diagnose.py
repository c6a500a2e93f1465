"""`bptt diagnose`: does the gradient of a trained run reach as far back as its data needs?"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ..training.config import Missing
from ..training.errors import UserError
from .writing import check_new, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from ..training.run import Run


@dataclass(frozen=True)
class DiagnoseConfig:
    """Say whether the gradient of a trained run vanishes or explodes, why, and what to do about it.

    The error is taken back over the rows the run learned from, or over those of another file.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the run's own)")] = None
    """CSV or Parquet file with the run's columns, rows in the order of time."""
    missing: Missing = "error"
    """What to do with missing values in FILE: refuse them, or interpolate between neighbours."""
    lags: int = 100
    """How far back is looked, in steps; at most 2/3 of them."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to write every number to; it must not exist."""


def diagnose(config: DiagnoseConfig) -> int:
    """Print the diagnosis and write the JSON; returns the exit code.

    Raises:
        UserError: the run, the data or an option cannot be used, or the file exists or cannot be written.
    """
    if config.lags < 1:
        raise UserError(f"--lags must be at least 1, got {config.lags}")
    check_new(config.json, "--json FILE")
    from ..insight.diagnose import LEAST_STEPS
    from ..insight.diagnose import diagnose as diagnosis_of
    from ..networks import squared_error
    from ..training.run import load_run

    run = load_run(config.run)
    x, d, name = _steps(config, run)
    if len(x) < LEAST_STEPS:
        raise UserError(f"{name} gives {len(x)} steps with a target; at least {LEAST_STEPS} are needed")
    found = diagnosis_of(run.model, x, d, lambda y, d: squared_error(y, d) / d.numel(), lags=config.lags)
    if config.json is not None:
        write_text(config.json, json.dumps(found.numbers(), indent=1))
    print(
        f"{config.run}: {run.config.cell} network, {run.config.hidden} units, {len(x)} steps of {run.columns[0]}"
    )
    print()
    print(found)
    return 0


def _steps(config: DiagnoseConfig, run: Run) -> tuple[Tensor, Tensor, str]:
    """x and d of the steps the error is taken back over, and where they are from."""
    from ..training.run import new_task
    from ..training.tasks.choose import task_of

    if config.data is not None:
        new = new_task(run, config.data, None, config.missing)
        d = new.targets()
        return new.inputs()[: len(d)], d, new.name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about the data was said when the run was trained
            task = task_of(run.config)
    except UserError as error:
        raise UserError(f"the run's own data cannot be used: {error}; pass --data FILE") from error
    return *task.sample(), task.name
