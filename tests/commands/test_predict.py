import io
import json
import math
import random
import tomllib
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import tomli_w

import bptt
from bptt.commands.command_line import answered
from bptt.commands.follow import follow
from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs import new_data
from bptt.runs.run import load
from bptt.training.data import streamed_series, streamed_tables
from bptt.training.data.sources import _Csv
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks import forecast_rows

pytestmark = pytest.mark.usefixtures("unreported")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = range(100, 160)
    pl.DataFrame({"t": rows, "y": [math.sin(i / 3) for i in rows], "a": [i % 5 for i in rows]}).write_csv("d.csv")
    config = ForecastOptions(
        data=tmp_path / "d.csv", target="y", input=(("a",),), time="t", lags=2, epochs=2, out=tmp_path / "run"
    )
    train(config)
    return tmp_path


def test_the_training_data_gives_the_runs_own_forecast(run, capsys):
    capsys.readouterr()
    assert predict(PredictOptions(run / "run", run / "d.csv")) == 0
    found, own = pl.read_csv(capsys.readouterr().out.encode()), pl.read_csv(run / "run" / "forecast.csv")
    assert found.drop("lower", "upper").equals(own.drop("lower", "upper"))


def test_the_intervals_of_new_data_go_on_from_where_those_of_the_run_ended(run, capsys):
    capsys.readouterr()
    assert predict(PredictOptions(run / "run", run / "d.csv")) == 0
    found = pl.read_csv(capsys.readouterr().out.encode())
    opened = load(run / "run")
    half = opened.intervals.going_on(0, ahead=1).width * opened.scaling.std[0]
    assert (found["upper"] - found["forecast"])[0] == pytest.approx(half)
    assert (found["upper"] - found["lower"]).n_unique() > 2


