"""`bptt predict`: forecasts and classes of new data, and what it refuses."""

import io
import json
import math
import tomllib

import polars as pl
import pytest
import tomli_w

from bptt.commands.follow import follow
from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions
from small_data import hourly

pytestmark = pytest.mark.usefixtures("unreported")


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
