from datetime import datetime, timedelta

import numpy as np
import pytest

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
    times = every(step, rows)
    assert periods_of(times[0], times[-1], rows) == wanted


def test_what_has_no_calendar():
    assert periods_of(1700, 1701, 2) == []
    times = every(timedelta(days=400), 50)
    assert periods_of(times[0], times[-1], 50) == []


def test_a_place_is_a_point_on_a_circle():
    noon = datetime(2024, 1, 3, 12)  # a Wednesday
    found = features([noon, noon + timedelta(days=7)], ["hour of day", "day of week", "day of year"])
    assert found.shape == (2, 12)
    assert np.allclose(np.square(found).reshape(2, 6, 2).sum(-1), 1)
    assert np.allclose(found[0, :4], [0, -1, 0, 1])  # once and twice around
    angle = 2 * np.pi * 2.5 / 7
    assert np.allclose(found[0, 4:8], [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)])
    assert np.allclose(found[0, :8], found[1, :8])
    assert found[0, 8] == pytest.approx(np.sin(2 * np.pi * 2.5 / 365.2425))
