import datetime
import pickle

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bptt
from bptt.sklearn import RecurrentForecaster

Y = 50 + 20 * np.sin(np.arange(120) / 3) + np.random.RandomState(0).randn(120)
QUICK = {"hidden": 4, "epochs": 2}

pytestmark = pytest.mark.filterwarnings(
    "ignore:The gradient:UserWarning", "ignore:epoch 1. The gradient:UserWarning"
)


def ends(frame, horizons):
    """The forecasts from the last row."""
    return [frame.filter(pl.col("horizon") == ahead)["forecast"][-1] for ahead in horizons]


@pytest.mark.parametrize("choices", [{}, {"cell": "elman", "linear": False, "seed": 3, "patience": 1}])
def test_it_gives_the_numbers_of_train_to_the_last_digit(choices):
    frame = pl.DataFrame({"y": Y, "a": Y[::-1]})
    horizons = [1, 4]
    run = bptt.train(frame, target="y", input="a", horizon=horizons, test=0.25, **QUICK, **choices)
    seed = choices.pop("seed", 0)
    forecaster = RecurrentForecaster(horizons, test=0.25, random_state=seed, options=choices, **QUICK)
    forecaster.fit(frame["y"], frame.select("a"))
    assert forecaster.run_.losses == run.losses == forecaster.loss_curve_
    ours, theirs = ({**made.metrics[-1], "seconds": 0} for made in (forecaster.run_, run))
    assert ours == theirs
    assert forecaster.predict().tolist() == ends(run.predict(frame), horizons)


def test_it_learns_all_steps_but_the_last_and_goes_on_from_later_ones():
    forecaster = RecurrentForecaster([1, 2, 3], **QUICK).fit(Y[:100])
    assert forecaster.run_.task.train_rows == 99
    assert np.abs(forecaster.predict() - Y[100:103]).max() < 8
    assert forecaster.score(Y[100:]) > 0.9
    run = bptt.train({"y": Y[:100]}, target="y", horizon=[1, 2, 3], test=0.01, **QUICK)
    assert forecaster.predict(Y[100:110]).tolist() == ends(run.predict({"y": Y[:110]}), [1, 2, 3])


def test_the_score_is_of_the_forecasts_of_the_later_steps():
    forecaster = RecurrentForecaster(3, **QUICK).fit(Y[:100])
    found = forecaster.run_.predict({"y": Y})[-23:-3]
    left = found["truth"] - found["forecast"]
    assert found["truth"].to_list() == Y[100:].tolist()
    assert forecaster.score(Y[100:]) == pytest.approx(1 - left.pow(2).sum() / (20 * Y[100:].var()))


def test_several_series_and_inputs_with_dates():
    day = [datetime.date(2020, 1, 1) + datetime.timedelta(days) for days in range(120)]
    frame = pl.DataFrame({"day": day, "a": Y, "b": -Y})
    X = pl.DataFrame({"day": day, "c": Y[::-1]})
    forecaster = RecurrentForecaster([1, 7], time="day", **QUICK).fit(frame[:100], X[:100])
    assert forecaster.run_.columns == ["a", "b", "c"]
    assert forecaster.run_.calendar
    assert forecaster.n_features_in_ == 2
    assert forecaster.predict().shape == (2, 2)
    assert forecaster.score(frame[100:], X[100:]) > 0.8
    with pytest.raises(ValueError, match=r"fitted with \['day', 'a', 'b', 'c'\]: \['c'\] are missing"):
        forecaster.predict(frame[100:])
    with pytest.raises(ValueError, match="X has 5 steps, but 20 are needed, one for each of y"):
        forecaster.predict(frame[100:], X[:5])
    with pytest.raises(ValueError, match=r"y and X both have the columns \['a'\]"):
        forecaster.fit(frame, frame.select("a"))


