import numpy as np
import pytest

from bptt.training.data.gaps import carried_on
from bptt.training.data.scaling import Moments
from bptt.training.tasks.baselines import Autoregression, Ridge, persistence
from bptt.training.tasks.pieces import Steps
from bptt.training.tasks.seasons import ar_order

PIECES = (1000, 7)  # rows of a piece: the table as a whole, and many


def pieces(values, first, ahead, rows=1000, stop=None):
    """The steps from row `first` on."""
    padded = np.r_[values, np.full(ahead, np.nan)][:, None]
    for row in range(first, stop or len(values), rows):
        steps = min(rows, (stop or len(values)) - row)
        yield Steps(row, steps, first, padded[row - first : row + steps + ahead], last(values[: row - first]))


def last(values):
    """The last value that is there, (1)."""
    there = values[~np.isnan(values)]
    return there[-1:] if len(there) else np.full(1, np.nan)


def repeated(values, ahead, season=1):
    """Persistence by target row, (N + ahead)."""
    (piece,) = pieces(values, 0, ahead)
    found = persistence(piece, 0, -(-ahead // season) * season - ahead)
    return np.r_[np.full(ahead, np.nan), found]


def regressed(kind, values, ahead, train_rows, order, rows=1000):
    """A regression by target row, (N + ahead), fitted in pieces of so many rows."""
    fitted = kind(Moments.of(values[:train_rows, None]), 0, ahead, order, train_rows)
    for piece in pieces(values, order - 1, ahead, rows, train_rows):
        fitted.add(piece)
    fitted.fit()
    (whole,) = pieces(values, order - 1, ahead, len(values))
    return np.r_[np.full(order - 1 + ahead, np.nan), fitted(whole)]


def test_persistence_repeats_the_last_row():
    assert repeated(np.array([1.0, 2.0, 3.0]), 2).tolist()[2:] == [1, 2, 3]
    assert np.isnan(repeated(np.array([1.0, 2.0, 3.0]), 2)[:2]).all()


@pytest.mark.parametrize("horizon", [1, 3, 4, 5, 9])
def test_seasonal_persistence_is_exact_on_what_comes_again_and_looks_at_no_later_row(horizon):
    values = np.tile([3.0, 1.0, 4.0, 1.5], 10)
    found = repeated(values, horizon, 4)
    back = -(-horizon // 4) * 4
    assert len(found) == len(values) + horizon
    assert found[back:].tolist() == np.tile([3.0, 1.0, 4.0, 1.5], 20)[: len(found) - back].tolist()
    changed = values.copy()
    changed[30 - horizon + 1 :] = 99
    assert repeated(changed, horizon, 4)[30] == found[30]


def test_gaps_are_filled_by_what_was_before():
    values = np.array([np.nan, 1.0, np.nan, np.nan, 2.0])
    assert carried_on(values).tolist() == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("rows", PIECES)
def test_an_autoregression_finds_its_own_kind(rows):
    values = np.empty(200)
    values[:2] = 1, 2
    for i in range(2, 200):
        values[i] = 1 + 0.5 * values[i - 1] - 0.8 * values[i - 2]
    values[50:] += np.random.default_rng(0).normal(0, 1e-9, 150)
    found = regressed(Autoregression, values, 1, 150, 2, rows)
    assert np.allclose(found[2:40], values[2:40], atol=1e-6)
    gappy = values.copy()
    gappy[60] = np.nan
    assert np.isfinite(regressed(Autoregression, gappy, 1, 150, 2, rows)[2:]).all()
    assert (ar_order(1000, 1), ar_order(41, 1), ar_order(5, 1)) == (9, 3, 1)


@pytest.mark.parametrize(
    "values",
    [np.ones(4000), np.arange(4000.0), np.r_[np.random.default_rng(0).normal(size=100), np.zeros(3900)]],
    ids=["constant", "line", "constant after a while"],
)
def test_a_series_without_any_error_is_forecast_so(values):
    found = regressed(Ridge, values, 1, 3800, 9, 5000)
    assert np.abs(found[3800:4000] - values[3800:]).max() < 1e-3


def test_a_trend_is_followed_beyond_the_training_rows():
    rows = np.arange(300.0)
    values = 5 + 0.3 * rows + np.sin(rows / 2) + np.random.default_rng(0).normal(0, 0.05, 300)
    found = regressed(Ridge, values, 3, 200, 12)
    assert np.isnan(found[:14]).all()
    assert np.abs(found[200:300] - values[200:]).mean() < 0.15


def test_ridge_reads_no_later_row_and_learns_from_no_test_row():
    values = np.random.default_rng(0).normal(size=120).cumsum()
    changed = values.copy()
    changed[100:] += 50
    one, two = (regressed(Ridge, own, 2, 90, 5) for own in (values, changed))
    assert np.allclose(one[:102], two[:102], equal_nan=True)
    assert one[102] != two[102]
