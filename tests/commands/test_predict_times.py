"""`bptt predict` on new data's times: dates, calendars, spacings and short series."""

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.training.options.forecast import ForecastOptions
from small_data import hourly

pytestmark = pytest.mark.usefixtures("unreported")


def dated(path, cells):
    pl.DataFrame({"t": cells, "y": [math.sin(i / 3) for i in range(len(cells))]}).write_csv(path)
    return path


MONTH_ENDS = [
    (datetime(2020 + i // 12, i % 12 + 1, 1) - timedelta(days=1)).strftime("%d.%m.%Y") for i in range(40)
]
FUTURE = {
    "31.01.2022 alone": (["31.01.2022"], "28.02.2022"),
    "two of three": (["31.01.2022", "31.03.2022"], "30.04.2022"),
    "days": (["01.03.2022", "02.03.2022", "03.03.2022", "04.03.2022"], "05.03.2022"),
}


def test_new_rows_go_on_by_the_spacing_of_the_run_or_by_their_own(tmp_path, capsys):
    """One row shows no spacing, few rows follow the run's, others have their own."""
    choices = {"target": "y", "time": "t", "lags": 1, "hidden": 2, "epochs": 1}
    train(ForecastOptions(data=dated(tmp_path / "d.csv", MONTH_ENDS), **choices, out=tmp_path / "run"))
    for name, (cells, wanted) in FUTURE.items():
        capsys.readouterr()
        predict(PredictOptions(tmp_path / "run", dated(tmp_path / "new.csv", cells)))
        assert pl.read_csv(capsys.readouterr().out.encode())["time"].to_list() == [*cells[1:], wanted], name


def test_new_rows_without_a_time_are_numbered(tmp_path, capsys):
    rows = dated(tmp_path / "d.csv", range(40))
    train(ForecastOptions(data=rows, target="y", lags=1, hidden=2, epochs=1, horizon=2, out=tmp_path / "run"))
    capsys.readouterr()
    predict(PredictOptions(tmp_path / "run", dated(tmp_path / "new.csv", [5])))
    assert pl.read_csv(capsys.readouterr().out.encode())["time"].to_list() == [3]


@pytest.fixture
def clocked(tmp_path):
    """A run that reads the hours of Berlin."""
    hours = [datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(200)]
    cells = pl.Series(hours).dt.convert_time_zone("Europe/Berlin")
    pl.DataFrame({"t": cells, "y": [math.sin(i / 4) + 3 * (i % 24 > 12) for i in range(200)]}).write_parquet(
        tmp_path / "d.parquet"
    )
    choices = {"target": "y", "time": "t", "lags": 2, "hidden": 3, "epochs": 2}
    train(ForecastOptions(data=tmp_path / "d.parquet", **choices, out=tmp_path / "run"))
    return tmp_path


def test_a_calendar_is_read_in_the_zone_it_was_learned_in(clocked, capsys):
    found = []
    for zone in ("UTC", "Europe/Berlin", "Asia/Tokyo"):
        cells = pl.Series([datetime(2024, 3, 30, tzinfo=UTC) + timedelta(hours=i) for i in range(40)])
        path = dated(clocked / "new.csv", cells.dt.convert_time_zone(zone).dt.to_string("%Y-%m-%dT%H:%M%:z"))
        capsys.readouterr()
        predict(PredictOptions(clocked / "run", path))
        found.append(pl.read_csv(capsys.readouterr().out.encode()))
    assert found[0]["forecast"].to_list() == found[1]["forecast"].to_list() == found[2]["forecast"].to_list()
    assert found[0]["forecast"].n_unique() > 12, "it does not depend on the hour"
    last = [rows["time"][-1] for rows in found]
    assert last == ["2024-03-31T16:00+00:00", "2024-03-31T18:00+02:00", "2024-04-01T01:00+09:00"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            ["2024-04-01T00:00", "2024-04-01T01:00"],
            "no offset from UTC, and the dates .* one",
        ),
        (["1", "2"], "'1' is no date, which this run reads"),
        (["9999-12-30T00:00Z", "9999-12-30T12:00Z", "9999-12-31T22:30Z"], "beyond the years 2 to 9998"),
        ([f"{year:04}-01-01T00:00Z" for year in (2, 2502, 5002, 7502)], "dated after the year 9999"),
    ],
)
def test_dates_that_a_calendar_cannot_read(clocked, cells, words):
    with pytest.raises(UserError, match=words):
        predict(PredictOptions(clocked / "run", dated(clocked / "new.csv", cells)))


def test_rows_of_another_spacing_are_warned_of(clocked, capsys):
    days = [f"2024-04-{day:02}T00:00Z" for day in range(1, 20)]
    predict(PredictOptions(clocked / "run", dated(clocked / "new.csv", days)))
    shown = capsys.readouterr()
    assert (
        "warning: new.csv: the rows are spaced every day, and this run was trained on rows every 1:00:00"
        in shown.err
    )
    assert pl.read_csv(shown.out.encode())["time"][-1] == "2024-04-20T00:00Z"


def test_a_series_of_one_row_that_the_run_has_not_seen_shows_no_spacing(tmp_path):
    data = hourly(tmp_path / "d.csv", gaps=False)
    choices = {"target": "y", "series": "who", "time": "t", "lags": 1, "hidden": 2, "epochs": 1}
    train(ForecastOptions(data=data, **choices, out=tmp_path / "run"))
    (tmp_path / "new.csv").write_text("who,t,y\nc,2024-01-01T00:00:00,1\n")
    with pytest.raises(UserError, match=r"has 1 row, but this run needs at least 2 \(two dates\)"):
        predict(PredictOptions(tmp_path / "run", tmp_path / "new.csv"))


def test_a_series_too_short_for_the_lags_is_left_out_as_it_is_in_training(tmp_path, capsys):
    rows = [f"long,{place},{place % 7}" for place in range(60)] + ["short,0,1"]
    (tmp_path / "d.csv").write_text("\n".join(["who,t,y", *rows]) + "\n")
    choices = {"target": "y", "series": "who", "time": "t", "lags": 2, "hidden": 2, "epochs": 1}
    train(ForecastOptions(data=tmp_path / "d.csv", **choices, out=tmp_path / "run"))
    assert "warning: series 'short' is left out" in capsys.readouterr().out
    predict(PredictOptions(tmp_path / "run", tmp_path / "d.csv"))
    out, err = capsys.readouterr()
    assert "warning: series 'short' is left out: d.csv, series 'short' has 1 row, but this run needs" in err
    assert pl.read_csv(out.encode())["series"].unique().to_list() == ["long"]
    (tmp_path / "d.csv").write_text("who,t,y\na,0,1\nb,0,1\n")
    with pytest.raises(UserError, match="no series with as many rows as this run needs for its 2 lags"):
        predict(PredictOptions(tmp_path / "run", tmp_path / "d.csv"))
