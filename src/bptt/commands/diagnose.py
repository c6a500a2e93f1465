"""`bptt diagnose`: does the gradient of a trained run reach as far back as its data needs?"""

from __future__ import annotations

import json
from functools import partial

from ..errors import UserError
from ..insight.diagnosis.diagnose import LEAST_STEPS
from ..runs.gradient_monitor import diagnosis_of
from ..runs.run import Run, load
from ..training.tasks.excerpt import TrainingExcerpt
from .options import DiagnoseOptions
from .streams import complain, say, warnings_printed
from .writing import check_new, write_text


def diagnose(config: DiagnoseOptions) -> int:
    """Print the diagnosis and write the JSON; returns the exit code.

    Raises:
        UserError: the run, the data or an option cannot be used, or the file exists or cannot be written.
    """
    if config.lags < 1:
        raise UserError(f"--lags must be at least 1, got {config.lags}")
    check_new(config.json, "--json FILE")
    run = load(config.run)
    excerpt = _excerpt(config, run)
    found = diagnosis_of(run.network, excerpt, config.lags)
    if found is None:
        raise UserError(f"{excerpt.what}: {len(excerpt.x)} steps with a target; at least {LEAST_STEPS} are needed")
    if config.json is not None:
        write_text(config.json, json.dumps(found.numbers(), indent=1))
    network = f"{run.config.cell} network, {run.config.hidden} units"
    say(f"{config.run}: {network}; {found.where}", found)
    return 0


def _excerpt(config: DiagnoseOptions, run: Run) -> TrainingExcerpt:
    """The steps the error is backpropagated through, and the loss."""
    if config.data is not None:
        with warnings_printed(partial(complain, "bptt diagnose")):
            return run.training_excerpt(config.data, config.missing)
    try:
        return run.training_excerpt()
    except UserError as error:
        raise UserError(f"the run's own data cannot be used: {error}; pass --data FILE") from error
