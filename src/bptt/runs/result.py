"""A finished run's results, for metrics, report and terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ..insight.diagnosis.result import Diagnosis
from ..losses import squared_error
from ..printable import distinct, message, shown
from ..report.forecast import forecast_report
from ..report.losses import simple_losses
from ..report.run import Lags, RunReport, Sample
from ..training.loop import Fitted
from ..training.options.base import TrainOptions
from ..training.tasks.task import Judged, Task

UNITS = ("rmse", "mae", "mase")  # errors of forecasts in their own units
LONG = 600  # seconds of training, above which the time left is said
LOOKS = 24  # epochs of which the page shows the gradient by lag


@dataclass(frozen=True)
class Result:
    """A finished run's results."""

    config: TrainOptions
    task: Task
    fitted: Fitted
    judged: Judged
    by_lag: dict[str, list[float]]  # mean gradient norm by lag of the last layer, at the "start" and "end"
    seconds: float
    diagnosis: Diagnosis | None = None  # of the trained network; None where the training set is too short
    looked_at: str = ""  # where the gradient by lag was taken, in words
    device: str = "cpu"  # that it was trained on, at the end

    def test_line(self) -> dict[str, Any]:
        """The last line of metrics.jsonl."""
        judged, (ours, *baselines) = self.judged, self.judged.scores.items()
        return {
            "event": "test",
            judged.measure.key: ours[1],
            **{name: by_span for name in UNITS if (by_span := getattr(judged, name))},
            **(
                {"coverage": {name: held.share for name, held in judged.covered.items()}} if judged.covered else {}
            ),
            **({"confusion": judged.confusion} if judged.confusion else {}),
            "baselines": dict(baselines),
            **({"verdict": judged.verdict} if judged.verdict else {}),
            "epochs": len(self.fitted.epochs),
            "best_epoch": self.fitted.best,
            "interrupted": self.fitted.interrupted,
            "seconds": round(self.seconds, 3),
            "device": self.device,
            "gradient_by_lag": self.by_lag,
        }

    def report(self) -> RunReport:
        """The results, as the page shows them."""
        options = asdict(self.config) | {"device": self.device}
        choices = {key: _readable(value) for key, value in options.items() if value not in (None, ())}
        return RunReport(
            choices=choices,
            loss="mean square error" if self.task.loss is squared_error else "cross entropy (nats)",
            judged=self._judged_for_page(),
            labels=list(distinct(self.task.labels).values()) if self.judged.confusion else self.task.labels,
            losses=[epoch.loss for epoch in self.fitted.epochs],
            validation=[epoch.validation for epoch in self.fitted.epochs if epoch.validation is not None],
            lags=self._lags(),
            looked_at=message(self.looked_at),
            simple=simple_losses(self.judged, getattr(self.config, "class_weights", None) == "balanced"),
            samples=[Sample(one.epoch, one.sample) for one in self.fitted.epochs if one.sample is not None],
            forecast=forecast_report(self.judged, getattr(self.config, "coverage", 0.0)),
        )

    def _judged_for_page(self) -> Judged:
        """The scores, their names shortened."""
        judged = self.judged
        names = distinct([span for by_span in judged.scores.values() for span in by_span])
        scores = {
            model: {names[span]: score for span, score in by_span.items()}
            for model, by_span in judged.scores.items()
        }
        shown_elsewhere = {"rmse": {}, "mae": {}, "mase": {}, "covered": {}, "outputs": {}}
        wrong = [
            replace(one, name=shown(one.name), truth=shown(one.truth), predicted=shown(one.predicted))
            for one in judged.wrong
        ]
        return replace(judged, scores=scores, rows=None, intervals=None, wrong=wrong, **shown_elsewhere)

    def _lags(self) -> list[Lags]:
        """The gradient by lag before training, after some epochs of it, and at its end."""
        looks = [(epoch.epoch, epoch.gradient_by_lag) for epoch in self.fitted.epochs if epoch.gradient_by_lag]
        some = looks[:: -(-len(looks) // LOOKS) or 1]
        between = [
            Lags(number, list(by_lag.values())[-1]) for number, by_lag in some if number != self.fitted.best
        ]
        return [Lags(0, self.by_lag["start"]), *between, Lags(self.fitted.best, self.by_lag["end"])]

    def in_units(self) -> dict[str, dict[str, float]]:
        """Errors of the forecasts in their own units, by name and test span; empty where nothing is forecast."""
        return {name.upper(): by_span for name in UNITS if (by_span := getattr(self.judged, name))}

    def intervals(self) -> str | None:
        """Where a forecast's intervals come from and how often they held, in a sentence or two."""
        judged = self.judged
        if judged.intervals is None:
            return None
        counted = [judged.covered[name] for name in judged.judged_on if name in judged.covered]
        if not counted:
            return judged.intervals.note
        shares, rows = [held.share for held in counted], sum(held.rows for held in counted)
        least, most = f"{min(shares):.0%}", f"{max(shares):.0%}"
        found = least if least == most else f"{least} to {most}"
        return f"{judged.intervals.note} They held {found} of {rows:,} true values in the test set."

    def warning(self, folder: Path | None) -> str | None:
        """The diagnosis as a warning, or None where it warns of nothing."""
        found = self.diagnosis
        if found is None or found.severity != "warning":
            return None
        advice = "run.diagnose()" if folder is None else f"bptt diagnose {folder}"
        return f"{found.sentence} (on {found.where}) What to do: {advice}"

    def ending(self) -> str:
        """How training ended, in a sentence."""
        epochs, asked = len(self.fitted.epochs), self.config.epochs
        said = f"Trained {epochs} epoch{'' if epochs == 1 else 's'}"
        if self.fitted.interrupted:
            said = f"Stopped after {epochs} of {asked} epochs"
        elif epochs < asked:
            said += f" of {asked}, the last {self.config.patience} no better on validation"
        if self.config.validation:
            said += f"; kept the weights of epoch {self.fitted.best}, the best on validation"
        if self.fitted.still_falling:
            said += f". The training loss was still falling; more --epochs than {asked} may help (untried)"
        return said + "."


def time_left(config: TrainOptions, epochs: int, seconds: float) -> str | None:
    """How long so many more epochs take, and how to end sooner, in a sentence; None where that is not long.

    Args:
        seconds: that an epoch takes.
    """
    if epochs * seconds < LONG:
        return None
    minutes = round(epochs * seconds / 60)
    took = f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    ways = ["pass fewer --epochs"]
    if config.validation and config.patience is None:
        ways.append("or --patience 5, which stops 5 epochs after the best on validation")
    if config.method == "full BPTT" and config.task == "forecast":
        ways.append("or --reach truncated --batch 32, whose epoch has many updates, so that few epochs do")
    return f"{epochs} more epochs will take about {took}; to end sooner {', '.join(ways)}"


def described(config: TrainOptions, task: Task) -> str:
    """A run in a sentence."""
    network = {"elman": "an Elman", "gru": "a GRU", "lstm": "an LSTM"}[config.cell]
    how = config.method.replace("BPTT", "backpropagation through time")
    return f"{task.aim} by {network} network of {config.hidden} units, trained by {how}."


def _readable(choice: Any) -> Any:
    """A choice of the run as a page shows it, the names in it shortened."""
    if isinstance(choice, tuple):
        return tuple(_readable(one) for one in choice)
    if isinstance(choice, Path):
        return message(str(choice))
    return shown(choice) if isinstance(choice, str) else choice


def confusion_rows(labels: list[str], confusion: list[list[int]]) -> pl.DataFrame:
    """A row for each true class: how many of its sequences were taken for each."""
    columns = zip(labels, zip(*confusion, strict=True), strict=True)
    return pl.DataFrame({"truth": labels, **{f"predicted {label}": list(counts) for label, counts in columns}})
