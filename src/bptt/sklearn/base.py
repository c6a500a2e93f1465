"""Base class of the estimators: their parameters, the network, and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_scalar, validate_data

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
from .samples import Samples, read_samples
from .targets import CHOICES, Targets

TOGETHER = 256  # sequences of a batch in prediction


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

    targets = "auto"  # whether y has a target for each step or each sequence; a parameter where it can be either
    _default_batch = 32

    def _check_parameters(self) -> None:
        known_values = {"cell": ("elman", "gru", "lstm"), "activation": tuple(ACTIVATIONS), "targets": CHOICES}
        for name, known in known_values.items():
            if (value := getattr(self, name)) not in known:
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

    def _learn(self, sequences: Samples, targets: Targets, outputs: int, loss: MeanLoss) -> Self:
        """Draw a network and train it on whole sequences, without those of weight 0."""
        kept, weights = normalised(targets.weights)
        draw, N = self._draw(), len(kept)
        held = round(float(self.validation_fraction) * N)
        if held == N:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of {N} sequences to train on"
            )
        order = kept[draw.permutation(N)] if held else kept

        def batch(places: np.ndarray) -> Batch:
            return batch_of(*([of_each[i] for i in places] for of_each in (sequences.each, targets.each, weights)))

        learned, held_out = order[held:], batch(order[:held]) if held else None
        self._train(
            lambda numbers: batch(learned[numbers]), len(learned), held_out, outputs, loss, draw, sequences.each[0]
        )
        return self

    def _train(
        self,
        batch: Callable[[np.ndarray], Batch],
        count: int,
        held_out: Batch | None,
        outputs: int,
        loss: MeanLoss,
        draw: np.random.RandomState,
        like: np.ndarray,
    ) -> None:
        config = self._config(draw, held_out is not None)
        model = _network(config, like, outputs)
        size = self._default_batch if self.batch_size is None else int(self.batch_size)
        updates = Batches(model, count, batch, size, loss, self._reach, draw, held_out)
        fitted = Training(model, updates, config).run(self._tell)
        self._forget()
        self.model_, self.n_features_in_ = model, like.shape[1]
        self.loss_curve_ = [epoch.loss for epoch in fitted.epochs]
        self.validation_curve_ = [epoch.validation for epoch in fitted.epochs if epoch.validation is not None]
        self.n_iter_ = len(fitted.epochs)

    def _learn_more(self, sequences: Samples, targets: Targets, outputs: int, loss: MeanLoss) -> None:
        """Train on one more piece; with a target a step, continue from the state before it."""
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
            self.model_, self._optimizer, Clipping(self._clip), piece, loss, self._reach, before
        )
        self._carried = after if targets.per_step else None
        self.loss_curve_.append(found)
        self.n_iter_ += 1

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

    def _outputs(self, X: Any) -> tuple[list[np.ndarray], Samples]:
        """The network's outputs, (T_i, O) a sequence, each from a zero state."""
        check_is_fitted(self)
        sequences = self._read_samples(X, fresh=False)
        self._check_features(sequences)
        order = sorted(range(len(sequences.each)), key=lambda place: -len(sequences.each[place]))
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), TOGETHER):
            places = order[start : start + TOGETHER]
            chosen = [sequences.each[place] for place in places]
            batch = batch_of(chosen, [part[:1, 0] for part in chosen]).of(self._dtype)
            with torch.no_grad():
                y = batch.walked_by(self.model_)(batch.x, None)[0].numpy()
            found |= {
                place: y[: len(part), column]
                for column, (place, part) in enumerate(zip(places, chosen, strict=True))
            }
        return [found[place] for place in range(len(order))], sequences

    def _read_samples(self, X: Any, fresh: bool) -> Samples:
        """X as sequences, with the column names of `fit` unless this is a new fit."""
        sequences = read_samples(X, type(self).__name__)
        validate_data(self, sequences.named, reset=fresh, skip_check_array=True, ensure_2d=False)
        return sequences

    def _known_targets(self) -> str:
        """Targets for each step or each sequence: as fitted, or else as `targets` says."""
        per_step = getattr(self, "per_step_", None)
        return self.targets if per_step is None else ("sequence", "step")[per_step]

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


def normalised(weights: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which sequences weigh something, and the weights over their mean; all exactly 1 where they are equal."""
    all_weights = np.concatenate(weights)
    there = all_weights[all_weights > 0]
    if not len(there):
        raise ValueError("the weights of all targets are 0, which leaves nothing to train on")
    mean = there[0] if (there == there[0]).all() else there.mean()
    return np.flatnonzero([w.any() for w in weights]), [w / mean for w in weights]


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
