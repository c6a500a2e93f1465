"""How far back the gradient reaches from before training to its end, measured in one way throughout."""

from __future__ import annotations

from ..insight.contributions import contributions
from ..networks import LOSSES, SequenceModel
from ..training.tasks.sample import filled
from ..training.tasks.task import Task
from ..training.updates import predict
from ..training.watch import MOST, Watch

STEPS = 64  # of what is learned from, the last ones, that are looked at
OVERHEAD = 2e7  # what an epoch costs beside its walks, in products: updates, progress, a line of metrics
DIAGNOSIS = 2e10  # and a whole diagnosis: four seconds of one core, most take less than one
SHARE = 0.04  # of the training so far that a diagnosis may take
FRESH = 0.1  # of the epochs: so long a gradient may vanish, since weights start small


class Film:
    """Looks at the gradient by lag while a network learns: always the same steps, errors and loss.

    The error E_t of a few steps t is taken back, as `bptt.explain` has it; to classify, of the last one.

    Args:
        model: the network.
        task: what it learns.
        epochs: how many it learns for.

    Attributes:
        what: the steps that are looked at, in words.
        sample: what the diagnosis of the run is made of.
    """

    def __init__(self, model: SequenceModel, task: Task, epochs: int) -> None:
        self.model, self.sample, self.criterion = model, task.sample(), LOSSES[task.loss]
        part = self.sample.last(STEPS)
        self.x, self.d = part.sequence()
        self.what = f"the last {len(self.x)} steps of {self.sample.what}"
        self._watch: Watch | None = None
        self._judge_at = max(1.0, FRESH * epochs)
        if len(self.x) >= 2:
            most = 1 if part.of_sequences else MOST
            steps = {"trained": task.train_steps, "overhead": OVERHEAD, "most": most}
            self._watch = Watch(model, len(self.x), criterion=self.criterion, **steps)
            self._judge_at = max(self._judge_at, DIAGNOSIS / (SHARE * self._watch.epoch))

    def look(self, epoch: int) -> dict[str, list[float]] | None:
        """The gradient by lag after an epoch, in as many epochs as cost a few percent of the time."""
        return self.now() if self._watch is not None and self._watch.due(epoch) else None

    def now(self) -> dict[str, list[float]]:
        """The gradient by lag with the weights as they are, by layer."""
        if self._watch is None:
            d = filled(self.d, predict(self.model, self.x))
            found = contributions(self.model, self.x, d, self.criterion).by_lag.states
            return {layer: norms.tolist() for layer, norms in found.items()}
        y = self._watch(self.x)
        return self._watch.by_lag(filled(self.d, y))

    def to_judge(self, epoch: int) -> bool:
        """Whether a whole diagnosis after an epoch is worth its time; true at ever longer intervals."""
        if epoch <= self._judge_at:
            return False
        self._judge_at = 2.0 * epoch
        return True
