"""RecurrentForecaster predicts the next steps of a series."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, check_scalar, validate_data
from torch import Tensor
from torch.nn.functional import mse_loss

from ..training import updates
from ..training.data.scaling import FARTHEST, Moments, Scaling
from ..trees import Tree
from .arrays import check_numbers
from .base import Goal, RecurrentEstimator, unchanged_by_errors
from .batch import Batch
from .learning import Carried
from .samples import Samples
from .targets import Targets, normalised, read_weights


class RecurrentForecaster(RecurrentEstimator):
    """A recurrent network that forecasts a series from its own past, and from inputs known beforehand.

    At each step it reads y_t and X_{t+1} and predicts y_{t+1}; a forecast continues from its own outputs. y and X
    are standardised inside, by the training steps.

    Args:
        batch_size: stretches the series is cut into, which are walked side by side. Default 1.
        validation_fraction: share of the steps, the last ones, kept as a validation set, which chooses the
            best epoch.

    The other arguments are those of `RecurrentRegressor`.

    y is (n_steps,), or (n_steps, n_outputs) for several series together; X is (n_steps, n_inputs), or None.
    sample_weight is (n_steps,), at least 0: the weights of the steps' errors; a step of weight 0 is still read.
    It stands in a pipeline behind transformers of y: `pipeline.fit(y)`, `pipeline.score(later_y)`; forecasts are
    then `pipeline[:-1].inverse_transform(pipeline[-1].predict(horizon))`.

    Attributes:
        n_features_in_: columns of y.
        feature_names_in_: the columns of y, where it has text for names: frames.
        model_, loss_curve_, validation_curve_, n_iter_: as `RecurrentRegressor`.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, y and X that cannot be used; the message says why.

    >>> y = np.sin(np.arange(80) / 3)
    >>> forecaster = RecurrentForecaster(hidden=8, epochs=100, lr=0.02, random_state=0).fit(y)
    >>> forecaster.predict(5).shape, forecaster.score(np.sin(np.arange(80, 100) / 3)) > 0.9
    ((5,), True)
    """

    _default_batch = 1

    @unchanged_by_errors
    def fit(self, y: Any, X: Any = None, sample_weight: Any = None) -> Self:
        """Train a new network on a series.

        Args:
            y, X, sample_weight: as the class says; at least 3 steps.
        """
        self._check_parameters()
        columns, inputs = self._read(y, X, least=3, fresh=True)
        held = round(float(self.validation_fraction) * (len(columns) - 1))
        learned, stretches = len(columns) - 1 - held, self.batch_size or 1
        if learned < stretches:
            raise ValueError(
                f"{len(columns)} steps with validation_fraction={self.validation_fraction} leave "
                f"{max(learned, 0)} to learn from, which batch_size={stretches} cuts into stretches without a step"
            )
        y_scale, X_scale = Moments.of(columns[: learned + 1]).scaling, Moments.of(inputs[: learned + 1]).scaling
        scaled, beside = _standardised(columns, y_scale, "y"), _standardised(inputs, X_scale, "X")
        x, d = (torch.tensor(part) for part in (np.hstack([scaled[:-1], beside[1:]]), scaled[1:]))
        cut_x, cut_d = (updates.side_by_side(part[:learned], int(stretches)) for part in (x, d))
        weights = read_weights(sample_weight, len(columns))[1:]
        _, (weights[:learned],) = normalised([weights[:learned]])
        weight = torch.tensor(weights, dtype=x.dtype)[:, None]
        batch = Batch(cut_x, cut_d, updates.side_by_side(weight[:learned], int(stretches))[..., 0])
        late = weight * (torch.arange(len(x))[:, None] >= learned)
        if held and not late.any():
            raise ValueError(f"sample_weight is zero for all of the last {held} steps, which are for validation")
        held_out = Batch(x[:, None], d[:, None], late) if held else None
        goal = Goal(Targets([scaled], True, True, [weights]), d.shape[1], mse_loss, {})
        self._train(lambda _: batch, 1, held_out, goal, self._draw(), x.numpy())
        self._y_scale, self._X_scale, self._single = y_scale, X_scale, np.ndim(y) == 1
        self.n_features_in_ = columns.shape[1]
        self._state, self._last = self._follow(x, None)[1], scaled[-1:]
        self._carried = Carried(Batch(x[:0, None], d[:0, None], weight[:0]), self._state)
        return self

    @unchanged_by_errors
    def partial_fit(self, y: Any, X: Any = None, sample_weight: Any = None) -> Self:
        """Train on the steps that follow, by one pass of truncated BPTT; the scale of the first call is kept.

        The state is carried from piece to piece, and an error goes back over k2 steps, into pieces before as well.

        Args:
            y, X, sample_weight: as the class says; at the first call at least 3 steps.
        """
        self._check_parameters()
        new = not hasattr(self, "model_")
        columns, inputs = self._read(y, X, least=3 if new else 1, fresh=new)
        weights = read_weights(sample_weight, len(columns))[int(new) :]
        if new:
            self._y_scale, self._X_scale = Moments.of(columns).scaling, Moments.of(inputs).scaling
            self._single, self._state = np.ndim(y) == 1, None
        else:
            self._check_columns(columns, inputs)
        scaled, beside = _standardised(columns, self._y_scale, "y"), _standardised(inputs, self._X_scale, "X")
        if new:
            self._last, scaled, beside = scaled[:1], scaled[1:], beside[1:]
        x = np.hstack([np.concatenate([self._last, scaled[:-1]]), beside])
        targets = Targets([scaled], True, True, [weights])
        self._learn_more(Samples([x], False), Goal(targets, scaled.shape[1], mse_loss, {}))
        self.n_features_in_ = scaled.shape[1]
        self._state, self._last = self._follow(torch.tensor(x), self._state)[1], scaled[-1:]
        return self

    def predict(self, horizon: int = 1, X: Any = None) -> np.ndarray:
        """Forecast the steps after the training steps.

        Args:
            horizon: how many. Default 1.
            X: (horizon, n_inputs), the inputs of those steps, where it was fitted with some. Default None.

        Returns:
            (horizon,), or (horizon, n_outputs) where y had columns.
        """
        check_is_fitted(self)
        check_scalar(horizon, "horizon", Integral, min_val=1)
        inputs = self._inputs(X, int(horizon), self._last.dtype, fresh=False)
        self._check_columns(self._last, inputs)
        beside = _standardised(inputs, self._X_scale, "X")
        y, state, found = self._last, self._state, []
        for step in range(int(horizon)):
            outputs, state = self._follow(torch.tensor(np.hstack([y, beside[step : step + 1]])), state)
            y = outputs.numpy()
            found.append(y[0])
        forecast = _restored(np.stack(found), self._y_scale)
        return forecast[:, 0] if self._single else forecast

    def score(self, y: Any, X: Any = None, sample_weight: Any = None) -> float:
        """R² of one-step forecasts of the steps after the training steps, each given all steps before it.

        Args:
            y: (n_steps,) or (n_steps, n_outputs), the steps that follow the training steps; at least 2.
            X: (n_steps, n_inputs) of them, where it was fitted with some. Default None.
            sample_weight: (n_steps,) of each step. Default the same for all.
        """
        check_is_fitted(self)
        columns, inputs = self._read(y, X, least=2, fresh=False)
        weights = None if sample_weight is None else read_weights(sample_weight, len(columns))
        self._check_columns(columns, inputs)
        before = np.concatenate([self._last, _standardised(columns, self._y_scale, "y")[:-1]])
        found, _ = self._follow(
            torch.tensor(np.hstack([before, _standardised(inputs, self._X_scale, "X")])), self._state
        )
        return float(r2_score(columns, _restored(found.numpy(), self._y_scale), sample_weight=weights))

    def _follow(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        """Outputs (T, O) for steps (T, I), and the state after them."""
        with torch.no_grad():
            y, state = self.model_(x[:, None].to(self._dtype), state)
        return y[:, 0], state

    def _check_columns(self, columns: np.ndarray, inputs: np.ndarray) -> None:
        for name, found, scale in (("y", columns, self._y_scale), ("X", inputs, self._X_scale)):
            if found.shape[1] != len(scale.mean):
                raise ValueError(
                    f"{name} has {found.shape[1]} columns, but {type(self).__name__} "
                    f"was fitted with {len(scale.mean)}"
                )

    def _read(self, y: Any, X: Any, least: int, fresh: bool) -> tuple[np.ndarray, np.ndarray]:
        """y as (T, O) and X as (T, I), I = 0 for None; their columns named as before unless it starts afresh."""
        if y is None:
            raise ValueError("y must be a series, (n_steps,) or (n_steps, n_outputs), got None")
        validate_data(self, y, reset=fresh, skip_check_array=True, ensure_2d=False)
        columns = check_numbers(y, "y", ("step", "column"), ensure_2d=False, ensure_min_samples=least)
        columns = columns[:, None] if columns.ndim == 1 else columns
        return columns, self._inputs(X, len(columns), columns.dtype, fresh)

    def _inputs(self, X: Any, steps: int, dtype: np.dtype, fresh: bool) -> np.ndarray:
        names = list(X.columns) if hasattr(X, "columns") else None
        if fresh:
            self._input_names = names
        elif None not in (names, self._input_names) and names != self._input_names:
            raise ValueError(
                f"X has the columns {names}, but it was fitted with {self._input_names}, in this order"
            )
        if X is None:
            return np.zeros((steps, 0), dtype)
        inputs = check_numbers(X, "X", ("step", "column"), dtype=dtype)
        if len(inputs) != steps:
            raise ValueError(f"X has {len(inputs)} steps, but {steps} are needed, one for each of y")
        return inputs


def _standardised(columns: np.ndarray, scaling: Scaling, name: str) -> np.ndarray:
    """Columns standardised, in their own dtype; a ValueError that begins with `name` if one is too far off."""
    scaled = scaling.apply(columns)
    if (far := np.abs(scaled) > FARTHEST).any():
        raise ValueError(
            f"{name} holds {columns[far][0]:g}, more than {FARTHEST:g} standard deviations from the mean of "
            "the training steps; correct the value"
        )
    return scaled.astype(columns.dtype)


def _restored(columns: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Standardised columns in their own units and dtype."""
    return (columns * scaling.std + scaling.mean).astype(columns.dtype)
