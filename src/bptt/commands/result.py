"""What a training run came to, told in every way it is told: metrics, report, terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..report.run import RunReport
from ..training.config import TrainConfig
from ..training.fit import Fitted
from ..training.tasks.task import Judged, Task


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    config: TrainConfig
    task: Task
    fitted: Fitted
    judged: Judged
    by_lag: dict[str, list[float]]  # mean gradient norm by lag of the last layer, at the "start" and "end"
    seconds: float

    def test_line(self) -> dict[str, Any]:
        """The last line of metrics.jsonl."""
        arv, *baselines = self.judged.scores.items()
        return {
            "event": "test",
            "arv": arv[1],
            "rmse": self.judged.rmse,
            "baselines": dict(baselines),
            "epochs": len(self.fitted.epochs),
            "best_epoch": self.fitted.best,
            "interrupted": self.fitted.interrupted,
            "seconds": round(self.seconds, 3),
            "gradient_by_lag": self.by_lag,
        }

    def report(self, name: str) -> RunReport:
        """What the page of the run shows."""
        config, task, fitted, judged = self.config, self.task, self.fitted, self.judged
        ahead = "one step" if config.horizon == 1 else f"{config.horizon} steps"
        how = reach(config).replace("BPTT", "backpropagation through time")
        network = {"elman": "an Elman", "gru": "a GRU", "lstm": "an LSTM"}[config.cell]
        return RunReport(
            title=name,
            summary=[
                f"{task.columns[0]} of {task.name}, forecast {ahead} ahead by {network} network of "
                f"{config.hidden} units, trained by {how}.",
                self.ending(),
            ],
            choices={key: value for key, value in asdict(config).items() if value not in (None, ())},
            target=task.columns[0],
            times=judged.rows["time"].to_list(),
            truth=judged.rows["truth"].to_list(),
            forecast=judged.rows["forecast"].to_list(),
            spans=judged.spans,
            scores=judged.scores,
            losses=[epoch.loss for epoch in fitted.epochs],
            validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
            lag_start=self.by_lag["start"],
            lag_end=self.by_lag["end"],
        )

    def ending(self) -> str:
        """How training ended, in a sentence."""
        epochs, asked = len(self.fitted.epochs), self.config.epochs
        said = (
            f"Stopped after {epochs} of {asked} epochs" if self.fitted.interrupted else f"Trained {epochs} epochs"
        )
        if self.config.validation:
            said += f"; kept the weights of epoch {self.fitted.best}, the best on validation"
        return said + "."


def reach(config: TrainConfig) -> str:
    """How far back errors go, in words."""
    if config.reach != "truncated":
        return f"{config.reach} BPTT"
    return f"truncated BPTT, k1={config.window}, k2={config.k2 or config.window}"
