"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..insight.contributions import gradient_by_lag
from ..networks import SequenceModel
from ..report.run import RunReport, run_page
from ..report.tables import score_table
from ..training.config import TrainConfig, check
from ..training.errors import UserError
from ..training.fit import Epoch, Fitted, build, fit, predict
from ..training.snapshot import save_config, save_model
from ..training.tasks import (
    Forecast,
    autoregression,
    forecast_rows,
    forecast_task,
    persistence,
)
from .interruption import Interruption


@dataclass(frozen=True)
class Result:
    """What a run came to: everything that is written down and shown of it."""

    config: TrainConfig
    task: Forecast
    fitted: Fitted
    found: np.ndarray  # forecasts by target row
    scores: dict[str, dict[str, float]]  # average relative variance by model, this run first, and span
    by_lag: dict[str, list[float]]  # mean gradient norm by lag of the last layer, at the "start" and "end"
    seconds: float


def train(config: TrainConfig) -> int:
    """Check, train, judge and write the run folder; returns the exit code.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    check(config)
    console = Console()
    task = _task(config, console)
    folder = _new_folder(config)
    save_config(folder, config, task)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics, Interruption() as interruption:
        result = _trained(task, config, folder, console, metrics, interruption)
        metrics.write(json.dumps(_test_line(result)) + "\n")
    forecast_rows(task, result.found).write_csv(folder / "forecast.csv")
    (folder / "report.html").write_text(run_page(_report(folder.name, result)), encoding="utf-8")
    _say(console, folder, result)
    return interruption.exit_code


def _task(config: TrainConfig, console: Console) -> Forecast:
    """The task, its data checked; what is odd about them is said in a line each."""
    with warnings.catch_warnings(record=True) as odd:
        warnings.simplefilter("always")
        task = forecast_task(config)
    for warning in odd:
        console.print(f"warning: {warning.message}", markup=False, highlight=False)
    return task


def _new_folder(config: TrainConfig) -> Path:
    """Make the run folder: the one asked for, which must be new, or the next free name in runs/."""
    try:
        if config.out is not None:
            config.out.mkdir(parents=True)
            return config.out
        stem = "sunspots" if config.data is None else re.sub(r"[^\w.-]+", "-", config.data.stem)
        for number in range(1, 1_000_000):
            folder = Path("runs") / f"{stem}-{config.cell}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
        raise UserError("runs/ holds a million runs of this name; pass --out FOLDER")
    except FileExistsError as error:
        raise UserError(f"{config.out} exists already and is not overwritten; pass another --out") from error
    except OSError as error:
        raise UserError(f"the run folder {error.filename} cannot be made: {error.strerror}; pass --out") from error


def _trained(
    task: Forecast,
    config: TrainConfig,
    folder: Path,
    console: Console,
    metrics: IO[str],
    interruption: Interruption,
) -> Result:
    """Train, save the weights, and judge what came out."""
    model = build(config, len(task.table.columns) * task.lags)
    x, d = task.inputs(), task.targets()
    known = x[: len(d)]
    before = gradient_by_lag(model, known, d)
    started = time.perf_counter()
    try:
        fitted = _fit(model, task, config, console, metrics, interruption)
    finally:
        save_model(folder, model)
    seconds = time.perf_counter() - started
    after = gradient_by_lag(model, known, d)
    last_layer = f"l{config.layers - 1}"
    found = task.forecasts(predict(model, x))
    return Result(
        config,
        task,
        fitted,
        found,
        _scores(task, config, found),
        {"start": before[last_layer].tolist(), "end": after[last_layer].tolist()},
        seconds,
    )


def _fit(
    model: SequenceModel,
    task: Forecast,
    config: TrainConfig,
    console: Console,
    metrics: IO[str],
    interruption: Interruption,
) -> Fitted:
    """Train with a progress bar, a line of metrics for each epoch, and an ear for Ctrl-C."""
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        f"{config.cell} network, {config.hidden} units, {parameters} weights; "
        f"{task.train_steps} training steps of {task.table.columns[0]}, full BPTT",
        markup=False,
        highlight=False,
    )
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("epochs", total=config.epochs, losses="")

        def on_epoch(epoch: Epoch) -> None:
            metrics.write(json.dumps({"event": "epoch", **epoch._asdict()}) + "\n")
            metrics.flush()
            losses = f"loss {epoch.loss:.4f}"
            losses += "" if epoch.validation is None else f"  validation {epoch.validation:.4f}"
            progress.update(bar, advance=1, losses=losses)

        n = task.train_steps
        return fit(model, task.inputs()[:n], task.targets()[:n], config, on_epoch, interruption.came)


def _scores(task: Forecast, config: TrainConfig, found: np.ndarray) -> dict[str, dict[str, float]]:
    """Average relative variance of this run, the baselines fitted in it, and published figures."""
    name, linear = autoregression(task)
    return {
        f"this run ({config.cell})": task.arv(found),
        "persistence": task.arv(persistence(task)),
        name: task.arv(linear),
        **task.published,
    }


def _test_line(result: Result) -> dict[str, Any]:
    """The last line of metrics.jsonl."""
    arv, *baselines = result.scores.items()
    return {
        "event": "test",
        "arv": arv[1],
        "rmse": {span: math.sqrt(value * result.task.variance) for span, value in arv[1].items()},
        "baselines": dict(baselines),
        "epochs": len(result.fitted.epochs),
        "best_epoch": result.fitted.best,
        "interrupted": result.fitted.interrupted,
        "seconds": round(result.seconds, 3),
        "gradient_by_lag": result.by_lag,
    }


def _report(name: str, result: Result) -> RunReport:
    config, task, fitted = result.config, result.task, result.fitted
    rows, times = forecast_rows(task, result.found), task.times()
    ahead = "one step" if task.horizon == 1 else f"{task.horizon} steps"
    network = {"elman": "an Elman", "gru": "a GRU", "lstm": "an LSTM"}[config.cell]
    return RunReport(
        title=name,
        summary=[
            f"{task.table.columns[0]} of {task.table.name}, forecast {ahead} ahead by {network} network of "
            f"{config.hidden} units, trained by full backpropagation through time.",
            _ending(result),
        ],
        choices={key: value for key, value in asdict(config).items() if value not in (None, ())},
        target=task.table.columns[0],
        times=rows["time"].to_list(),
        truth=rows["truth"].to_list(),
        forecast=rows["forecast"].to_list(),
        spans=[(span.name, times[span.first], times[span.stop - 1]) for span in task.spans],
        scores=result.scores,
        losses=[epoch.loss for epoch in fitted.epochs],
        validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
        lag_start=result.by_lag["start"],
        lag_end=result.by_lag["end"],
    )


def _say(console: Console, folder: Path, result: Result) -> None:
    """How training ended, the scores, and where everything is."""
    console.print(f"{_ending(result)} ({result.seconds:.1f} s)\n", highlight=False)
    console.print(score_table(result.scores, [span.name for span in result.task.spans]))
    console.print(f"written to {folder}/   open {folder}/report.html", highlight=False, soft_wrap=True)


def _ending(result: Result) -> str:
    epochs, asked = len(result.fitted.epochs), result.config.epochs
    said = f"Stopped after {epochs} of {asked} epochs" if result.fitted.interrupted else f"Trained {epochs} epochs"
    if result.config.validation:
        said += f"; kept the weights of epoch {result.fitted.best}, the best on validation"
    return said + "."
