import json

import numpy as np
import polars as pl
import pytest

from bptt.page.html import json_of
from bptt.report import forecast
from bptt.report.forecast import forecast_report
from bptt.training.tasks.task import Held, Judged


def rows(horizons=(1, 3), series=("a", "b"), known=10, tested=4):
    """Row number t of a series has the truth t, and the forecast t + 0.1 * horizon with 0.5 to both sides."""
    frames = []
    for name in series:
        for ahead in horizons:
            t = np.arange(ahead, known + ahead, dtype=float)
            found = t + 0.1 * ahead
            split = ["training" if i < known - tested else "test" if i < known else "future" for i in t]
            frames.append(
                pl.DataFrame(
                    {
                        "series": [name] * known,
                        "time": [f"day {int(i)}" for i in t],
                        "target": ["y"] * known,
                        "horizon": [ahead] * known,
                        "truth": [i if i < known else None for i in t],
                        "forecast": found,
                        "lower": found - 0.5,
                        "upper": found + 0.5,
                        "split": split,
                    }
                )
            )
    return pl.concat(frames)


def judged(**choices):
    names = [f"{part}, {ahead} ahead" for part in "ab" for ahead in (1, 3)]
    return Judged(
        scores={
            "ours": dict(zip([*names, "mean"], [0.1, 0.2, 0.3, 0.4, 0.25], strict=True)),
            "published": {names[0]: 0.5},
        },
        rmse=dict(zip(names, [1.0, 2.0, 3.0, 4.0], strict=True)),
        covered={name: Held(3, 4) for name in names},
        rows=rows(**choices),
        outputs={name: ("y", int(name.split()[1])) for name in names},
    )


def test_every_horizon_stands_beside_the_row_it_forecasts():
    first, second = forecast_report(judged(), 0.9).tracks
    assert (first.name, second.name, first.unit) == ("a", "b", "y")
    assert first.time == [f"day {i}" for i in range(1, 13)]
    assert first.truth == [*map(float, range(1, 10)), None, None, None]
    one, three = first.horizons
    assert (one.ahead, three.ahead) == (1, 3)
    assert one.forecast == [pytest.approx(i + 0.1) for i in range(1, 11)] + [None, None]
    assert three.forecast == [None, None] + [pytest.approx(i + 0.3) for i in range(3, 13)]
    assert three.width[:3] == [None, None, 0.5]


def test_it_knows_the_test_set_and_the_rows_to_come():
    track = forecast_report(judged(), 0.9).tracks[0]
    assert (track.time[track.tested], track.time[track.future]) == ("day 6", "day 10")


def test_a_single_horizon_is_as_many_rows_ahead_as_follow_the_table():
    frame = rows(horizons=(3,)).drop("horizon")
    report = forecast_report(Judged({"ours": {}}, rows=frame), 0.9)
    assert [own.ahead for own in report.tracks[0].horizons] == [3]


def test_numbers_have_the_digits_that_the_errors_can_bear():
    frame = rows().with_columns(pl.col("forecast") + 12.3456789, (pl.col("truth") + 0.123456789).alias("truth"))
    track = forecast_report(Judged({"ours": {}}, rows=frame), 0.9).tracks[0]
    assert track.decimals == 1
    assert track.truth[0] == 1.1


def test_errors_are_means_over_the_series_by_horizon():
    one, three = forecast_report(judged(), 0.9).errors
    assert (one.ahead, three.ahead) == (1, 3)
    assert one.arv == {"ours": pytest.approx(0.2)}
    assert (one.rmse, three.rmse, one.mae, one.held) == (2.0, 3.0, None, 0.75)


def test_a_long_forecast_is_drawn_from_its_last_rows(monkeypatch):
    monkeypatch.setattr(forecast, "MOST_NUMBERS", 0)
    monkeypatch.setattr(forecast, "MOST_TRACKS", 1)
    report = forecast_report(judged(known=200), 0.9)
    (track,) = report.tracks
    assert (report.left_out, report.first_row, len(track.time)) == (1, 142, 60)
    assert track.time[-1] == "day 202"
    assert track.time[track.future] == "day 200"
    assert track.tested == track.future - 4
    assert {len(own.forecast) for own in track.horizons} == {60}


def test_many_rows_stay_a_small_part_of_the_page():
    report = forecast_report(judged(horizons=tuple(range(1, 25)), known=3000), 0.9)
    assert 500_000 < len(json_of(report)) < 1_500_000
    assert json.loads(json_of(report))["coverage"] == 0.9


def test_a_classifier_has_no_forecast():
    assert forecast_report(Judged({"ours": {"test": 1.0}}), 0.0) is None
