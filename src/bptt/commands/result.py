"""What a training run came to, told in every way it is told: metrics, report, terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..report.run import Lags, RunReport
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
    lags: list[Lags]  # of the last layer, from before training to its end
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
            "gradient_by_lag": {"start": self.lags[0].norms, "end": self.lags[-1].norms},
        }

    def report(self) -> RunReport:
        """What the page of the run shows of its training."""
        config, task, fitted, judged = self.config, self.task, self.fitted, self.judged
        return RunReport(
            choices={key: value for key, value in asdict(config).items() if value not in (None, ())},
            target=task.columns[0],
            times=judged.rows["time"].to_list(),
            truth=judged.rows["truth"].to_list(),
            forecast=judged.rows["forecast"].to_list(),
            spans=judged.spans,
            scores=judged.scores,
            losses=[epoch.loss for epoch in fitted.epochs],
            validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
            lags=self.lags,
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


def described(config: TrainConfig, task: Task) -> str:
    """A run in a sentence."""
    ahead = "one step" if config.horizon == 1 else f"{config.horizon} steps"
    network = {"elman": "an Elman", "gru": "a GRU", "lstm": "an LSTM"}[config.cell]
    how = reach(config).replace("BPTT", "backpropagation through time")
    return (
        f"{task.columns[0]} of {task.name}, forecast {ahead} ahead by {network} network of {config.hidden} units, "
        f"trained by {how}."
    )


def reach(config: TrainConfig) -> str:
    """How far back errors go, in words."""
    if config.reach != "truncated":
        return f"{config.reach} BPTT"
    return f"truncated BPTT, k1={config.window}, k2={config.k2 or config.window}"
