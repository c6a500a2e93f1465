"""The facts of a run that a runtime without bptt needs, to make the network's inputs and read its outputs."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from typing import Any

from ..training.config_file import ConfigFile
from ..training.options.base import TrainOptions
from ..training.options.classify import ClassifyOptions
from ..training.options.forecast import ForecastOptions
from ..training.tasks.intervals import Intervals


def deployed(run: ConfigFile, intervals: Intervals | None) -> dict[str, str]:
    """Each fact by its name, as JSON."""
    facts = {
        "columns": run.columns,
        "mean": run.scaling.mean,
        "std": run.scaling.std,
        **_choices(run.config),
        "calendar": run.calendar,
        "lags": run.lags,
        "series": {name: asdict(scaling) for name, scaling in run.series.items()},
        "coverage": intervals and intervals.coverage,
        "widths": intervals and [width if isfinite(width) else None for width in intervals.widths],
    }
    return {name: json.dumps(value) for name, value in facts.items()}


def _choices(config: TrainOptions) -> dict[str, Any]:
    """The options that say how rows become inputs, and outputs forecasts."""
    if isinstance(config, ClassifyOptions):
        return {"stride": config.stride or 1, "readout": config.readout}
    if not isinstance(config, ForecastOptions):
        return {}
    targets = max(1, len(config.targets))
    return {"horizon": config.horizon, "targets": targets, "missing": config.missing}
