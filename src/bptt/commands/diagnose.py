"""`bptt diagnose`: does the gradient of a trained run reach as far back as its data needs?"""

from __future__ import annotations

import json
from functools import partial

from ..errors import UserError
from ..runs.run import Run, load
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
    if config.data is None:
        _check_own_data(run)
    with warnings_printed(partial(complain, "bptt diagnose")):
        found = run.diagnose(config.data, config.missing, config.lags)
    if config.json is not None:
        write_text(config.json, json.dumps(found.numbers(), indent=1))
    network = f"{run.config.cell} network, {run.config.hidden} units"
    say(f"{config.run}: {network}; {found.where}", *filter(None, [run.network_note]), found)
    return 0


def _check_own_data(run: Run) -> None:
    """Refuse data that are missing or have changed, with advice."""
    try:
        run.task  # noqa: B018  read here
    except UserError as error:
        raise UserError(f"the run's own data cannot be used: {error}; pass --data FILE") from error
