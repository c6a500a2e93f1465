"""A run for runtimes without bptt: an ONNX file, its inputs and outputs described in JSON, and a script."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..export.file import OnnxFile, export_onnx
from ..files import creating
from ..forecast_model import ForecastModel
from ..networks import SequenceModel
from ..training.config_file import ConfigFile
from ..training.data.scaling import Scaling
from ..training.data.spacing import Fixed, Months, Spacing, to_toml
from ..training.options.classify import ClassifyOptions
from ..training.options.forecast import ForecastOptions
from ..training.tasks.intervals import Intervals

BY_NUMBER = Fixed("1", dated=False)  # the spacing of rows without times

ABOUT = {
    "x": "Input, (T, B, I) float32. A step has the columns of its row, each (value - mean) / std; then the same "
    "of the row so many rows earlier, for each of `lags` but the first. With missing = mask a missing value is 0, "
    "and the columns of each row are followed by as many that are 1 where one is missing, else 0. Last come, for "
    "each period of `calendar`, sin(a), cos(a), sin(2a), cos(2a), where a / 2 pi is the place in the period of "
    "the date on which the farthest forecast is due.",
    "y": "Output, (T, B, O): for each of `targets`, for each of `horizons`, the forecast so many rows after the "
    "step's row; times std, plus mean, in the target's units.",
    "calendar": "The place of a date: hour of day, the part of the day that has passed; day of week, (0 on Monday "
    "+ that part) / 7; day of year, (0 on 1 January + that part) / 365.2425.",
    "spacing": "How rows follow each other in time, by which rows to come are dated.",
    "half_widths": "Of each output, half the width of an interval that is to hold the true value in the share "
    "`coverage` of rows, in the target's units; null where it is not known.",
    "series": "Of many series, the mean, std and half_widths of each, by which its x and y are scaled.",
}
ABOUT_CLASSES = {
    "x": "Input, (T, B, I) float32: each `stride` rows of a sequence side by side as one step, each column "
    "(value - mean) / std. The first row is repeated where the length is no multiple of `stride`.",
    "y": "Output, (T, B, O): a score for each of `labels`. The scores of the sequence are those of the last step "
    "(readout = last), the mean of all steps (mean), or the mean of these two (both); their softmax gives the "
    "probabilities.",
}


class Deployment(NamedTuple):
    """The files that `Run.export` wrote.

    Attributes:
        onnx: the ONNX file.
        description: the JSON file; None of a language model.
        script: the script that predicts from both; None where it cannot.
        note: why there is no script; None where there is.
    """

    onnx: OnnxFile
    description: Path | None
    script: Path | None
    note: str | None


def deploy(
    run: ConfigFile, model: SequenceModel | ForecastModel, intervals: Intervals | None, path: Path, state: bool
) -> Deployment:
    """Write the files of a deployment: `path`, and beside it a JSON file and a script, if they can be.

    Args:
        run, model, intervals: the content of a trained run.
        path: the ONNX file.
        state: whether the ONNX file takes and returns the state.

    Raises:
        FileExistsError: one of them exists.
        UserError: `path` ends in .json or .py.
    """
    if path.suffix in (".json", ".py"):
        raise UserError(f"{path} is to be an ONNX file; its name cannot end in {path.suffix}")
    description = None if run.config.task == "text" else path.with_suffix(".json")
    note = _no_script(run, state)
    name = "predict.py" if path.stem == "model" else f"predict_{path.stem}.py"
    script = path.with_name(name) if note is None else None
    for beside in (description, script):
        if beside is not None and os.path.lexists(beside):
            raise FileExistsError(f"{beside} exists already and is not overwritten; choose another path")
    facts = facts_of(run, intervals)
    metadata = {name: json.dumps(value) for name, value in facts.items()}
    onnx = export_onnx(model, path, metadata, state)
    if description is not None:
        about = ABOUT if run.config.task == "forecast" else ABOUT_CLASSES
        text = json.dumps({"onnx": path.name, **facts, "about": about}, indent=1, ensure_ascii=False)
        _write(description, text + "\n")
        if script is not None:
            source = resources.files("bptt").joinpath("export", "scripts", f"{run.config.task}.py")
            written = source.read_text(encoding="utf-8").replace('"model.json"', json.dumps(description.name))
            _write(script, written)
    return Deployment(onnx, description, script, note)


def _write(path: Path, text: str) -> None:
    with creating(path) as file:
        file.write(text.encode())


def facts_of(run: ConfigFile, intervals: Intervals | None) -> dict[str, Any]:
    """What a runtime needs to make the network's inputs and to read its outputs, by name; `ABOUT` explains it."""
    config = run.config
    facts = {"task": config.task, "columns": run.columns, **asdict(run.scaling)}
    if isinstance(config, ClassifyOptions):
        facts |= {"labels": run.labels, "series": config.series, "label": config.label}
        return facts | {"stride": config.stride or 1, "readout": config.readout}
    if not isinstance(config, ForecastOptions):
        return facts
    several = {
        name: {**asdict(own), "half_widths": _half_widths(config, intervals, own)}
        for name, own in run.series.items()
    }
    return {
        **facts,
        "targets": run.columns[: max(1, len(config.targets))],
        "horizons": list(config.horizons),
        "lags": run.lags,
        "missing": config.missing,
        "time": config.time,
        "calendar": run.calendar,
        "spacing": to_toml(_spacing(run)),
        "coverage": intervals and intervals.coverage,
        **({"series": several} if several else {"half_widths": _half_widths(config, intervals, run.scaling)}),
    }


def _half_widths(
    config: ForecastOptions, intervals: Intervals | None, scaling: Scaling
) -> list[float | None] | None:
    """In the targets' units, by output."""
    if intervals is None:
        return None
    pairs = zip(intervals.widths, config.outputs, strict=True)
    return [width * scaling.std[place] if isfinite(width) else None for width, (place, _) in pairs]


def _spacing(run: ConfigFile) -> Spacing:
    return next(iter(run.spacings.values()), BY_NUMBER)


def _no_script(run: ConfigFile, state: bool) -> str | None:
    """What the script cannot do that this run needs; None where it can do all."""
    config = run.config
    if state:
        return "the model takes its state"
    if isinstance(config, ClassifyOptions):
        return None
    if not isinstance(config, ForecastOptions):
        return "it does not write text"
    if config.series is not None:
        return "it does not read many series"
    spacing = _spacing(run)
    if config.time is not None and not run.spacings:
        return "the spacing of the rows is not known"
    if run.clock.zone:
        return "it does not read dates with a time zone"
    if run.clock.day_first is not None:
        return "it reads dates such as 2020-01-31 alone"
    if not spacing.usual:
        return "the times of the rows follow no rule"
    if getattr(spacing, "times", ()) or (isinstance(spacing, Months) and not _is_one_day(spacing)):
        return f"it does not count rows spaced {spacing}"
    return None


def _is_one_day(spacing: Months) -> bool:
    """Whether rows are due on one day of the month, by its number or the last."""
    return len(spacing.places) == 1 and (spacing.places[0] == "end" or spacing.places[0].isdigit())
