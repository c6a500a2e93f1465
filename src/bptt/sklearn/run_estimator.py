"""Base class of the estimators that train as `bptt.train` does: its options as parameters, its run as result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ..networks import SequenceModel
from ..runs.run import Run

NO_OPTIONS = ("options", "random_state", "verbose")  # parameters that are no options of `bptt.train` as they are


@dataclass(eq=False, repr=False, kw_only=True)
class RunEstimator(BaseEstimator):
    """Options of `bptt.train`, None for their defaults, and the run; see `RecurrentForecaster`."""

    hidden: int | None = None
    layers: int | None = None
    epochs: int | None = None
    lr: float | None = None
    validation: float | None = None
    options: Mapping[str, Any] | None = None
    random_state: Any = 0
    verbose: bool = False
    run_: Run = field(init=False)
    model_: SequenceModel = field(init=False)
    n_features_in_: int = field(init=False)
    loss_curve_: list[float] = field(init=False)
    n_iter_: int = field(init=False)

    def _choices(self, *apart: str) -> dict[str, Any]:
        """The parameters that are options of `bptt.train` but for some, the seed, and the further options."""
        own = self.get_params(deep=False).items()
        choices = {name: value for name, value in own if name not in (*NO_OPTIONS, *apart)}
        return choices | {"seed": _drawn_seed(self.random_state), **(self.options or {})}

    def _keep(self, run: Run, features: int) -> None:
        """Set the attributes of a trained estimator."""
        self.run_, self.model_, self.n_features_in_ = run, run.network, features
        self.loss_curve_, self.n_iter_ = run.losses, len(run.losses)


def _drawn_seed(random_state: Any) -> int:
    """A seed: the number given, or one drawn by a RandomState, or by a new one; never by numpy's global one."""
    if isinstance(random_state, Integral):
        return int(random_state)
    draw = np.random.RandomState() if random_state is None else random_state
    return int(check_random_state(draw).randint(2**31))
