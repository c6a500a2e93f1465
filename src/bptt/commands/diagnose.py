"""`bptt diagnose`: does the gradient of a trained run reach as far back as its data needs?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ..errors import UserError
from ..training.options.parts import Missing
from .streams import complain, say, warnings_told
from .writing import check_new, write_text

if TYPE_CHECKING:
    from ..training.run import Run
    from ..training.tasks.sample import Sample


@dataclass(frozen=True)
class DiagnoseConfig:
    """Say whether the gradient of a trained run vanishes or explodes, why, and what to do about it.

    The error is backpropagated through the run's training set, or through the rows of another file.
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
    """How many steps back to look; at most 2/3 of all steps."""
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
    from ..insight.diagnosis.diagnose import LEAST_STEPS
    from ..training.run import load
    from .gradient_flow import diagnosis_of

    run = load(config.run)
    sample = _sample(config, run)
    found = diagnosis_of(run.model, sample, config.lags)
    if found is None:
        raise UserError(f"{sample.what}: {len(sample.x)} steps with a target; at least {LEAST_STEPS} are needed")
    if config.json is not None:
        write_text(config.json, json.dumps(found.numbers(), indent=1))
    network = f"{run.config.cell} network, {run.config.hidden} units"
    say(f"{config.run}: {network}; {found.where}", found)
    return 0


def _sample(config: DiagnoseConfig, run: Run) -> Sample:
    """The steps the error is backpropagated through, and the loss."""
    if config.data is not None:
        with warnings_told(partial(complain, "bptt diagnose")):
            return run.sample(config.data, config.missing)
    try:
        return run.sample()
    except UserError as error:
        raise UserError(f"the run's own data cannot be used: {error}; pass --data FILE") from error
