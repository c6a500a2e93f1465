from datetime import datetime, timedelta

import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.calendar import features, periods_of


def every(step, rows):
    return [datetime(2020, 1, 1) + i * step for i in range(rows)]


@pytest.mark.parametrize(
    ("step", "rows", "wanted"),
    [
        (timedelta(hours=1), 24 * 20, ["hour of day", "day of week"]),
        (timedelta(hours=6), 4 * 800, ["hour of day", "day of week", "day of year"]),
        (timedelta(hours=12), 60, ["day of week"]),
        (timedelta(days=1), 800, ["day of week", "day of year"]),
        (timedelta(days=1), 100, ["day of week"]),
        (timedelta(days=7), 200, ["day of year"]),
    ],
)
def test_the_periods_that_the_rows_tell_apart_and_come_to_again(step, rows, wanted):
    assert periods_of(every(step, rows), "t.csv") == wanted


def test_what_has_no_calendar():
    with pytest.raises(UserError, match="reads dates, and --time labels the rows by numbers: 1700"):
        periods_of([1700, 1701], "t.csv")
    with pytest.raises(UserError, match="finds no day, week or year"):
        periods_of(every(timedelta(days=400), 50), "t.csv")


def test_a_place_is_a_point_on_a_circle():
    noon = datetime(2024, 1, 3, 12)  # a Wednesday
    found = features([noon, noon + timedelta(days=7)], ["hour of day", "day of week", "day of year"])
    assert found.shape == (2, 6)
    assert np.allclose(np.square(found).reshape(2, 3, 2).sum(-1), 1)
    assert np.allclose(found[0, :2], [0, -1])
    assert np.allclose(found[0, 2:4], [np.sin(2 * np.pi * 2.5 / 7), np.cos(2 * np.pi * 2.5 / 7)])
    assert np.allclose(found[0, :4], found[1, :4])
    assert found[0, 4] == pytest.approx(np.sin(2 * np.pi * 2.5 / 365.2425))
