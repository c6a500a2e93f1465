"""Every estimator of bptt.sklearn in a pipeline with grid search, on real data.

    python examples/estimators.py

The classifier reads scikit-learn's handwritten digits row by row, 8 steps of 8 pixels; the regressor tells a
year's sunspot number from the 30 before it; the forecaster goes on from the end of the sunspots' record.
"""

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from bptt.sklearn import RecurrentClassifier, RecurrentForecaster, RecurrentRegressor
from bptt.training.data.tables import sunspots


def rows_of_pixels(X: np.ndarray) -> np.ndarray:
    """Images (N, 64) as sequences (N, 8, 8): a row of pixels a step."""
    return X.reshape(-1, 8, 8)


def digits(hidden=(16, 32), epochs=15) -> float:
    """Accuracy on the test set, a quarter of the digits."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    pipeline = Pipeline(
        [
            ("scale", MinMaxScaler()),
            ("rows", FunctionTransformer(rows_of_pixels)),
            ("classify", RecurrentClassifier(epochs=epochs, random_state=0)),
        ]
    )
    search = GridSearchCV(pipeline, {"classify__hidden": hidden}, cv=2).fit(X, y)
    print(f"digits: {search.best_params_}, accuracy {search.score(X_test, y_test):.3f}")
    return search.score(X_test, y_test)


def years() -> np.ndarray:
    """The yearly sunspot numbers, 1700-2008."""
    return np.ascontiguousarray(sunspots().values[:, 0])


def next_year(hidden=(8, 16), epochs=60) -> float:
    """R² of the last 60 years, each predicted from the 30 before it."""
    windows = np.lib.stride_tricks.sliding_window_view(years(), 31)
    X, y = windows[:, :-1], windows[:, -1]
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("regress", RecurrentRegressor(epochs=epochs, random_state=0))]
    )
    scaled = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    search = GridSearchCV(scaled, {"regressor__regress__hidden": hidden}, cv=TimeSeriesSplit(3))
    search.fit(X[:-60], y[:-60])
    print(f"next year: {search.best_params_}, R² {search.score(X[-60:], y[-60:]):.3f}")
    return search.score(X[-60:], y[-60:])


def forecast(lags=(4, 12), epochs=100) -> np.ndarray:
    """The 11 years after the record's end."""
    y = years()[:, None]
    forecaster = RecurrentForecaster(range(1, 12), epochs=epochs)
    pipeline = Pipeline([("root", FunctionTransformer(np.sqrt, np.square)), ("forecast", forecaster)])
    search = GridSearchCV(pipeline, {"forecast__lags": lags}, cv=TimeSeriesSplit(3)).fit(y[:-60])
    print(f"forecast: {search.best_params_}, R² 1 to 11 years ahead {search.score(y[-60:]):.3f}")
    best = search.best_estimator_.fit(y)
    coming = best[:-1].inverse_transform(best[-1].predict())[:, 0]
    print("2009-2019:", *coming.round().astype(int))
    return coming


if __name__ == "__main__":
    torch.set_num_threads(1)  # networks this small gain nothing from a second
    digits()
    next_year()
    forecast()
