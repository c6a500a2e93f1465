"""What a training run came to, told in every way it is told: metrics, report, terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ..insight.diagnosis.result import Diagnosis
from ..printable import message, shown, told_apart
from ..report.run import Lags, RunReport
from ..training.loop import Fitted
from ..training.options.base import TrainOptions
from ..training.tasks.task import Judged, Task

LOOKS = 24  # epochs of which the page shows the gradient by lag


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    config: TrainOptions
    task: Task
    fitted: Fitted
    judged: Judged
    by_lag: dict[str, list[float]]  # mean gradient norm by lag of the last layer, at the "start" and "end"
    seconds: float
    diagnosis: Diagnosis | None = None  # of the trained network; None where what it learned from is too short
    looked_at: str = ""  # where the gradient by lag was taken, in words

    def test_line(self) -> dict[str, Any]:
        """The last line of metrics.jsonl."""
        judged, (ours, *baselines) = self.judged, self.judged.scores.items()
        return {
            "event": "test",
            judged.measure.key: ours[1],
            **({"rmse": judged.rmse} if judged.rmse else {}),
            **({"coverage": judged.covered} if judged.covered else {}),
            **({"confusion": judged.confusion} if judged.confusion else {}),
            "baselines": dict(baselines),
            "epochs": len(self.fitted.epochs),
            "best_epoch": self.fitted.best,
            "interrupted": self.fitted.interrupted,
            "seconds": round(self.seconds, 3),
            "gradient_by_lag": self.by_lag,
        }

    def report(self) -> RunReport:
        """What the page of the run shows of its training."""
        config, task, fitted, judged = self.config, self.task, self.fitted, self.judged
        nothing = {key: [] for key in ("time", "truth", "forecast", "lower", "upper")}
        rows = pl.DataFrame(nothing) if judged.rows is None else judged.rows
        choices = [(key, value) for key, value in asdict(config).items() if value not in (None, ())]
        looks = told_apart([on for of_model in judged.scores.values() for on in of_model])
        return RunReport(
            choices={key: _readable(value) for key, value in choices},
            target=_shown(rows),
            times=rows["time"].to_list(),
            truth=rows["truth"].to_list(),
            forecast=rows["forecast"].to_list(),
            lower=rows["lower"].to_list(),
            upper=rows["upper"].to_list(),
            spans=judged.spans,
            judged_on=[looks[on] for on in judged.judged_on],
            measure=judged.measure.name,
            meaning=judged.measure.meaning,
            better=judged.measure.better,
            loss="mean square error" if task.loss == "squared_error" else "cross entropy (nats)",
            labels=list(told_apart(task.labels).values()) if judged.confusion else task.labels,
            confusion=judged.confusion,
            sample=judged.sample,
            scores={
                name: {looks[on]: score for on, score in of_model.items()}
                for name, of_model in judged.scores.items()
            },
            losses=[epoch.loss for epoch in fitted.epochs],
            validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
            lags=self._lags(),
            looked_at=message(self.looked_at),
        )

    def _lags(self) -> list[Lags]:
        """The gradient by lag before training, after some epochs of it, and at its end."""
        looks = [(epoch.epoch, epoch.gradient_by_lag) for epoch in self.fitted.epochs if epoch.gradient_by_lag]
        some = looks[:: -(-len(looks) // LOOKS) or 1]
        between = [Lags(number, list(by_lag.values())[-1]) for number, by_lag in some]
        return [Lags(0, self.by_lag["start"]), *between, Lags(self.fitted.best, self.by_lag["end"])]

    def intervals(self) -> str | None:
        """What a forecast's intervals are made from and how often they held, in a sentence or two."""
        judged = self.judged
        if judged.intervals is None:
            return None
        held = [judged.covered[name] for name in judged.judged_on if name in judged.covered]
        if not held:
            return judged.intervals.note
        least, most = f"{min(held):.0%}", f"{max(held):.0%}"
        found = least if least == most else f"{least} to {most}"
        return f"{judged.intervals.note} They held {found} of what came in the rows tested on."

    def warning(self, folder: Path) -> str | None:
        """What the diagnosis warns of, or None."""
        found = self.diagnosis
        if found is None or found.severity != "warning":
            return None
        return f"warning: {found.sentence} (on {found.where}) What to do: bptt diagnose {folder}"

    def ending(self) -> str:
        """How training ended, in a sentence."""
        epochs, asked = len(self.fitted.epochs), self.config.epochs
        said = f"Trained {epochs} epochs"
        if self.fitted.interrupted:
            said = f"Stopped after {epochs} of {asked} epochs"
        elif epochs < asked:
            said += f" of {asked}, the last {self.config.patience} no better on validation"
        if self.config.validation:
            said += f"; kept the weights of epoch {self.fitted.best}, the best on validation"
        return said + "."


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


def _shown(rows: pl.DataFrame) -> str:
    """What the rows are forecasts of, in words."""
    if not len(rows):
        return ""
    first = rows.row(0, named=True)
    said = [shown(str(first[name])) for name in ("series", "target") if name in first]
    return ", ".join([*said, f"{first['horizon']} ahead"] if "horizon" in first else said)


def confusion_rows(labels: list[str], confusion: list[list[int]]) -> pl.DataFrame:
    """A row for each true class: how many of its sequences were taken for each."""
    columns = zip(labels, zip(*confusion, strict=True), strict=True)
    return pl.DataFrame({"truth": labels, **{f"predicted {label}": list(counts) for label, counts in columns}})
