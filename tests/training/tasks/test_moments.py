from datetime import datetime

from bptt.training.tasks.moments import continued, label


def test_labels():
    assert [label(moment) for moment in (1, 1.5, datetime(2020, 1, 2), datetime(2020, 1, 2, 3))] == [
        "1",
        "1.5",
        "2020-01-02",
        "2020-01-02T03:00:00",
    ]


def test_they_go_on_as_far_apart_as_the_last_two():
    assert continued([1, 3], 2) == [5, 7]
    assert continued([7], 2) == ["7 + 1", "7 + 2"]
    days = [datetime(2020, 2, 27), datetime(2020, 2, 28)]
    assert continued(days, 2) == [datetime(2020, 2, 29), datetime(2020, 3, 1)]


def test_months_go_on_by_months():
    months = [datetime(2019, 11, 1), datetime(2019, 12, 1)]
    assert continued(months, 3) == [datetime(2020, 1, 1), datetime(2020, 2, 1), datetime(2020, 3, 1)]
    years = [datetime(2019, 2, 1), datetime(2020, 2, 1)]
    assert continued(years, 1) == [datetime(2021, 2, 1)]
