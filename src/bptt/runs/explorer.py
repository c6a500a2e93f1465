"""The networks that `bptt explain` and `bptt explore` show: the lesson's, or a run's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..insight.diagnosis.diagnose import LEAST_STEPS, diagnose
from ..insight.diagnosis.result import Diagnosis
from ..insight.plain_models import Criterion
from ..networks import SequenceModel
from ..page.html import Page, page_of
from ..page.network import Experiment, Subject
from ..page.recorded import most_steps
from ..printable import message
from ..report.run import RunReport
from ..training.options.base import TrainOptions
from ..training.tasks.excerpt import TrainingExcerpt, filled
from ..training.tasks.forecast import Forecast
from ..training.tasks.task import Task
from ..training.tasks.text import TextTask
from ..training.updates import predictions
from .gradient_monitor import diagnosis_of
from .result import Result, described

SHOWN = 100  # steps of a run's sequence that are shown at first


@dataclass(frozen=True)
class Explorer:
    """A network on a sequence, to be explored on a page.

    Attributes:
        title, lead, lesson: as the page has them.
        subject: the network and its sequence.
        t: the step whose error is shown first, from 1.
        times: a label for each step of the longest sequence, or None.
        run: a finished training run, or None.
        diagnosis: of a run, computed when the page is made; where it is None, the shown sequence is diagnosed.
        labels: the tokens of a language model, by input and output.
        where: which steps of a run's data are shown at first, in words.
    """

    title: str
    lead: list[str]
    subject: Subject
    t: int
    lesson: bool = False
    times: list[str] | None = None
    run: RunReport | None = None
    diagnosis: Callable[[], Diagnosis | None] = lambda: None
    labels: list[str] = field(default_factory=list)
    where: str = ""

    def page(self) -> Page:
        """The page as it starts.

        Raises:
            ValueError: the sequence is too long, or the network cannot be shown.
        """
        found = self.diagnosis()
        diagnosis = diagnosed(self.subject.shown()) if found is None else found.numbers()
        further = {"lesson": self.lesson, "times": self.times, "diagnosis": diagnosis, "run": self.run}
        further["labels"] = self.labels
        return page_of(self.subject, self.title, self.lead, self.t, **further)


def diagnosed(experiment: Experiment) -> dict[str, Any] | None:
    """`bptt.diagnose`'s numbers of an experiment; None where its sequence is too short, or d never reaches it."""
    net, x, d, loss = experiment
    if len(x) < LEAST_STEPS:
        return None
    return replace(diagnose(net, x, d, loss), where=f"the {len(x)} steps shown").numbers()


def run_subject(excerpt: TrainingExcerpt, loss: Criterion, model: SequenceModel, steps: int | None) -> Subject:
    """A copy of a trained network, in float64, on the last steps of an excerpt of its training set."""
    x, d = excerpt.sequence()
    d = filled(d, predictions(model, x))
    x, d = x.double(), d.double() if d.is_floating_point() else d
    most = min(len(x), most_steps(model))
    longest = Experiment(copy.deepcopy(model).to("cpu", torch.float64), x[-most:], d[-most:], loss)
    return Subject(longest, min(steps or SHOWN, most), "start")


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
    subject = run_subject(excerpt, task.loss, model, steps)
    times = None
    if isinstance(task, Forecast):  # others do not have them at hand
        stop = task.first_step + task.farthest + task.learned_steps
        steps_shown = len(subject.longest.x)
        times = task.table.timestamps_at(stop - steps_shown, steps_shown).texts
    lead, report = [message(described(config, task))], None
    if result is not None:
        lead += filter(None, [result.ending(), result.intervals(), message(result.judged.verdict)])
        report = result.report()

    def diagnosis() -> Diagnosis | None:
        found = diagnosis_of(model, excerpt) if result is None else result.diagnosis
        if found is None:
            return None
        return replace(found, where=message(found.where), notes=[message(note) for note in found.notes])

    where = message(excerpt.first().last(subject.steps).what)
    labels = task.labels if isinstance(task, TextTask) else []
    about = {"times": times, "run": report, "diagnosis": diagnosis, "labels": labels, "where": where}
    return Explorer(message(folder.name), lead, subject, subject.steps, **about)
