"""`bptt export`: a trained run as an ONNX file."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from typing import Any

from ..errors import UserError
from ..export.file import export_onnx
from ..runs.run import load
from ..training.options.base import TrainOptions
from ..training.options.classify import ClassifyOptions
from ..training.options.forecast import ForecastOptions
from .options import ExportOptions
from .streams import say
from .writing import check_new


def export(config: ExportOptions) -> int:
    """Write the file, say what it holds and how exact it is; returns the exit code.

    Raises:
        UserError: the run cannot be used, the file exists or cannot be written, or the extra is not installed.
    """
    out = config.out or config.run / "model.onnx"
    check_new(out if config.run.is_dir() else config.out, "--out")
    run = load(config.run)
    facts = {
        "columns": run.columns,
        "mean": run.scaling.mean,
        "std": run.scaling.std,
        **_choices(run.config),
        "calendar": run.calendar,
        "series": {name: asdict(scaling) for name, scaling in run.series.items()},
        "coverage": run.intervals and run.intervals.coverage,
        "widths": run.intervals and [width if isfinite(width) else None for width in run.intervals.widths],
    }
    try:
        written = export_onnx(
            run.model, out, {name: json.dumps(value) for name, value in facts.items()}, config.state
        )
    except (ModuleNotFoundError, FileNotFoundError, RuntimeError) as error:
        raise UserError(str(error)) from error
    say(f"{out}: {', '.join(written.inputs)} -> {', '.join(written.outputs)}")
    if written.difference is None:
        print("not compared with the run's network, since onnxruntime is not installed")
    else:
        print(f"onnxruntime's outputs differ from the run's network by at most {written.difference:.1e}")
    return 0


def _choices(config: TrainOptions) -> dict[str, Any]:
    """The options that say how rows become inputs, and outputs forecasts."""
    if isinstance(config, ClassifyOptions):
        return {"stride": config.stride or 1, "readout": config.readout}
    if not isinstance(config, ForecastOptions):
        return {}
    targets = max(1, len(config.targets))
    return {"lags": config.lags, "horizon": config.horizon, "targets": targets, "missing": config.missing}
