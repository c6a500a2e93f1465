"""The data of the page of `bptt explore`, and the answers to its reader's requests."""

from __future__ import annotations

import copy
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..insight.diagnosis.diagnose import LEAST_STEPS, diagnose
from ..insight.exploring.experiment import Experiment, ExperimentStart, change, descend
from ..insight.exploring.exploration import explore, most_steps
from ..networks import SequenceModel
from ..printable import message
from ..report.page import Live, Page, json_of
from ..report.run import RunReport
from ..training.options.base import TrainOptions
from ..training.tasks.excerpt import filled
from ..training.tasks.forecast import Forecast
from ..training.tasks.task import Task
from ..training.updates import predictions
from .gradient_monitor import diagnosis_of
from .result import Result, described
from .run import load

SHOWN = 100  # steps of a run's sequence that are shown at first


@dataclass(frozen=True)
class Explorer:
    """A network on a sequence, to be explored on a page.

    Attributes:
        title, lead, command: as the page has them.
        start: the network and its sequence.
        t: the step whose error is shown first, from 1.
        times: a label for each step of the start's longest sequence, or None.
        run: a finished training run, or None.
        diagnosis: the numbers of a run's diagnosis; None where the page's sequence is diagnosed.
        where: which steps of a run's data are shown at first, in words.
    """

    title: str
    lead: list[str]
    command: str
    start: ExperimentStart
    t: int
    times: list[str] | None = None
    run: RunReport | None = None
    diagnosis: dict[str, Any] | None = None
    where: str = ""

    def page(self, live: bool = False) -> Page:
        """The page as it starts.

        Raises:
            ValueError: the sequence is too long to be explored.
        """
        start = self.start
        choices = Live(start.activations(), start.losses(), start.most_steps()) if live else None
        about = {"title": self.title, "lead": self.lead, "command": self.command, "t": self.t, "run": self.run}
        experiment = change(start, {})
        diagnosis = self.diagnosis or diagnosed(experiment)
        return Page(**about, **self._found(experiment), diagnosis=diagnosis, live=choices)

    def explored(self, question: dict[str, Any]) -> str:
        """Everything but the diagnosis, with the question's "changes", as JSON.

        Raises:
            ValueError: a change cannot be made.
        """
        return json_of(self._found(change(self.start, question.get("changes", {}))))

    def diagnosed(self, question: dict[str, Any]) -> str:
        """The diagnosis of the changed sequence, which takes longer; of an unchanged run, the run's own."""
        changes = question.get("changes", {})
        unchanged = None if changes else self.diagnosis
        return json_of({"diagnosis": unchanged or diagnosed(change(self.start, changes))})

    def descended(self, question: dict[str, Any]) -> str:
        """The same after a step of gradient descent by "rate", on the error of step "t" or, with null, on all."""
        before = change(self.start, question.get("changes", {}))
        experiment = descend(before, question.get("rate"), question.get("t"))
        weights = {name: weight.tolist() for name, weight in experiment.model.named_parameters()}
        return json_of({**self._found(experiment), "weights": weights})

    def _found(self, experiment: Experiment) -> dict[str, Any]:
        """The numbers of an experiment, by the names that `Page` has for them."""
        T = len(experiment.x)
        return {
            "exploration": explore(*experiment),
            "times": None if self.times is None else self.times[len(self.times) - T :],
        }


def diagnosed(experiment: Experiment) -> dict[str, Any] | None:
    """`bptt.diagnose`'s numbers of an experiment; None where its sequence is too short, or d never reaches it."""
    net, x, d, loss = experiment
    if len(x) < LEAST_STEPS:
        return None
    return replace(diagnose(net, x, d, loss), where=f"the {len(x)} steps shown").numbers()


def run_explorer(
    folder: Path, config: TrainOptions, task: Task, model: SequenceModel, steps: int | None, result: Result | None
) -> Explorer:
    """A trained network on the last steps of an excerpt of its training set.

    Args:
        folder: the run's.
        config, task: what it was trained with and on.
        model: with its trained weights; it is copied, in float64.
        steps: how many are shown at first. Default 100, or fewer where there are fewer.
        result: of the training, where that is known.
    """
    excerpt = task.training_excerpt()
    x, d = excerpt.sequence()
    d = filled(d, predictions(model, x))
    x, d = x.double(), d.double() if d.is_floating_point() else d
    most = min(len(x), most_steps(model))
    longest = Experiment(copy.deepcopy(model).to("cpu", torch.float64), x[-most:], d[-most:], task.loss)
    start = ExperimentStart(longest, min(steps or SHOWN, most), "start")
    times = None
    if isinstance(task, Forecast):  # others do not have them at hand
        first = task.first_step + task.farthest
        times = task.times()[first : first + task.learned_steps][-most:]
    lead, report, found = [message(described(config, task))], None, None
    if result is None:
        found = diagnosis_of(model, excerpt)
    else:
        lead += filter(None, [result.ending(), result.intervals(), message(result.judged.verdict)])
        report, found = result.report(), result.diagnosis
    if found is not None:
        found = replace(found, where=message(found.where), notes=[message(note) for note in found.notes])
    numbers = None if found is None else found.numbers()
    where = message(excerpt.first().last(start.steps).what)
    name, command = message(folder.name), f"bptt explore {shlex.quote(message(folder.name))}"
    return Explorer(name, lead, command, start, start.steps, times, report, numbers, where)


def explorer_of(folder: Path, steps: int | None) -> Explorer:
    """The explorer of a run folder.

    Raises:
        UserError: the run or its data cannot be used.
    """
    run = load(folder)
    return run_explorer(folder, run.config, run.task, run.model, steps, None)
