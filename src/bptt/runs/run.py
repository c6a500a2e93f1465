"""A run folder opened: the choices it was trained with, the trained network, its data and its metrics."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import UserError
from ..forecast_model import ForecastModel
from ..insight.diagnosis.diagnose import LAGS, LEAST_STEPS
from ..insight.diagnosis.result import Diagnosis
from ..insight.lesson.explain import explain
from ..insight.lesson.explanation import Explanation
from ..networks import SequenceModel
from ..training.batches import logits_of
from ..training.config_file import ConfigFile, read_config
from ..training.data.frames import is_in_memory, named_frame
from ..training.options.base import TaskName
from ..training.options.choosing import errors_for_python
from ..training.options.classify import ClassifyOptions
from ..training.options.shared import Missing
from ..training.tasks.classify import inputs_of, prediction_rows
from ..training.tasks.excerpt import TrainingExcerpt
from ..training.tasks.factory import check_there, digests_of, made_task
from ..training.tasks.forecast_rows import predicted_rows
from ..training.tasks.intervals import Intervals
from ..training.tasks.linear_part import LinearPaths
from ..training.tasks.task import Task
from .deployed import Deployment, deploy
from .explorer import run_subject
from .gradient_monitor import diagnosis_of
from .new_data import check_missing, new_sequences, new_series, path_or_table
from .run_folder import MetricLines, check_run_folder, check_same_files, read_intervals, read_metrics, read_model


@dataclass(frozen=True, kw_only=True)
class Run(ConfigFile):
    """A trained run, as `bptt.train` returns it and `bptt.load` opens it.

    `predict`, `diagnose`, `explain` and `export` are what the commands of these names run.

    Attributes:
        folder: the run folder; None of a run that was trained in memory.
        model: the trained model in eval mode: its network, of a forecast beside the linear path.
        intervals: the prediction intervals of its forecasts; None where it has none.
        config: the options it was trained with.
        columns: the columns it reads, the targets first.
        scaling: the mean and the standard deviation of each column in the training set.
        labels: classes or tokens, by output; empty if the outputs are numbers.
        calendar: the periods of the dates that are input.
        series: the scaling within each of many series, by its name.
        clock: day order and time zone of the dates of its rows.
        spacings: how its rows are spaced in time, by series; a single one has no name.
        digests: the SHA-256 of each file that was read, by its path; empty for embedded data.
        device: the one it was trained on, such as cuda:0.
    """

    folder: Path | None
    model: SequenceModel | ForecastModel
    intervals: Intervals | None
    task_at_hand: Task | None = field(default=None, repr=False, compare=False)  # else it is made from `config`
    lines: list[dict[str, Any]] | None = field(
        default=None, repr=False, compare=False
    )  # else metrics.jsonl is read

    def __repr__(self) -> str:
        """Its folder, task, network and, where they can be read, the scores of its network."""
        network = f"{self.config.cell} network of {self.config.hidden} units"
        try:
            measure, scores = list(self.metrics[-1].items())[1]
            said = "".join(f", {measure} {score:.4g} ({name})" for name, score in list(scores.items())[:3])
        except (UserError, IndexError, AttributeError, TypeError, ValueError, OverflowError):
            # such as of a run that was stopped, or of a damaged file
            said = ""
        where = "in memory" if self.folder is None else repr(str(self.folder))
        return f"Run({where}, {self.task_name}, {network}{said})"

    @property
    def task_name(self) -> TaskName:
        """forecast, classify or text."""
        return self.config.task

    @cached_property
    def task(self) -> Task:
        """The task it was trained on, with its data.

        Raises:
            UserError: the data cannot be used, or have changed since.
        """
        if self.task_at_hand is not None:
            return self.task_at_hand
        check_there(self.config, self.folder)
        check_same_files(self, digests_of(self.config), f"{self.folder} was trained")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the run was trained
            return made_task(self.config)

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: one for each epoch and, at the end of training, one with the test's scores.

        Raises:
            UserError: the file is missing or damaged.
        """
        if self.lines is not None or self.folder is None:
            return MetricLines(self.lines or [])
        return read_metrics(self.folder)

    @property
    def losses(self) -> list[float]:
        """The training loss of each epoch."""
        return [line["loss"] for line in self.metrics if line["event"] == "epoch"]

    @errors_for_python()
    def training_excerpt(self, data: Any = None, missing: Missing | None = None) -> TrainingExcerpt:
        """Some of the training data, or of the rows of other data, with the loss it was trained by.

        Args:
            data, missing: as `predict` takes them. Default the training data.

        Raises:
            TypeError: data is neither a path nor a table.
            UserError: the data cannot be used, or the run makes no forecasts of them.
        """
        check_missing(missing)
        if data is None:
            return self.task.training_excerpt()
        series = new_series(self, path_or_table(data), None, missing)
        longest = max(series, key=lambda task: task.rows)
        if isinstance(self.model, ForecastModel):
            path = copy.deepcopy(self.model.path).cpu()
            longest = replace(longest, paths=LinearPaths(path, path))
        return longest.training_excerpt()

    @errors_for_python()
    def predict(self, data: Any, time: str | None = None, missing: Missing | None = None) -> pl.DataFrame:
        """Forecast each row of a table, or classify each sequence in it, as `bptt predict` does.

        Args:
            data: the path of a file with the columns the run was trained on; or a table in memory: a polars or
                pandas DataFrame, a dict of columns, or a numpy array whose columns are `columns`, in that order.
            time: the column that labels the rows. Default the run's own, if the data have it.
            missing: what to do with missing values. Default as the run was trained.

        Returns:
            of forecasts the columns time, target, truth, forecast, lower and upper, for each row of the data
            and each to come, the times of the type of a table's dates; of classes the columns
            series, truth, predicted, and the probability of each class.

        Raises:
            TypeError: data is neither a path nor a table.
            UserError: the data cannot be used, or the run is a language model.
        """
        kind = None
        if self.task_name == "forecast" and is_in_memory(data):
            data = named_frame(data, self.columns).frame
            kind = data.schema.get(time or self.forecast_options.time or "")
        return _times_as(kind, pl.concat(self.predict_frames(data, time, missing)))

    @errors_for_python()
    def predict_frames(
        self, data: Any, time: str | None = None, missing: Missing | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows of `predict`, some at a time: of a large file, which is checked first, few are in memory.

        Args:
            data, time, missing: as `predict` takes them.

        Returns:
            an iterator over its rows in frames; times are text.

        Raises:
            TypeError, UserError: as of `predict`.
        """
        data = path_or_table(data)
        check_missing(missing)
        self.check_predicts()
        if self.task_name == "forecast":
            tasks = new_series(self, data, time, missing)
            return (rows for task in tasks for rows in predicted_rows(task, self.model, self.intervals))
        assert isinstance(self.config, ClassifyOptions)
        new = new_sequences(self, data, time, missing or self.config.missing)
        x = inputs_of(new, self.scaling, self.config)
        return iter([prediction_rows(new, logits_of(self.model, x, self.config).softmax(-1))])

    @errors_for_python()
    def diagnose(self, data: Any = None, missing: Missing | None = None, lags: int = LAGS) -> Diagnosis:
        """Whether its gradient reaches as far back as its data need, as `bptt diagnose` says.

        Args:
            data, missing: as `predict` takes them. Default the training data.
            lags: how many steps back the gradient is measured. Default 100.

        Raises:
            TypeError: data is neither a path nor a table.
            UserError: the data cannot be used, or are too short.
        """
        excerpt = self.training_excerpt(data, missing)
        found = diagnosis_of(self.network, excerpt, lags)
        if found is None:
            raise UserError(
                f"{excerpt.what}: {len(excerpt.x)} steps with a target; at least {LEAST_STEPS} are needed"
            )
        return found

    @errors_for_python()
    def explain(self, t: int | None = None, steps: int | None = None) -> Explanation:
        """One error of the network, backpropagated step by step, as `bptt explain RUN` shows it.

        Args:
            t: the step whose error it is, from 1. Default the last.
            steps: how many of the last training steps to explain. Default 100, or all where there are fewer.

        Raises:
            ValueError: t is none of these steps, or steps is below 1.
            UserError: the data cannot be used.
        """
        if steps is not None and steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        net, x, d, criterion = run_subject(
            self.task.training_excerpt(), self.task.loss, self.network, steps
        ).shown()
        return explain(net, x, d, criterion, t=len(x) if t is None else t)

    @errors_for_python()
    def export(self, path: str | Path, state: bool = False) -> Deployment:
        """Write the model for runtimes without bptt, as `bptt export` does: ONNX, a JSON file and a script.

        The JSON file, `path` with the ending .json, says how rows become the model's inputs and its outputs
        forecasts or classes. The script predict.py, or predict_NAME.py beside NAME.onnx, reads a CSV file and
        prints what `predict` returns, except for the intervals, with numpy and onnxruntime.

        Args:
            path: the ONNX file to write. Neither it nor the files beside it may exist.
            state: as `bptt.export_onnx` takes it. Default False.

        Raises:
            FileExistsError, FileNotFoundError, ModuleNotFoundError, RuntimeError: as of `bptt.export_onnx`.
            UserError: path ends in .json or .py.
        """
        return deploy(self, self.model, self.intervals, Path(path), state)

    @property
    def network_note(self) -> str:
        """A note on what is said of its network alone; empty where the network is all of its model."""
        if not isinstance(self.model, ForecastModel):
            return ""
        note = "This is about the network, which learns what the linear part leaves, not about that part."
        if self.model.share.any():
            return note
        return f"{note}\nThe forecasts of this run leave the network out: beside the linear part it did not help."

    @property
    def network(self) -> SequenceModel:
        """The recurrent network of its model: beside a linear path what learns the rest, else the model itself."""
        return self.model.network if isinstance(self.model, ForecastModel) else self.model

    def check_predicts(self) -> None:
        """Refuse a language model.

        Raises:
            UserError: it is one.
        """
        if self.task_name == "text":
            hint = "" if self.folder is None else f"; let it write with: bptt sample {self.folder}"
            raise UserError(f"{self.folder or 'this run'} was trained on text{hint}")


def _times_as(kind: pl.DataType | None, found: pl.DataFrame) -> pl.DataFrame:
    """Forecasts with times, which are text, of a type of dates; of another type they stay text."""
    if not isinstance(kind, pl.Date | pl.Datetime):
        return found
    try:
        return found.with_columns(pl.col("time").str.strptime(kind))
    except pl.exceptions.PolarsError:  # such as hours to come after days
        return found


def load(folder: str | Path) -> Run:
    """Open the folder of a trained run.

        run = bptt.load("runs/sunspots-elman-001")
        run.model  # the trained network
        run.predict("new.csv")  # a polars DataFrame
        run.model.to("cuda")  # and it predicts there

    Args:
        folder: the run folder that `bptt train` wrote, or `bptt.train(..., out=folder)`.

    Returns:
        the run, its network on the CPU.

    Raises:
        TypeError: folder is no path.
        UserError: it is no run folder or not finished, or a file in it is missing, damaged or of a newer version.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a str or a Path, got {type(folder).__name__}")
    folder = Path(folder)
    check_run_folder(folder)
    described = read_config(folder / "config.toml")
    model = read_model(folder, described)
    outputs = len(described.forecast_options.outputs) if described.config.task == "forecast" else 0
    return Run(**vars(described), folder=folder, model=model, intervals=read_intervals(folder, outputs))
