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
    from ..training.tasks.task import Loss


@dataclass(frozen=True)
class DiagnoseConfig:
    """Say whether the gradient of a trained run vanishes or explodes, why, and what to do about it.

    The error is taken back over the rows the run learned from, or over those of another file.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the run's own)")] = None
    """CSV or Parquet file with the run's columns, rows in the order of time."""
    missing: Annotated[Missing | None, arg(help_behavior_hint="(default: mask if the run does, else error)")] = (
        None
    )
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
    from torch.nn.functional import cross_entropy, mse_loss

    from ..insight.diagnose import LEAST_STEPS
    from ..insight.diagnose import diagnose as diagnosis_of
    from ..training.run import load_run

    run = load_run(config.run)
    x, d, name, loss = _steps(config, run)
    if len(x) < LEAST_STEPS:
        raise UserError(f"{name} gives {len(x)} steps with a target; at least {LEAST_STEPS} are needed")
    criterion = mse_loss if loss == "squared_error" else cross_entropy
    found = diagnosis_of(run.model, x, d, criterion, lags=config.lags)
    if config.json is not None:
        write_text(config.json, json.dumps(found.numbers(), indent=1))
    network, of = f"{run.config.cell} network, {run.config.hidden} units", (run.columns or [name])[0]
    print(f"{config.run}: {network}, {len(x)} steps of {of}", found, sep="\n\n")
    return 0


def _steps(config: DiagnoseConfig, run: Run) -> tuple[Tensor, Tensor, str, Loss]:
    """x and d of the steps the error is taken back over, where they are from, and the loss."""
    from ..training.run import new_tasks
    from ..training.tasks.made import made_task

    if config.data is not None:
        new = max(new_tasks(run, config.data, None, config.missing), key=lambda task: len(task.table.values))
        d = new.targets().nan_to_num()
        return new.inputs()[: len(d)], d, new.name, new.loss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about the data was said when the run was trained
            task = made_task(run.config)
    except UserError as error:
        raise UserError(f"the run's own data cannot be used: {error}; pass --data FILE") from error
    return *task.sample(), task.name, task.loss
