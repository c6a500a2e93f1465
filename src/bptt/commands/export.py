"""`bptt export`: a trained run as an ONNX file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from ..errors import UserError
from ..training.options.base import TrainOptions
from ..training.options.forecast import ForecastOptions
from .streams import say
from .writing import check_new


@dataclass(frozen=True)
class ExportConfig:
    """Write a trained run's network as ONNX, for runtimes without Python.

    It takes x (T, B, I), standardised, and the initial state h_0 (and c_0 of an LSTM), zeros to begin with; it
    returns y (T, B, O), standardised, and the final state to go on from. The input of a step is all columns of the
    present row, a 1 for each that is missing where the run masks them, then those of the row before, and so on for
    the lags; then sine and cosine of each period of the calendar. The outputs stand target by target, and within
    it horizon by horizon. The file's metadata hold the columns, the targets first, their mean and std, or those of
    each series, and all the rest.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: RUN/model.onnx)")] = None
    """ONNX file to write; it must not exist."""


def export(config: ExportConfig) -> int:
    """Write the file, say what it holds and how exact it is; returns the exit code.

    Raises:
        UserError: the run cannot be used, the file exists or cannot be written, or the extra is not installed.
    """
    from ..export.file import export_onnx
    from ..training.run import load

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
        written = export_onnx(run.model, out, {name: json.dumps(value) for name, value in facts.items()})
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
    if not isinstance(config, ForecastOptions):
        return {}
    targets = max(1, len(config.targets))
    return {"lags": config.lags, "horizon": config.horizon, "targets": targets, "missing": config.missing}