def test_missing_values_are_masked_where_asked():
    gap = np.where(np.arange(120) % 10 == 3, np.nan, Y)
    with pytest.raises(ValueError, match="column 'y'"):
        RecurrentForecaster(**QUICK).fit(gap)
    forecaster = RecurrentForecaster(missing="mask", **QUICK).fit(gap[:100])
    assert np.isfinite(forecaster.predict())
    assert np.isfinite(forecaster.score(gap[100:]))


def test_a_clone_fits_to_the_same_numbers_and_a_pickle_predicts_them():
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = RecurrentForecaster(cell="lstm", random_state=3, **QUICK).fit(Y)
    again = clone(first).fit(Y)
    assert first.predict() == again.predict() == pickle.loads(pickle.dumps(first)).predict()
    assert first.loss_curve_ == again.loss_curve_
    assert first.n_iter_ == 2
    for other in (4, None):
        assert clone(first).set_params(random_state=other).fit(Y).loss_curve_ != first.loss_curve_
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_it_stands_behind_a_scaler_in_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), RecurrentForecaster(**QUICK))
    grid = {"recurrentforecaster__cell": ["elman"]}
    search = GridSearchCV(pipeline, grid, cv=TimeSeriesSplit(2), error_score="raise").fit(Y[:, None])
    best = search.best_estimator_
    assert best[:-1].inverse_transform(best[-1].predict()).shape == (1, 1)


def test_any_layout_of_a_series_is_read():
    wanted = RecurrentForecaster(**QUICK).fit(Y)
    for same in (Y[::-1].astype(">f8").copy()[::-1], Y.tolist(), pl.Series(Y)):
        assert RecurrentForecaster(**QUICK).fit(same).predict() == wanted.predict()


@pytest.mark.parametrize(
    ("choices", "y", "words"),
    [
        ({}, [1.0, 2.0, 3.0], "^y has 3 steps; with lags=2 and horizon=1 at least 13 are needed"),
        (
            {"missing": "mask", "options": {"reach": "full", "memory": "1MB"}},
            Y,
            "^memory bounds reach='checkpointed'",
        ),
        ({"cell": "rnn"}, Y, "cell"),
        ({"hidden": 0}, Y, "^hidden must be at least 1, got 0"),
        ({"horizon": 0}, Y, "^horizon must be at least 1"),
        ({}, None, "y is None"),
        ({}, Y[:, None, None], r"y must be a series, \(n_steps,\) or"),
        ({"test": 2.0}, Y, "^test must be between 0 and 1"),
    ],
)
def test_values_that_cannot_be_used_are_refused(choices, y, words):
    with pytest.raises(ValueError, match=words):
        RecurrentForecaster(**QUICK | choices).fit(y)
    with pytest.raises(TypeError, match="no option 'pace'"):
        RecurrentForecaster(options={"pace": 1}).fit(Y)


@pytest.mark.parametrize("missing", ["interpolate", "mask"])
def test_later_gaps_are_filled_as_those_of_fit(missing):
    gaps = np.where(np.arange(100) % 9 == 4, np.nan, Y[:100])
    forecaster = RecurrentForecaster(missing=missing, **QUICK).fit(gaps)
    assert np.isfinite(forecaster.predict([Y[100], np.nan])).all()
    with pytest.raises(ValueError, match="fill them, or pass missing='interpolate'"):
        clone(forecaster).set_params(missing=None).fit(gaps)


def test_later_inputs_without_the_series_are_refused():
    forecaster = RecurrentForecaster(**QUICK).fit(Y, Y[::-1])
    with pytest.raises(ValueError, match="X was given without y; pass both"):
        forecaster.predict(X=Y[:3])


def test_columns_are_known_by_their_names():
    frame = pl.DataFrame({"a": Y, "b": -Y})
    forecaster = RecurrentForecaster(**QUICK).fit(frame)
    assert forecaster.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        forecaster.score(frame.select("b", "a"))
    with pytest.raises(ValueError, match="column 'b' has 1 missing"):
        forecaster.fit(frame.rename({"a": "c"}).with_columns(b=np.where(np.arange(120) == 7, np.nan, Y)))
    assert forecaster.feature_names_in_.tolist() == ["a", "b"]