def test_new_data_to_a_file_that_is_new(run):
    pl.read_csv("d.csv").tail(10).drop("t").write_csv("new.csv")
    config = PredictOptions(run / "run", run / "new.csv", out=run / "f.csv")
    assert predict(config) == 0
    found = pl.read_csv("f.csv")
    assert found["time"].to_list() == list(range(3, 12))
    assert found["forecast"].null_count() == 0
    assert found["truth"][-1] is None
    with pytest.raises(UserError, match="exists already"):
        predict(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,y\n1,2\n", "no column 'a'"),
        ("y,a\n1,2\n", "at least 2 .its lags"),
        ("y,a\n1,2\n1,\n1,2\n", "missing"),
    ],
)
def test_data_that_does_not_fit(run, text, words):
    (run / "new.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        predict(PredictOptions(run / "run", run / "new.csv"))


def test_what_is_no_run(run):
    with pytest.raises(UserError, match="no such folder"):
        predict(PredictOptions(run / "nowhere", run / "d.csv"))
    with pytest.raises(UserError, match="cannot be written"):
        predict(PredictOptions(run / "run", run / "d.csv", out=run / "no" / "f.csv"))


LONG = "s,kind,t,a\n" + "".join(
    f"{series},{'up' if series % 2 else 'down'},{t},{t * (1 if series % 2 else -1)}\n"
    for series in range(12)
    for t in range(4)
)


def test_sequences_are_classified(tmp_path, capsys):
    (tmp_path / "d.csv").write_text(LONG)
    choices = {
        "series": "s",
        "label": "kind",
        "time": "t",
        "epochs": 10,
        "hidden": 4,
        "batch": 4,
        "stride": 2,
        "readout": "last",
    }
    train(ClassifyOptions(data=tmp_path / "d.csv", out=tmp_path / "run", **choices))
    capsys.readouterr()
    assert predict(PredictOptions(tmp_path / "run", tmp_path / "d.csv")) == 0
    own = pl.read_csv(tmp_path / "run" / "predictions.csv").drop("split")
    assert capsys.readouterr().out == own.write_csv()
    new = pl.read_csv(tmp_path / "d.csv").drop("kind", "t").filter(pl.col("s") < 3)
    new.write_csv(tmp_path / "new.csv")
    assert predict(PredictOptions(tmp_path / "run", tmp_path / "new.csv", out=tmp_path / "p.csv")) == 0
    found = pl.read_csv(tmp_path / "p.csv")
    assert found.columns == ["series", "truth", "predicted", "probability of down", "probability of up"]
    assert found["truth"].null_count() == len(found) == 3
    assert found["predicted"].to_list() == own["predicted"].to_list()[:3]
    with pytest.raises(UserError, match="has no column 'z'"):
        predict(PredictOptions(tmp_path / "run", tmp_path / "new.csv", time="z"))


def hourly(path, gaps=True):
    rng, begin = random.Random(0), datetime(2024, 1, 1)
    rows = [
        {
            "who": who,
            "t": (begin + timedelta(hours=i)).isoformat(),
            "y": scale * (10 + math.sin(2 * math.pi * i / 24) + rng.gauss(0, 0.1)),
            "z": rng.gauss(0, 1) if i % 9 or not gaps else None,
        }
        for who, scale, length in (("a", 1, 120), ("b", 50, 100))
        for i in range(length)
    ]
    pl.DataFrame(rows).write_csv(path)
    return path


def test_many_series_targets_and_horizons_with_gaps_and_dates(tmp_path, capsys):
    data = hourly(tmp_path / "d.csv")
    config = ForecastOptions(
        data=data, target=("y", "z"), horizon=(1, 24), series="who", time="t", missing="mask",
        epochs=3, validation=0.3, out=tmp_path / "run",
    )  # fmt: skip
    assert train(config) == 0
    shown = capsys.readouterr().out
    assert "The 90% intervals come from" in shown
    run = load(tmp_path / "run")
    assert (run.calendar, sorted(run.series)) == (["hour of day"], ["a", "b"])
    assert run.intervals is not None
    assert len(run.intervals.widths) == 4
    assert predict(PredictOptions(tmp_path / "run", data)) == 0
    rows, own = pl.read_csv(capsys.readouterr().out.encode()), pl.read_csv(tmp_path / "run" / "forecast.csv")
    assert rows.drop("lower", "upper").equals(own.drop("lower", "upper"))
    assert rows.columns == ["series", "time", "target", "horizon", "truth", "forecast", "lower", "upper"]
    assert rows.filter(pl.col("series") == "a")["time"].max() == "2024-01-06T23:00:00"
    width = (rows["upper"] - rows["lower"]).alias("width")
    wide = rows.with_columns(width).filter(pl.col("target") == "y").group_by("series").agg(pl.mean("width"))
    by_series = dict(wide.iter_rows())
    assert by_series["b"] > 20 * by_series["a"]
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert "seasonal persistence (24)" in line["baselines"]
    assert set(line["coverage"]) == set(line["arv"]) - {"mean"}
    new = pl.read_csv(data).with_columns(y=pl.col("y") * (1 + pl.col("y").sin() / 99))
    rows = run.predict(new)
    follow(run, None, io.BytesIO(new.sort("t").write_csv().encode()))  # in turn, as they come
    followed = pl.read_csv(capsys.readouterr().out.encode(), infer_schema_length=None)
    assert followed.columns == ["series", "time", "target", "horizon", "value", "forecast", "lower", "upper"]
    for name in ("forecast", "lower", "upper"):
        for (who, target, ahead), wanted in rows.group_by("series", "target", "horizon", maintain_order=True):
            one = (pl.col("series") == who) & (pl.col("target") == target) & (pl.col("horizon") == ahead)
            found = followed.filter(one)[name].drop_nulls().to_list()
            assert found == pytest.approx(wanted[name].to_list(), rel=1e-4, abs=1e-6), (name, who, target, ahead)


def test_a_series_that_was_not_seen_is_scaled_by_its_own_rows(tmp_path, capsys):
    data = hourly(tmp_path / "d.csv", gaps=False)
    train(ForecastOptions(data=data, target="y", series="who", epochs=2, out=tmp_path / "run"))
    new = pl.read_csv(data).filter(pl.col("who") == "b").with_columns(pl.lit("c").alias("who"))
    new.write_csv(tmp_path / "new.csv")
    capsys.readouterr()
    assert predict(PredictOptions(tmp_path / "run", tmp_path / "new.csv")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())
    assert rows["series"].unique().to_list() == ["c"]
    assert rows["forecast"].is_between(400, 600).all()


def test_gaps_in_new_data_are_masked_by_a_run_that_masks_and_no_other(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,2\n,3\n0.5,1\n0.2,\n")
    with pytest.raises(UserError, match="missing='mask' needs a run that was trained with it"):
        load(run / "run").predict(run / "gap.csv", missing="mask")
    capsys.readouterr()
    assert answered(["predict", str(run / "run"), str(run / "gap.csv"), "--missing", "mask"]) == 2
    assert "--missing mask needs a run that was trained with it" in capsys.readouterr().err
    masked = ForecastOptions(
        data=run / "d.csv", target="y", input=(("a",),), missing="mask", lags=2, epochs=2, out=run / "masked"
    )
    train(masked)
    capsys.readouterr()
    assert predict(PredictOptions(run / "masked", run / "gap.csv")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())
    assert rows["truth"].to_list() == [0.5, 0.2, None]
    assert rows["forecast"].null_count() == 0
    follow(load(run / "masked"), None, io.BytesIO((run / "gap.csv").read_bytes()))
    followed = pl.read_csv(capsys.readouterr().out.encode())
    assert followed["forecast"].to_list()[1:] == pytest.approx(rows["forecast"].to_list(), rel=1e-5)


def test_gaps_are_filled_alike_in_a_file_and_row_by_row(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,\n,3\n0.5,1\n0.2,\n,4\n")
    assert predict(PredictOptions(run / "run", run / "gap.csv", missing="interpolate")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())["forecast"]
    follow(load(run / "run"), None, io.BytesIO((run / "gap.csv").read_bytes()), "interpolate")
    followed = pl.read_csv(capsys.readouterr().out.encode())["forecast"].drop_nulls()
    assert followed.to_list() == pytest.approx(rows.to_list(), rel=1e-5)


def test_gaps_are_treated_as_in_training_unless_asked_otherwise(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,\n,3\n0.5,1\n0.2,\n,4\n")
    filling = ForecastOptions(
        data=run / "d.csv", target="y", input=(("a",),), missing="interpolate", lags=2, epochs=1, out=run / "fills"
    )
    train(filling)
    opened = load(run / "fills")
    found = opened.predict(run / "gap.csv")
    assert found.equals(opened.predict(run / "gap.csv", missing="interpolate"))
    follow(opened, None, io.BytesIO((run / "gap.csv").read_bytes()))
    assert "0.2" in capsys.readouterr().out
    for refused in (opened, load(run / "run")):
        with pytest.raises(UserError, match="has 2 missing of 5 values"):
            refused.predict(run / "gap.csv", missing="error")


def test_damaged_intervals_are_said(run):
    path = run / "run" / "intervals.toml"
    whole = tomllib.loads(path.read_text())
    for name, value in (
        ("recent", [[math.nan, 0.5]]),
        ("recent", [[-1.0]]),
        ("missed", [math.inf]),
        ("missed", [-1e308]),
        ("errors", -1),
        ("coverage", 10**400),
    ):
        path.write_text(tomli_w.dumps({**whole, name: value}))
        with pytest.raises(UserError, match=rf"intervals\.toml is damaged: {name} must"):
            load(run / "run")
    path.write_text("coverage = ")
    with pytest.raises(UserError, match=r"intervals\.toml is damaged"):
        predict(PredictOptions(run / "run", run / "d.csv"))
    (run / "run" / "intervals.toml").unlink()
    assert load(run / "run").intervals is None


def test_what_is_odd_about_new_data_is_said_beside_the_forecasts(tmp_path, capsys):
    data = hourly(tmp_path / "d.csv", gaps=False)
    train(ForecastOptions(data=data, target="y", series="who", epochs=1, out=tmp_path / "run"))
    shown = capsys.readouterr().out
    assert "columns: target 'y', whose past is input; series 'who'\n" in shown
    rows = pl.read_csv(data, infer_schema=False)
    dead = rows.filter(pl.col("who") == "b").with_columns(pl.lit("dead").alias("who"), pl.lit("NA").alias("y"))
    pl.concat([rows, dead]).write_csv(tmp_path / "new.csv")
    assert predict(PredictOptions(tmp_path / "run", tmp_path / "new.csv")) == 0
    found = capsys.readouterr()
    assert "dead" not in found.out
    why = "new.csv, series 'dead': column 'y' has no values at all"
    assert found.err == f"bptt predict: warning: series 'dead' is left out: {why}\n"


def test_new_values_that_float32_cannot_square_are_refused(tmp_path):
    (tmp_path / "p.ts").write_text("@classLabel true a b\n@data\n" + "1,2:a\n2,3:b\n" * 4)
    train(ClassifyOptions(data=tmp_path / "p.ts", epochs=1, stride=1, readout="last", out=tmp_path / "run"))
    (tmp_path / "new.ts").write_text("@classLabel true a b\n@data\n1,1e90:a\n")
    with pytest.raises(UserError, match=r"column 'x' holds 1e.90, more than 1e.15 standard deviations"):
        predict(PredictOptions(tmp_path / "run", tmp_path / "new.ts"))


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


def as_columns(path):
    return {column.name: column.to_numpy() for column in pl.read_csv(path)}


def of_pandas(path):
    return pytest.importorskip("pandas").DataFrame(as_columns(path))


@pytest.mark.parametrize("read", [pl.read_csv, pl.scan_csv, as_columns, of_pandas])
def test_the_command_the_path_and_a_table_in_memory_give_the_same_to_the_last_digit(run, read, capsys):
    opened = load(run / "run")
    capsys.readouterr()
    assert predict(PredictOptions(run / "run", run / "d.csv")) == 0
    wanted = opened.predict(str(run / "d.csv"))
    assert capsys.readouterr().out == wanted.write_csv()
    found = opened.predict(read(run / "d.csv"))
    assert found.equals(wanted)
    assert len(found) == 59


def test_an_arrays_columns_are_those_of_the_run_in_their_order(run):
    opened = load(run / "run")
    array = pl.read_csv(run / "d.csv").select("y", "a").to_numpy()
    wanted = opened.predict(run / "d.csv")
    assert opened.predict(array).drop("time").equals(wanted.drop("time"))
    with pytest.raises(
        UserError, match="the table in memory has 1 columns, but these are needed, in order: 'y', 'a'"
    ):
        opened.predict(array[:, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": None}, "the table in memory: column 'a' has no values at all"),
        ({"y": pl.lit("much")}, "the table in memory: column 'y' holds text, for example 'much'"),
        ({"t": 1}, "the table in memory: row 2, column 't': 1 is there twice"),
    ],
)
def test_a_table_in_memory_is_checked_as_a_file_is(run, change, words):
    frame = pl.read_csv(run / "d.csv").with_columns(**change)
    with pytest.raises(UserError, match=words):
        load(run / "run").predict(frame)
    with pytest.raises(UserError, match="the table in memory has no column 'a'; its columns are 't', 'y'"):
        load(run / "run").predict(frame.drop("a"))


@pytest.mark.parametrize("missing", ["error", "interpolate", "mask"])
def test_no_forecast_reads_a_later_row_to_fill_a_gap(run, missing):
    gaps = {"y": [None, 0.5, 0.2, None, None, 0.9, 0.1], "a": [1, None, 3, 4, None, 2, 1]}
    frame = pl.DataFrame(gaps, schema_overrides={"y": pl.Float64})
    trained = bptt.train("d.csv", target="y", input="a", lags=2, epochs=1, missing=missing, test=0.3)
    whole = trained.predict(frame, missing="interpolate")
    assert whole["forecast"].is_finite().all()
    assert whole["truth"].null_count() == 3  # two gaps and the row to come
    x = trained.training_excerpt(frame, missing="interpolate").x
    assert x.isfinite().all()
    for known in range(2, len(frame)):
        part = trained.predict(frame[:known], missing="interpolate")
        assert part["forecast"].to_list() == pytest.approx(whole["forecast"][: known - 1].to_list())
