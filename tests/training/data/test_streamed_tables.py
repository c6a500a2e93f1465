from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data import streamed_series, streamed_tables
from bptt.training.data.sources import open_source
from bptt.training.data.streamed_series import open_series
from bptt.training.data.streamed_tables import is_streamed
from bptt.training.data.tables import Selection
from bptt.training.options.forecast import ForecastOptions


@pytest.fixture(params=["csv", "parquet", "npy"])
def path(tmp_path, request):
    file, values = tmp_path / f"series.{request.param}", np.sin(np.arange(400.0))
    if request.param == "npy":
        np.save(file, values)
    else:
        frame = pl.DataFrame({"1": values})
        frame.write_csv(file) if request.param == "csv" else frame.write_parquet(file)
    return file


def configured(path, **choices):
    return ForecastOptions(**{"data": path, "target": "1", "reach": "truncated", **choices})


def test_it_is_streamed_where_it_would_take_more_than_it_may(path, monkeypatch):
    assert not is_streamed(configured(path))
    assert is_streamed(configured(path, memory="1kB"))
    assert not is_streamed(configured(path, memory="1GB"))
    assert not is_streamed(ForecastOptions())
    monkeypatch.setattr("bptt.training.data.streamed_tables.machine_memory", lambda: 2000)
    assert is_streamed(configured(path))
    for reach in ("full", "checkpointed"):
        with pytest.raises(UserError, match=rf"half of this machine's; --reach {reach}.*--reach truncated"):
            is_streamed(configured(path, reach=reach))


def days(row=None, cell=None):
    """30 days from 10 January, the day first, one of them replaced."""
    times = [(date(2024, 1, 10) + timedelta(days=day)).strftime("%d/%m/%Y") for day in range(30)]
    return [*times[: row - 1], cell, *times[row:]] if row else times


def smaller_pieces(monkeypatch):
    for module in (streamed_series, streamed_tables):
        monkeypatch.setattr(module, "PIECE", 8)
        monkeypatch.setattr(module, "ROWS", 8)


@pytest.mark.parametrize("series", [None, "s"])
def test_the_order_of_day_and_month_may_show_in_a_later_piece(tmp_path, monkeypatch, series):
    """Half hours from 2 March on: the first piece is of one date, the seventh has midnight."""
    smaller_pieces(monkeypatch)
    half_hours = [datetime(2024, 3, 2) + timedelta(minutes=30 * row) for row in range(60)]
    times = [time.strftime("%d/%m/%Y %H:%M") for time in half_hours]
    path = tmp_path / "d.csv"

    def opened(rows):
        pl.DataFrame({"t": times[:rows], "y": range(rows), "s": "a"}).write_csv(path)
        (table,) = open_series(open_source(path), path.name, Selection(("y",), time="t", series=series)).values()
        return table

    assert opened(60).timestamps_at(0, 60).moments == half_hours
    with pytest.raises(UserError, match=r"may have the day or the month first, and no row up to 40 shows which"):
        opened(40)


ONE, TWO = ["a"] * 30, ["a"] * 10 + ["b"] * 20


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("times", "names", "words"),
    [
        (
            days(20, "09/01/2024"),
            None,
            r"row 20, column 't': 09/01/2024 is out of order, after 28/01/2024 in row 19",
        ),
        (days(20, ""), None, "'t' has no time in row 20"),
        (
            days(20, "29 Jan 2024"),
            None,
            "25/01/2024' in row 16 and '29 Jan 2024' in row 20; write all dates alike",
        ),
        (days(20, "soon"), None, "neither numbers nor dates throughout: row 20 has 'soon'"),
        (
            days(20, "01/29/2024"),
            None,
            "in row 20 '01/29/2024' has the month first, and the dates before it the day",
        ),
        (
            list(range(19)) + ["x"] * 11,
            None,
            "neither numbers nor dates throughout: 'x' in row 20, '15' in row 16",
        ),
        (days(), [*ONE[:19], "", *ONE[20:]], "'s' has 1 missing of 8 values from row 17 on, the first in row 20"),
        (days(20, "01/29/2024"), TWO, "series 'b': column 't': in row 10 '01/29/2024' has the month first"),
        (days(20, "09/01/2024"), TWO, "series 'b': row 10, column 't': 09/01/2024 is out of order"),
    ],
)
def test_an_error_in_a_later_piece_names_its_row(tmp_path, monkeypatch, kind, times, names, words):
    smaller_pieces(monkeypatch)
    frame = pl.DataFrame({"t": list(map(str, times)), "y": range(30), "s": names or ONE})
    path = tmp_path / f"d.{kind}"
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    with pytest.raises(UserError, match=words):
        open_series(open_source(path), path.name, Selection(("y",), time="t", series="s" if names else None))
