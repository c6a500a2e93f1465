"""RecurrentForecaster forecasts a series by the recipe of `bptt train`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import UserError
from ..runs.train import options_from, train
from ..training.data.frames import IN_MEMORY, named_frame
from ..training.options.base import TrainOptions
from ..training.options.choosing import as_keywords
from ..training.options.forecast import ForecastOptions
from ..training.tasks.forecast import MINIMUM_TARGETS
from .arrays import as_array_like
from .base import unchanged_by_errors
from .run_estimator import RunEstimator


@dataclass(eq=False, repr=False)
class RecurrentForecaster(RunEstimator):
    """A forecast of one or several series by `bptt.train`: a linear part, and a network on what it leaves.

    With the same table and options it gives the numbers of `bptt train`, to the last digit.

    Args:
        horizon: how many steps ahead to forecast; several are forecast together. Default 1.
        cell, hidden, layers, epochs, lr, lags, season, linear, missing, time, validation: options of `bptt train`,
            None for their defaults. `time` names a column of y or X with dates. Default None.
        test: share of the steps, the last ones, that are not trained on and of which `run_.metrics` has scores;
            None for the last step alone. Default None.
        options: further options of `bptt.train` by name, such as {"patience": 20}. Default None.
        random_state: the seed; None, or a numpy RandomState, to draw one. Default 0.
        verbose: whether to print the progress and the scores. Default False.

    y is (n_steps,), or (n_steps, n_outputs) for several series, an array or a frame; X has further columns,
    (n_steps, n_inputs), which are read up to the step that forecasts: shift those that are known beforehand.
    It stands in a pipeline behind transformers of y: `pipeline.fit(y)`, `pipeline.score(later_y)`; forecasts are
    then `pipeline[:-1].inverse_transform(pipeline[-1].predict())`.

    Attributes:
        run_: the `bptt.Run`, with intervals (`run_.predict`), metrics, diagnosis and export.
        model_, loss_curve_, n_iter_: its model, the training loss of each epoch, and their number.
        n_features_in_: columns of y.
        feature_names_in_: the columns of y, where it has text for names: frames.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, y and X that cannot be used; the message says why.

    >>> y = np.sin(np.arange(80) / 3)
    >>> forecaster = RecurrentForecaster(horizon=[1, 2, 3], epochs=20).fit(y)
    >>> forecaster.predict().shape, forecaster.score(np.sin(np.arange(80, 100) / 3)) > 0.9
    ((3,), True)
    """

    horizon: Any = None
    _: KW_ONLY
    cell: str | None = None
    lags: int | None = None
    season: int | None = None
    linear: bool | None = None
    missing: str | None = None
    time: str | None = None
    test: float | None = None

    @unchanged_by_errors
    def fit(self, y: Any, X: Any = None) -> Self:
        """Train on a series.

        Args:
            y, X: as the class says.
        """
        validate_data(self, y, reset=True, skip_check_array=True, ensure_2d=False)
        targets, inputs = self._read(y, "y"), None if X is None else self._read(X, "X")
        table = _beside(targets, inputs, self.time)
        names = [name for name in targets.columns if name != self.time]
        choices = {"target": names} | self._choices("test")
        if inputs is not None:
            choices["input"] = [name for name in inputs.columns if name != self.time] or None
        try:
            if self.test is None:
                _check_steps(len(table), options_from(Path(IN_MEMORY), choices))
            test = 1 / len(table) if self.test is None else self.test
            run = train(table, verbose=self.verbose, **{"test": test, **choices})
        except UserError as error:
            raise ValueError(as_keywords(str(error))) from error
        self._keep(run, len(names))
        self._table, self._single = table, np.ndim(y) == 1
        return self

    def predict(self, y: Any = None, X: Any = None) -> np.ndarray:
        """Forecast the steps that come.

        Args:
            y, X: the steps that follow those of `fit` and are known by now. Default none.

        Returns:
            (n_horizons,), or (n_horizons, n_outputs) where y of `fit` had columns: the steps `horizon` after the
            last one.
        """
        forecast, _ = self._forecasts(y, X)
        found = forecast[:, :, -1].T
        return found[:, 0] if self._single else found

    def score(self, y: Any, X: Any = None) -> float:
        """R² of the forecasts of the steps that follow those of `fit`, the mean of all outputs and horizons.

        Each is made from all steps up to `horizon` before it.

        Args:
            y, X: those steps; at least 2.
        """
        forecast, truth = self._forecasts(y, X)
        later = forecast.shape[2] + self.run_.lags[-1] - len(self._table)
        scores = []
        for number, ahead in enumerate(self.run_.forecast_options.horizons):
            pairs = zip(truth[:, number], forecast[:, number], strict=True)
            for own, found in pairs:
                own, found = (part[-ahead - later : -ahead] for part in (own, found))
                there = ~np.isnan(own)
                scores.append(r2_score(own[there], found[there]))
        return float(np.mean(scores))

    def _forecasts(self, y: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts and truth, NaN beyond the end, (n_outputs, n_horizons, T), from each step with its lags."""
        check_is_fitted(self)
        if y is None and X is not None:
            raise ValueError("X was given without y; pass both, with one row of each for every later step")
        table = self._table
        if y is not None:
            validate_data(self, y, reset=False, skip_check_array=True, ensure_2d=False)
            inputs = None if X is None else self._read(X, "X")
            later = _beside(self._read(y, "y"), inputs, self.time)
            if (lacking := [name for name in table.columns if name not in later.columns]) or (
                later.width > table.width
            ):
                raise ValueError(
                    f"y and X have the columns {later.columns}, but {type(self).__name__} was fitted with "
                    f"{table.columns}{f': {lacking} are missing' if lacking else ''}"
                )
            table = pl.concat([table, later.select(table.columns)], how="vertical_relaxed")
        try:
            found = self.run_.predict(table, missing=self.run_.forecast_options.missing)
        except UserError as error:
            raise ValueError(as_keywords(str(error))) from error
        shape = self.n_features_in_, len(self.run_.forecast_options.horizons), -1
        forecast, truth = (
            found[name].cast(pl.Float64).to_numpy().reshape(shape) for name in ("forecast", "truth")
        )
        return forecast, truth

    def _read(self, values: Any, name: str) -> pl.DataFrame:
        """y or X as a table; columns without names are called y, or y1, y2 and so on."""
        try:
            if hasattr(values, "columns"):
                frame, own = named_frame(values).frame, {self.time, *map(str, values.columns)}
                return frame.select(name for name in frame.columns if name in own)  # without another index
            rows = np.asarray(as_array_like(values, name))
            if rows.ndim not in (1, 2):
                raise ValueError(f"{name} must be a series, (n_steps,) or (n_steps, n_columns), got {rows.shape}")
            rows = rows[:, None] if rows.ndim == 1 else rows
            names = [name] if rows.shape[1] == 1 else [f"{name}{place + 1}" for place in range(rows.shape[1])]
            return named_frame(rows, names).frame
        except UserError as error:
            raise ValueError(f"{name}: {error}") from error


def _check_steps(steps: int, options: TrainOptions) -> None:
    """Refuse fewer steps than a forecast needs, the last of which is left for the scores."""
    assert isinstance(options, ForecastOptions)
    options.check()
    lags, farthest = options.lags or 2, max(options.horizons)
    if steps < (needed := lags - 1 + farthest + MINIMUM_TARGETS + 1):
        raise UserError(
            f"y has {steps} step{'' if steps == 1 else 's'}; with lags={lags} and horizon={farthest} at least "
            f"{needed} are needed"
        )


def _beside(targets: pl.DataFrame, inputs: pl.DataFrame | None, time: str | None) -> pl.DataFrame:
    """One table of y and X; the column of times may stand in both."""
    if inputs is None:
        return targets
    if len(inputs) != len(targets):
        raise ValueError(f"X has {len(inputs)} steps, but {len(targets)} are needed, one for each of y")
    if time in targets.columns and time in inputs.columns:
        inputs = inputs.drop(time)
    if both := [name for name in inputs.columns if name in targets.columns]:
        raise ValueError(f"y and X both have the columns {both}; name them differently")
    return targets.hstack(inputs)
