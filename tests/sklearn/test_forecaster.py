import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bptt.sklearn import RecurrentForecaster

Y = 50 + 20 * np.sin(np.arange(120) / 3)


def test_a_forecast_goes_on_from_where_the_series_ends():
    forecaster = RecurrentForecaster(hidden=8, epochs=150, lr=0.02, random_state=0).fit(Y[:100])
    assert np.abs(forecaster.predict(6) - Y[100:106]).max() < 5
    np.testing.assert_array_equal(forecaster.predict(6)[:3], forecaster.predict(3))
    assert forecaster.score(Y[100:]) > 0.95


def test_inputs_known_beforehand_are_read():
    X = np.random.RandomState(0).randn(200, 1)
    y = 3 * X[:, 0]
    forecaster = RecurrentForecaster(hidden=8, epochs=100, lr=0.02, random_state=0).fit(y[:180], X[:180])
    assert forecaster.score(y[180:], X[180:]) > 0.9
    assert np.abs(forecaster.predict(20, X[180:]) - y[180:]).mean() < 1
    with pytest.raises(ValueError, match="X has 0 columns"):
        forecaster.predict(3)
    with pytest.raises(ValueError, match="X has 20 steps, but 3 are needed"):
        forecaster.predict(3, X[180:])


def test_partial_fit_goes_on():
    y = np.column_stack([Y, -Y])
    forecaster = RecurrentForecaster(hidden=8, k1=5, k2=10, lr=0.02, random_state=0)
    for start in range(0, 120, 20):
        forecaster.partial_fit(y[start : start + 20])
    assert forecaster.predict(4).shape == (4, 2)
    assert forecaster.loss_curve_[-1] < forecaster.loss_curve_[0] / 2
    fitted = RecurrentForecaster(hidden=8, epochs=30, lr=0.02, random_state=0).fit(y[:100])
    before = fitted.predict(1)
    assert not np.array_equal(fitted.partial_fit(y[100:]).predict(1), before)


def test_it_stands_behind_a_scaler_in_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), RecurrentForecaster(epochs=10, random_state=0))
    search = GridSearchCV(
        pipeline, {"recurrentforecaster__hidden": [2, 6]}, cv=TimeSeriesSplit(2), error_score="raise"
    ).fit(Y[:, None])
    best = search.best_estimator_
    assert best[:-1].inverse_transform(best[-1].predict(3)).shape == (3, 1)


def test_a_validation_part_chooses_the_epoch():
    forecaster = RecurrentForecaster(hidden=4, epochs=5, validation_fraction=0.2, batch_size=4, random_state=0)
    assert len(forecaster.fit(Y).validation_curve_) == 5
    with pytest.raises(ValueError, match="stretches without a step"):
        forecaster.set_params(batch_size=200).fit(Y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0])
def test_a_series_that_stands_still_is_forecast_as_it_stands(dtype, value):
    forecaster = RecurrentForecaster(hidden=4, epochs=20, random_state=0)
    still = np.full(40, value, dtype)
    forecast = forecaster.fit(still, still[:, None]).predict(3, still[:3, None])
    assert forecast.dtype == dtype
    assert np.abs(forecast - still[:3]).max() < 0.5


def test_values_that_cannot_be_squared_are_refused():
    forecaster = RecurrentForecaster(hidden=4, epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"y holds 1e\+155, beyond 1e100"):
        forecaster.fit(np.append(Y, 1e155))
    with pytest.raises(ValueError, match=r"X holds .* beyond 1e100"):
        forecaster.fit(Y, np.append(Y[1:], -1e155)[:, None])
    forecaster.fit(Y.astype(np.float32) * np.float32(1e30))
    assert np.isfinite(forecaster.predict(2)).all()
    with pytest.raises(ValueError, match=r"y holds 1e\+90, more than 1e\+15 standard deviations"):
        RecurrentForecaster(epochs=1).fit(Y).score([50.0, 1e90])


def test_a_small_variation_on_a_large_level_is_learned():
    forecaster = RecurrentForecaster(hidden=8, epochs=150, lr=0.02, random_state=0).fit(1e9 + 1e-3 * Y[:100])
    assert forecaster.score(1e9 + 1e-3 * Y[100:]) > 0.95


def test_a_step_that_weighs_nothing_is_read_and_not_learned():
    def fitted(sample_weight):
        return RecurrentForecaster(hidden=4, epochs=3, random_state=0).fit(Y, sample_weight=sample_weight)

    weights, late = np.ones(120), np.r_[np.ones(119), 0]
    weights[40] = 0
    assert fitted(None).loss_curve_ == fitted(3.0).loss_curve_ != fitted(weights).loss_curve_
    wrong = np.r_[Y[:-1], 700]  # its last step is read by none
    assert fitted(None).score(wrong, sample_weight=late) == pytest.approx(fitted(None).score(Y[:-1]))
    with pytest.raises(ValueError, match="the last 24 steps, which are for validation"):
        RecurrentForecaster(validation_fraction=0.2).fit(Y, sample_weight=np.arange(120) < 90)
    piece = RecurrentForecaster(hidden=4, random_state=0).partial_fit(Y, sample_weight=weights)
    assert piece.loss_curve_ != RecurrentForecaster(hidden=4, random_state=0).partial_fit(Y).loss_curve_


def test_columns_are_known_by_their_names():
    frame = pl.DataFrame({"a": Y, "b": -Y})
    forecaster = RecurrentForecaster(hidden=4, epochs=2, random_state=0).fit(frame, frame.rename({"a": "c"}))
    assert forecaster.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        forecaster.score(frame.select("b", "a"), frame.rename({"a": "c"}))
    with pytest.raises(ValueError, match=r"X has the columns \['b', 'c'\], but it was fitted with \['c', 'b'\]"):
        forecaster.predict(120, frame.select(pl.col("b"), pl.col("a").alias("c")))


def test_any_layout_of_a_series_is_read():
    wanted = RecurrentForecaster(hidden=4, epochs=2, random_state=0).fit(Y)
    for same in (Y[::-1].copy()[::-1], Y.astype(">f8"), np.repeat(Y, 2)[::2], Y.tolist(), pl.Series(Y)):
        found = RecurrentForecaster(hidden=4, epochs=2, random_state=0).fit(same)
        np.testing.assert_array_equal(found.predict(3), wanted.predict(3))
    with pytest.raises(ValueError, match="y has NaN at step 3, column 1"):
        wanted.fit(np.where(np.arange(8) == 2, np.nan, 1)[:, None])


def test_inputs_of_another_width_are_refused_by_predict():
    forecaster = RecurrentForecaster(hidden=4, epochs=2, random_state=0).fit(Y, np.stack([Y, -Y], 1))
    with pytest.raises(ValueError, match="X has 1 columns, but RecurrentForecaster was fitted with 2"):
        forecaster.predict(3, np.ones((3, 1)))
    with pytest.raises(ValueError, match="X has 0 columns, but RecurrentForecaster was fitted with 2"):
        forecaster.predict(3)


def test_a_fit_that_fails_leaves_the_names_as_they_were():
    frame = pl.DataFrame({"a": Y, "b": -Y})
    forecaster = RecurrentForecaster(hidden=4, epochs=2, random_state=0).fit(Y, frame)
    with pytest.raises(ValueError, match="X has 5 steps"):
        forecaster.fit(Y, frame.select("b", "a")[:5])
    with pytest.raises(ValueError, match=r"X has the columns \['b', 'a'\]"):
        forecaster.predict(3, frame.select("b", "a")[:3])
