"""Base class of the estimators of sequences: their parameters, the network, and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from ..checks import check_leak
from ..equations.activations import ACTIVATIONS
from ..errors import UserError
from ..networks import SequenceModel
from ..reach.truncated import check_reach
from ..training.loop import Epoch, Training
from ..training.network import build, count_of
from ..training.options.base import TrainOptions
from ..training.schedules import Clipping
from .batch import Batch, batch_of
from .learning import Batches, Carried, MeanLoss, WindowSizes, learn_piece
from .samples import Samples
from .targets import CHOICES, Targets, normalised

BATCH = 32  # sequences of an update, where batch_size is None


class Goal(NamedTuple):
    """Checked targets, and the loss and the outputs by which a network is trained on them."""

    targets: Targets
    outputs: int  # of the network
    loss: MeanLoss
    fitted: dict[str, Any]  # attributes of the estimator, set once it is trained


@dataclass(eq=False, repr=False)
class RecurrentEstimator(BaseEstimator):
    """The parameters of a recurrent estimator, its fields; see `RecurrentRegressor`."""

    cell: str = "gru"
    hidden: int = 32
    layers: int = 1
    _: KW_ONLY
    activation: str = "tanh"
    leak: float = 1.0
    epochs: int = 100
    lr: float = 0.01
    clip: float | None = 1.0
    batch_size: int | None = None
    k1: int | None = None
    k2: int | None = None
    validation_fraction: float = 0.0
    n_iter_no_change: int = 10
    random_state: Any = None
    verbose: bool = False
    model_: SequenceModel = field(init=False)
    n_features_in_: int = field(init=False)
    loss_curve_: list[float] = field(init=False)
    validation_curve_: list[float] = field(init=False)
    n_iter_: int = field(init=False)

    def _check_parameters(self) -> None:
        known_values = {"cell": ("elman", "gru", "lstm"), "activation": tuple(ACTIVATIONS), "targets": CHOICES}
        for name, known in known_values.items():
            if (value := getattr(self, name, known[0])) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
        for name in ("hidden", "layers", "epochs", "n_iter_no_change", "batch_size", "k1", "k2"):
            if getattr(self, name) is not None or name in ("hidden", "layers", "epochs", "n_iter_no_change"):
                check_scalar(getattr(self, name), name, Integral, min_val=1)
        for name in ("lr", "clip"):
            if getattr(self, name) is not None or name == "lr":
                check_scalar(getattr(self, name), name, Real, min_val=0, include_boundaries="neither")
        check_scalar(
            self.validation_fraction, "validation_fraction", Real, min_val=0, max_val=1, include_boundaries="left"
        )
        check_leak(float(self.leak))
        if self.cell != "elman" and (self.activation != "tanh" or self.leak != 1):
            raise ValueError(
                f"activation={self.activation!r} and leak={self.leak} are choices of cell='elman'; a "
                f"{self.cell.upper()} has tanh and 1"
            )
        if self.k1 is not None:
            check_reach(int(self.k1), None if self.k2 is None else int(self.k2))
        elif self.k2 is not None:
            raise ValueError(
                f"k2={self.k2} needs k1, the steps between two updates; without k1 errors go all the way"
            )

    def _draw(self) -> np.random.RandomState:
        """The random generator; without a random_state a new one, never numpy's global one."""
        return check_random_state(np.random.RandomState() if self.random_state is None else self.random_state)

    def _config(self, draw: np.random.RandomState, validated: bool) -> TrainOptions:
        return TrainOptions(
            cell=self.cell,  # pyright: ignore[reportArgumentType]
            hidden=int(self.hidden),
            layers=int(self.layers),
            activation=self.activation,  # pyright: ignore[reportArgumentType]
            leak=float(self.leak),
            init=1.0,
            epochs=int(self.epochs),
            lr=float(self.lr),
            clip=self._clip,
            schedule="constant",
            weight_decay=0.0,
            patience=int(self.n_iter_no_change) if validated else None,
            seed=int(draw.randint(2**31)),
        )

    @property
    def _clip(self) -> float:
        return float("inf") if self.clip is None else float(self.clip)

    @property
    def _reach(self) -> WindowSizes:
        return WindowSizes(None if self.k1 is None else int(self.k1), None if self.k2 is None else int(self.k2))

    def _train(
        self,
        batch: Callable[[np.ndarray], Batch],
        count: int,
        held_out: Batch | None,
        goal: Goal,
        draw: np.random.RandomState,
        like: np.ndarray,
    ) -> None:
        config = self._config(draw, held_out is not None)
        model = _network(config, like, goal.outputs)
        size = BATCH if self.batch_size is None else int(self.batch_size)
        updates = Batches(model, count, batch, size, goal.loss, self._reach, draw, held_out)
        fitted = Training(model, updates, config).run(self._tell)
        self._forget()
        self.model_, self.n_features_in_ = model, like.shape[1]
        self.loss_curve_ = [epoch.loss for epoch in fitted.epochs]
        self.validation_curve_ = [epoch.validation for epoch in fitted.epochs if epoch.validation is not None]
        self.n_iter_ = len(fitted.epochs)
        vars(self).update(goal.fitted)

    def _learn_more(self, sequences: Samples, goal: Goal) -> None:
        """Train on one more piece; with a target a step, continue from the state before it."""
        targets, outputs = goal.targets, goal.outputs
        lengths = {len(x) for x in sequences.each}
        if targets.per_step and len(lengths) > 1:
            raise ValueError(
                f"the pieces of streams trained on side by side need one length, got {sorted(lengths)} steps"
            )
        _, weights = normalised(targets.weights)
        if hasattr(self, "model_"):
            self._check_features(sequences)
            self._check_outputs(outputs)
        else:
            self.model_ = _network(self._config(self._draw(), False), sequences.each[0], outputs)
            self.n_features_in_, self.loss_curve_, self.validation_curve_ = sequences.each[0].shape[1], [], []
            self.n_iter_ = 0
        if not hasattr(self, "_optimizer"):
            self._optimizer = torch.optim.Adam(self.model_.parameters(), lr=float(self.lr))
        before: Carried | None = getattr(self, "_carried", None) if targets.per_step else None
        if before is not None and before.steps.x.shape[1] != len(sequences.each):
            raise ValueError(
                f"this piece has {len(sequences.each)} sequences, but those before had "
                f"{before.steps.x.shape[1]}: the pieces of a stream need the same ones, in the same "
                "order; call fit for others"
            )
        piece = batch_of(sequences.each, targets.each, weights).of(self._dtype)
        found, after = learn_piece(
            self.model_, self._optimizer, Clipping(self._clip), piece, goal.loss, self._reach, before
        )
        self._carried = after if targets.per_step else None
        self.loss_curve_.append(found)
        self.n_iter_ += 1
        vars(self).update(goal.fitted)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.model_.parameters()).dtype

    def _check_outputs(self, outputs: int) -> None:
        own = self.model_.readout.out_features
        if outputs != own:
            raise ValueError(f"y has {outputs} outputs, but the pieces before it had {own}")

    def _forget(self) -> None:
        """Drop the state and optimizer of a stream."""
        for name in ("_optimizer", "_carried"):
            if hasattr(self, name):
                delattr(self, name)

    def _check_features(self, sequences: Samples) -> None:
        features = sequences.each[0].shape[1]
        own = self.model_.recurrent.input_size
        if features != own:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {own} features as input "
                "at each step"
            )

    def _tell(self, epoch: Epoch) -> None:
        if self.verbose:
            held_out = "" if epoch.validation is None else f", validation {epoch.validation:.6g}"
            print(f"epoch {epoch.epoch}: loss {epoch.loss:.6g}{held_out}")


def unchanged_by_errors(method: Callable[..., Any]) -> Any:
    """A method that leaves the names of the columns as they were if it fails."""
    names = ("feature_names_in_", "n_features_in_", "_input_names")

    @wraps(method)
    def guarded(self: Any, *arguments: Any, **choices: Any) -> Any:
        before = {name: value for name, value in vars(self).items() if name in names}
        try:
            return method(self, *arguments, **choices)
        except BaseException:
            for name in names:
                vars(self).pop(name, None)
            vars(self).update(before)
            raise

    return guarded


def _network(config: TrainOptions, like: np.ndarray, outputs: int) -> SequenceModel:
    """The network, drawn by the seed, in the type of `like`.

    Raises:
        ValueError: it would not fit into the machine's memory.
    """
    try:
        model = build(config, like.shape[1], outputs)
    except UserError as error:
        raise ValueError(
            f"hidden={config.hidden} and layers={config.layers} with {like.shape[1]} features make "
            f"{count_of(config, like.shape[1], outputs):,} weights, more than fit into this machine's memory "
            "for training; make them smaller"
        ) from error
    return model.to(torch.from_numpy(np.zeros(0, like.dtype)).dtype)
