"""`bptt predict` on a large file, read in pieces."""

import math

import polars as pl
import pytest

from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs import new_data
from bptt.runs.run import load
from bptt.training.data import streamed_series, streamed_tables
from bptt.training.data.sources import _Csv
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks import forecast_rows
from small_data import hourly

pytestmark = pytest.mark.usefixtures("unreported")


@pytest.fixture
def in_pieces(monkeypatch):
    """Pieces of 8 rows, and a function that lets all files be read so, which returns the rows of each reading."""
    for module in (streamed_series, streamed_tables, new_data):
        for name in ("PIECE", "ROWS"):
            monkeypatch.setattr(module, name, 8, raising=module is not new_data)
    monkeypatch.setattr(new_data, "MOST_PAIRS", 8)
    read, asked = _Csv.cells, []

    def counted(source, first, rows, columns):
        asked.append(rows)
        return read(source, first, rows, columns)

    def begin():
        monkeypatch.setattr(new_data, "MOST_IN_MEMORY", 0)
        monkeypatch.setattr(_Csv, "cells", counted)
        return asked

    return begin


def test_a_large_file_is_read_in_pieces_to_the_same_last_digit(run, in_pieces, capsys):
    """Neither the rows held nor the rows of a frame grow with the file."""
    opened = load(run / "run")
    days = [f"{day:02}/{month:02}/2023" for month in (3, 4, 5) for day in range(1, 31)]
    with_gaps = [None if row % 7 == 3 else math.cos(row) for row in range(90)]
    pl.DataFrame({"t": days, "y": with_gaps, "a": range(90)}).write_csv(run / "gap.csv")
    choices = {"gap.csv": {"missing": "interpolate"}, "d.csv": {}}
    whole = {name: opened.predict(run / name, **own).write_csv() for name, own in choices.items()}
    asked = in_pieces()
    for name, own in choices.items():
        frames = list(opened.predict_frames(run / name, **own))
        assert pl.concat(frames).write_csv() == whole[name]
        assert len(frames) > 5
        assert max(map(len, frames)) <= 8
    assert 0 < max(asked) <= 10  # with a lag before and the horizon after
    capsys.readouterr()
    assert predict(PredictOptions(run / "run", run / "d.csv")) == 0
    assert capsys.readouterr().out == whole["d.csv"]
    assert predict(PredictOptions(run / "run", run / "d.csv", out=run / "f.csv")) == 0
    assert (run / "f.csv").read_text() == whole["d.csv"]


def test_many_series_of_a_large_file_are_predicted_to_the_same_last_digit(tmp_path, in_pieces, monkeypatch):
    data = hourly(tmp_path / "d.csv")
    choices = {"target": ("y", "z"), "horizon": (1, 24), "series": "who", "time": "t", "missing": "mask"}
    train(ForecastOptions(data=data, **choices, lags=2, hidden=3, epochs=1, out=tmp_path / "run"))
    opened = load(tmp_path / "run")
    whole = opened.predict(data)
    in_pieces()
    monkeypatch.setattr(forecast_rows, "HELD", 1)  # so that forecasts pass through a temporary file
    assert opened.predict(data).write_csv() == whole.write_csv()


def test_the_last_row_of_a_large_file_is_checked_before_the_first_forecast(run, in_pieces):
    (run / "bad.csv").write_text((run / "d.csv").read_text() + "160,much,1\n")
    in_pieces()
    with pytest.raises(UserError, match=r"bad.csv: row 61, column 'y': 'much' is not a finite number"):
        load(run / "run").predict_frames(run / "bad.csv")
    (run / "bad.csv").write_text("t,y,a\n" + "".join(f"{row},1,\n" for row in range(30)))
    with pytest.raises(UserError, match="column 'a' has no values at all"):
        load(run / "run").predict_frames(run / "bad.csv", missing="interpolate")
