"""The interface between a task, the training loop and the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import polars as pl
from torch import nn

from ...forecast_model import ForecastModel, LinearPath
from ...insight.plain_models import Criterion
from ...networks import SequenceModel
from ..data.scaling import Scaling
from ..data.spacing import Spacing
from ..data.timestamps import Clock
from ..updates import Updates
from ..workers import ALONE, Workers
from .excerpt import TrainingExcerpt
from .intervals import Intervals

SHOWN = 12  # scores of a model in a table


class Measure(NamedTuple):
    """A measure of the test set's score."""

    key: str  # its name in metrics.jsonl
    name: str  # in words
    better: Literal["less", "more"]  # whether less or more of it is better
    meaning: str  # a sentence on what its values say


ARV = Measure(
    "arv",
    "average relative variance",
    "less",
    "The mean square error over the variance of the training rows; 1 is no better than their mean.",
)
ARV_OF_SUNSPOTS = ARV._replace(
    meaning="The mean square error over the variance of 1700 to 1979; 1 is no better than their mean."
)
WORSE = "Worse than a baseline"
ACCURACY = Measure("accuracy", "accuracy", "more", "The fraction of sequences whose class is predicted correctly.")


class Held(NamedTuple):
    """How many true values the intervals of some rows contained."""

    within: int
    rows: int

    @property
    def share(self) -> float:
        return self.within / self.rows


@dataclass(frozen=True)
class WrongExample:
    """A test sequence whose class is predicted wrongly."""

    name: str  # of the sequence
    truth: str
    predicted: str
    probability: float  # that the network gave to the predicted class
    values: list[list[float | None]]  # its columns


@dataclass(frozen=True)
class Judged:
    """The scores of a trained network and of its baselines."""

    scores: dict[str, dict[str, float]]  # by model, the trained one first, and by test span
    # of forecasts, by span: the root mean square error and the mean absolute error, in the target's unit, and the
    # latter over that of (seasonal) persistence in the training rows
    rmse: dict[str, float] = field(default_factory=dict)
    mae: dict[str, float] = field(default_factory=dict)
    mase: dict[str, float] = field(default_factory=dict)
    # of forecasts, the rows of forecast.csv that a report shows, with a column "split": training, test or future
    rows: pl.DataFrame | None = None
    # of forecasts, the target and the horizon of each span's name
    outputs: dict[str, tuple[str, int]] = field(default_factory=dict)
    # of forecasts, name, first time and last time of the rows tested on
    spans: list[tuple[str, str, str]] = field(default_factory=list)
    intervals: Intervals | None = None  # of forecasts, how wide lower and upper are apart
    covered: dict[str, Held] = field(default_factory=dict)  # of forecasts with an interval, by test span
    measure: Measure = ARV  # of the scores
    # of classes, how many sequences of each class (rows) were predicted as each class (columns)
    confusion: list[list[int]] | None = None
    wrong: list[WrongExample] = field(default_factory=list)  # of classes, some test sequences predicted wrongly
    verdict: str = ""  # the test score beside the best baseline's, in a sentence
    sample: str = ""  # text that a language model generated

    @property
    def judged_on(self) -> list[str]:
        """The names of the test spans; of many, the first ones and the last, which is their mean."""
        names = list(next(iter(self.scores.values())))
        return names if len(names) <= SHOWN else [*names[: SHOWN - 1], names[-1]]


class Standing(NamedTuple):
    """Where the first model of some scores stands in the test set beside the baselines."""

    ours: float
    name: str  # of the best baseline
    best: float  # its score
    words: str  # better than every baseline, as good as the best one, or worse

    @classmethod
    def of(cls, scores: Mapping[str, Mapping[str, float]], better: Literal["less", "more"]) -> Standing:
        (_, ours), *baselines = ((name, by_split["test"]) for name, by_split in scores.items())
        sign = 1 if better == "more" else -1
        name, best = max(baselines, key=lambda baseline: sign * baseline[1])
        if ours == best:
            return cls(ours, name, best, "As good as the best baseline")
        return cls(ours, name, best, "Better than every baseline" if sign * ours > sign * best else WORSE)


class WholeModel(NamedTuple):
    """The model of a run, and of a forecast how its network did on the steps held out."""

    model: SequenceModel | ForecastModel
    # by series, the network's outputs and targets there, (N, K) each
    held_out: Sequence[tuple[np.ndarray, np.ndarray]] = ()


class Undated:
    """A task that reads no dates, and one series or none; its network is all of its model."""

    clock = Clock()
    path: LinearPath | None = None

    def __repr__(self: Task) -> str:
        return f"<{type(self).__name__}: {self.aim}; {self.amount}>"

    def whole(self, network: SequenceModel) -> WholeModel:
        return WholeModel(network)

    @property
    def calendar(self) -> list[str]:
        return []

    @property
    def series(self) -> dict[str, Scaling]:
        return {}

    @property
    def spacings(self) -> dict[str, Spacing]:
        return {}


class Task(Protocol):
    """Data to train on, and a way to score the trained network."""

    @property
    def name(self) -> str: ...  # where the data came from
    @property
    def columns(self) -> list[str]: ...  # the columns that are read, a target first
    @property
    def labels(self) -> list[str]: ...  # classes or tokens, by output; empty where numbers are put out
    @property
    def train_steps(self) -> int: ...  # training and validation steps of an epoch
    @property
    def amount(self) -> str: ...  # the size of the training set, in words
    @property
    def aim(self) -> str: ...  # the task and its data, in words
    @property
    def loss(self) -> Criterion: ...  # the loss of a step, `bptt.squared_error` or `bptt.cross_entropy`
    @property
    def output(self) -> str: ...  # the name of the file that `judge` writes
    @property
    def scaling(self) -> Scaling: ...  # of the columns
    @property
    def calendar(self) -> list[str]: ...  # the periods of its dates that are input, by sine and cosine
    @property
    def lags(self) -> list[int]: ...  # the rows before each that are input, 0 for its own; empty without a table
    @property
    def path(self) -> LinearPath | None: ...  # of a forecast, beside which its network is trained
    @property
    def clock(self) -> Clock: ...  # day order and time zone of its dates

    # Of many series, the scaling and the spacing of the rows labelled by --time are by name; a single one has a
    # spacing by the name "".
    @property
    def series(self) -> dict[str, Scaling]: ...
    @property
    def spacings(self) -> dict[str, Spacing]: ...

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """The training set as updates of the model, or this worker's share of it."""
        ...

    def training_excerpt(self) -> TrainingExcerpt:
        """A part of the training set with its loss, to look at how gradients flow."""
        ...

    def whole(self, network: SequenceModel) -> WholeModel:
        """The model of the run: the trained network, with the linear path where there is one."""
        ...

    def judge(self, whole: WholeModel, title: str, path: Path) -> Judged:
        """Score the model of the run and write its outputs.

        Args:
            title: the name of the model in the scores.
            path: the file to write, whose name is `output`.
        """
        ...
