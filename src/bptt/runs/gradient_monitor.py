"""How far the gradient of a run reaches: by lag while it trains, and in a diagnosis."""

from __future__ import annotations

from dataclasses import replace

from ..insight.contributions import contributions
from ..insight.diagnosis.diagnose import LAGS, LEAST_STEPS, diagnose
from ..insight.diagnosis.result import Diagnosis
from ..networks import SequenceModel
from ..training.tasks.excerpt import TrainingExcerpt, filled
from ..training.tasks.task import Task
from ..training.transfer import device_of
from ..training.updates import predictions
from ..training.watch import MOST, Watch

STEPS = 64  # of the training set, the last ones, whose gradient is measured
OVERHEAD = 2e7  # of an epoch beside its walks, in products: updates, progress, a line of metrics
DIAGNOSIS = 2e10  # and of a diagnosis: four seconds of one core, most take less than one
SHARE = 0.04  # of the training so far that a diagnosis may take
FRESH = 0.1  # of the epochs: so long a gradient may vanish, since weights start small


class GradientMonitor:
    """Measures the gradient by lag while a network trains, always on the same steps, errors and loss.

    The error E_t of a few steps t is backpropagated, as in `bptt.explain`; to classify, that of the last one.

    Args:
        model: the network.
        task: what it is trained on.
        epochs: how many it is trained for.

    Attributes:
        what: the steps that are measured, in words.
        excerpt: the data of the run's diagnosis.
    """

    def __init__(self, model: SequenceModel, task: Task, epochs: int) -> None:
        self.model, self.excerpt, self.criterion = model, task.training_excerpt(), task.loss
        part = self.excerpt.first().last(STEPS)
        self.x, self.d = (rows.to(device_of(model)) for rows in part.sequence())
        self.what = part.what
        self._watch: Watch | None = None
        self._next_diagnosis = max(1.0, FRESH * epochs)
        if len(self.x) >= 2:
            most = 1 if part.of_sequences else MOST
            steps = {"trained": task.train_steps, "overhead": OVERHEAD, "most": most}
            self._watch = Watch(model, len(self.x), criterion=self.criterion, **steps)
            self._next_diagnosis = max(self._next_diagnosis, DIAGNOSIS / (SHARE * self._watch.epoch))

    def after(self, epoch: int) -> dict[str, list[float]] | None:
        """The gradient by lag after an epoch, in as many epochs as cost a few percent of the time."""
        return self.now() if self._watch is not None and self._watch.due(epoch) else None

    def now(self) -> dict[str, list[float]]:
        """The gradient by lag with the present weights, by layer."""
        if self._watch is None:
            d = filled(self.d, predictions(self.model, self.x))
            found = contributions(self.model, self.x, d, self.criterion).by_lag.states
            return {layer: norms.tolist() for layer, norms in found.items()}
        y = self._watch(self.x)
        return self._watch.by_lag(filled(self.d, y))

    def diagnosis_due(self, epoch: int) -> bool:
        """Whether a diagnosis after an epoch is worth its time; true at ever longer intervals."""
        if epoch <= self._next_diagnosis:
            return False
        self._next_diagnosis = 2.0 * epoch
        return True


def diagnosis_of(
    model: SequenceModel, excerpt: TrainingExcerpt, lags: int = LAGS, tries: bool = True
) -> Diagnosis | None:
    """`bptt.diagnose` of a run's network on an excerpt of its training set; None where that is too short."""
    if len(excerpt.x) < LEAST_STEPS:
        return None
    x, d = (rows.to(device_of(model)) for rows in (excerpt.x, excerpt.d))
    found = diagnose(model, x, d, excerpt.criterion, lags=lags, errors=excerpt.errors, tries=tries)
    return replace(found, where=excerpt.what, notes=list(excerpt.notes))
