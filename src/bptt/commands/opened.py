"""A run folder as the commands read it: its network, its task, its data and its loss."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import digest_of
from ..training.options.base import TaskName
from ..training.options.parts import Missing
from ..training.run import changed_file, load_run, new_tasks
from ..training.tasks.factory import check_there, files_of, made_task
from ..training.tasks.sample import Sample

if TYPE_CHECKING:
    from ..training.tasks.forecast import Forecast
    from ..training.tasks.task import Task


class Opened:
    """A trained run: its choices, its network with the trained weights, and on demand what it learned from.

    Args:
        folder: that `bptt train` wrote.

    Raises:
        UserError: it is no run folder, or a file in it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, load_run(folder)
        self.model, self.config = self.run.model, self.run.config

    @property
    def kind(self) -> TaskName:
        """The run's task, by name."""
        return self.config.task

    @cached_property
    def task(self) -> Task:
        """The task it learned, its own data read once more.

        Raises:
            UserError: the data cannot be used, or have changed since.
        """
        check_there(self.config)
        changed = changed_file({str(path): digest_of(path) for path in files_of(self.config)}, self.run)
        if changed is not None:
            raise UserError(f"{changed} has changed since {self.folder} learned from it: its SHA-256 is another")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about the data was said when the run was trained
            return made_task(self.config)

    def sample(self, data: Path | None = None, missing: Missing | None = None) -> Sample:
        """Some of what it learned from, or of another file's rows, with the loss it was learned by.

        Raises:
            UserError: the data cannot be used, or the run does not read them.
        """
        if data is None:
            return self.task.sample()
        return max(self.new(data, None, missing), key=lambda task: len(task.table.values)).sample()

    def random_sample(self, steps: int) -> Sample:
        """So many random steps in the place of data that cannot be read, with the loss of one sequence a step."""
        import torch

        from ..networks import cross_entropy, squared_error

        outputs = self.model.readout.out_features
        x = torch.randn(steps, 1, self.model.recurrent.input_size)
        if self.kind == "forecast":
            d = torch.randn(steps, 1, outputs)
            return Sample(x, d, squared_error, squared_error, "squared_error", "random steps")
        d = torch.randint(outputs, (steps, 1))
        return Sample(x, d, cross_entropy, cross_entropy, "cross_entropy", "random steps")

    def new(self, data: Path, time: str | None, missing: Missing | None) -> list[Forecast]:
        """The rows of another file as this run forecasts them, series by series.

        Raises:
            UserError: the data cannot be used, or the run does not forecast.
        """
        return new_tasks(self.run, data, time, missing)
