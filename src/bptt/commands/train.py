"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import contextlib
import json
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..insight.exploration import rounded
from ..insight.lags import gradient_by_lag
from ..networks import SequenceModel
from ..reach.plan import bytes_in
from ..report.page import page_html
from ..report.run import Lags, RunReport
from ..report.tables import score_table
from ..training.config import TrainConfig, check
from ..training.errors import UserError
from ..training.fit import Epoch, Fitted, build, fit
from ..training.run import save_config, save_model
from ..training.tasks.forecast import Forecast, forecast_task
from ..training.tasks.streamed import StreamedForecast, is_streamed, streamed_forecast
from ..training.tasks.task import Judged, Task
from ..training.updates import Updates
from .interruption import Interruption
from .subject import run_subject

LOOKS = 24  # times during training at which it is looked how far back the gradient reaches


@dataclass(frozen=True)
class Result:
    """What a run came to: everything that is written down and shown of it."""

    config: TrainConfig
    task: Task
    fitted: Fitted
    judged: Judged
    lags: list[Lags]  # of the last layer, from before training to its end
    seconds: float


def train(config: TrainConfig) -> int:
    """Check, train, judge and write the run folder; returns the exit code.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    check(config)
    _check_memory(config)
    console = Console()
    task = _task(config, console)
    model = build(config, len(task.columns) * config.lags)
    updates = task.updates(model, config)
    folder = _new_folder(config)
    save_config(folder, config, task)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics, Interruption() as interruption:
        result = _trained(task, model, updates, config, folder, console, metrics, interruption)
        metrics.write(json.dumps(_test_line(result)) + "\n")
    (folder / "report.html").write_text(_page(folder, model, result), encoding="utf-8")
    _say(console, folder, result)
    return interruption.exit_code


def _task(config: TrainConfig, console: Console) -> Task:
    """The task, its data checked; what is odd about them is said in a line each."""
    with warnings.catch_warnings(record=True) as odd:
        warnings.simplefilter("always")
        task = task_of(config)
    if isinstance(task, StreamedForecast):
        rows = f"{task.name} has {task.source.rows:,} rows and is read piece by piece"
        console.print(rows, markup=False, highlight=False, soft_wrap=True)
    for warning in odd:
        console.print(f"warning: {warning.message}", markup=False, highlight=False)
    return task


def task_of(config: TrainConfig) -> Task:
    """What a run learns: the sunspots, or the forecast of a table's column."""
    return streamed_forecast(config) if is_streamed(config) else forecast_task(config)


def _check_memory(config: TrainConfig) -> None:
    """--memory is a number of bytes."""
    try:
        bytes_in(config.memory or 1)
    except ValueError as error:
        raise UserError(f"--{error}") from error


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
    task: Task,
    model: SequenceModel,
    updates: Updates,
    config: TrainConfig,
    folder: Path,
    console: Console,
    metrics: IO[str],
    interruption: Interruption,
) -> Result:
    """Train, save the weights, and judge what came out."""
    lags: list[Lags] = []

    def look(epoch: int) -> None:
        found = gradient_by_lag(model, *task.sample())[f"l{config.layers - 1}"]
        lags.append(Lags(epoch, rounded(found)))

    look(0)
    started = time.perf_counter()
    try:
        fitted = _fit(model, task, updates, config, console, metrics, interruption, look)
    finally:
        save_model(folder, model)
    seconds = time.perf_counter() - started
    look(fitted.best)
    judged = task.judge(model, f"this run ({config.cell})", folder / "forecast.csv")
    return Result(config, task, fitted, judged, lags, seconds)


def _fit(
    model: SequenceModel,
    task: Task,
    updates: Updates,
    config: TrainConfig,
    console: Console,
    metrics: IO[str],
    interruption: Interruption,
    look: Callable[[int], None],
) -> Fitted:
    """Train with a progress bar, a line of metrics for each epoch, and an ear for Ctrl-C."""
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        f"{config.cell} network, {config.hidden} units, {parameters} weights; "
        f"{task.train_steps} training steps of {task.columns[0]}, {_reach(config)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
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
            if epoch.epoch % -(-config.epochs // LOOKS) == 0 and epoch.epoch < config.epochs:
                look(epoch.epoch)

        return fit(model, updates, config, on_epoch, interruption.came)


def _reach(config: TrainConfig) -> str:
    """How far back errors go, in words."""
    if config.reach != "truncated":
        return f"{config.reach} BPTT"
    return f"truncated BPTT, k1={config.window}, k2={config.k2 or config.window}"


def _test_line(result: Result) -> dict[str, Any]:
    """The last line of metrics.jsonl."""
    arv, *baselines = result.judged.scores.items()
    return {
        "event": "test",
        "arv": arv[1],
        "rmse": result.judged.rmse,
        "baselines": dict(baselines),
        "epochs": len(result.fitted.epochs),
        "best_epoch": result.fitted.best,
        "interrupted": result.fitted.interrupted,
        "seconds": round(result.seconds, 3),
        "gradient_by_lag": {"start": result.lags[0].norms, "end": result.lags[-1].norms},
    }


def _page(folder: Path, model: SequenceModel, result: Result) -> str:
    """The run as a page."""
    task, fitted, judged = result.task, result.fitted, result.judged
    report = RunReport(
        choices={key: value for key, value in asdict(result.config).items() if value not in (None, ())},
        target=task.columns[0],
        times=judged.rows["time"].to_list(),
        truth=judged.rows["truth"].to_list(),
        forecast=judged.rows["forecast"].to_list(),
        spans=judged.spans,
        scores=judged.scores,
        losses=[epoch.loss for epoch in fitted.epochs],
        validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
        lags=result.lags,
    )
    lead = [described(result.config, task), _ending(result)]
    subject = run_subject(str(folder), lead, model, task.sample(), times_of(task), run=report)
    return page_html(subject.page())


def described(config: TrainConfig, task: Task) -> str:
    """A run in a sentence."""
    ahead = "one step" if config.horizon == 1 else f"{config.horizon} steps"
    network = {"elman": "an Elman", "gru": "a GRU", "lstm": "an LSTM"}[config.cell]
    return (
        f"{task.columns[0]} of {task.name}, forecast {ahead} ahead by {network} network of {config.hidden} "
        f"units, trained by {_reach(config).replace('BPTT', 'backpropagation through time')}."
    )


def times_of(task: Task) -> list[str] | None:
    """The labels of the rows that a task's training steps forecast, where it has them at hand."""
    if not isinstance(task, Forecast):
        return None
    return task.times()[task.first_target : task.first_target + task.train_steps]


def _say(console: Console, folder: Path, result: Result) -> None:
    """How training ended, the scores, and where everything is."""
    console.print(f"{_ending(result)} ({result.seconds:.1f} s)\n", highlight=False)
    console.print(score_table(result.judged.scores, [name for name, _, _ in result.judged.spans]))
    console.print(f"written to {folder}/   open {folder}/report.html", highlight=False, soft_wrap=True)


def _ending(result: Result) -> str:
    epochs, asked = len(result.fitted.epochs), result.config.epochs
    said = f"Stopped after {epochs} of {asked} epochs" if result.fitted.interrupted else f"Trained {epochs} epochs"
    if result.config.validation:
        said += f"; kept the weights of epoch {result.fitted.best}, the best on validation"
    return said + "."
