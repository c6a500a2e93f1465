import io
import json
import math
import random
from datetime import datetime, timedelta

import polars as pl
import pytest

from bptt.commands.follow import follow
from bptt.commands.predict import PredictConfig, predict
from bptt.commands.train import train
from bptt.training.config import TrainConfig, configured
from bptt.training.errors import UserError
from bptt.training.run import load_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = range(100, 160)
    pl.DataFrame({"t": rows, "y": [math.sin(i / 3) for i in rows], "a": [i % 5 for i in rows]}).write_csv("d.csv")
    config = TrainConfig(
        data=tmp_path / "d.csv", target="y", input=(("a",),), time="t", epochs=2, out=tmp_path / "run"
    )
    train(config)
    return tmp_path


def test_the_training_data_gives_the_runs_own_forecast(run, capsys):
    capsys.readouterr()
    assert predict(PredictConfig(run / "run", run / "d.csv")) == 0
    assert capsys.readouterr().out == (run / "run" / "forecast.csv").read_text()


def test_new_data_to_a_file_that_is_new(run):
    pl.read_csv("d.csv").tail(10).drop("t").write_csv("new.csv")
    config = PredictConfig(run / "run", run / "new.csv", out=run / "f.csv")
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
        predict(PredictConfig(run / "run", run / "new.csv"))


def test_what_is_no_run(run):
    with pytest.raises(UserError, match="no such folder"):
        predict(PredictConfig(run / "nowhere", run / "d.csv"))
    with pytest.raises(UserError, match="cannot be written"):
        predict(PredictConfig(run / "run", run / "d.csv", out=run / "no" / "f.csv"))


LONG = "s,kind,t,a\n" + "".join(
    f"{series},{'up' if series % 2 else 'down'},{t},{t * (1 if series % 2 else -1)}\n"
    for series in range(12)
    for t in range(4)
)


def test_sequences_are_classified(tmp_path, capsys):
    (tmp_path / "d.csv").write_text(LONG)
    choices = {"series": "s", "label": "kind", "time": "t", "epochs": 10, "hidden": 4, "batch": 4}
    train(configured("classify", data=tmp_path / "d.csv", out=tmp_path / "run", **choices))
    capsys.readouterr()
    assert predict(PredictConfig(tmp_path / "run", tmp_path / "d.csv")) == 0
    own = pl.read_csv(tmp_path / "run" / "predictions.csv").drop("split")
    assert capsys.readouterr().out == own.write_csv()
    new = pl.read_csv(tmp_path / "d.csv").drop("kind", "t").filter(pl.col("s") < 3)
    new.write_csv(tmp_path / "new.csv")
    assert predict(PredictConfig(tmp_path / "run", tmp_path / "new.csv", out=tmp_path / "p.csv")) == 0
    found = pl.read_csv(tmp_path / "p.csv")
    assert found.columns == ["series", "truth", "predicted", "probability of down", "probability of up"]
    assert found["truth"].null_count() == len(found) == 3
    assert found["predicted"].to_list() == own["predicted"].to_list()[:3]
    with pytest.raises(UserError, match="has no column 'z'"):
        predict(PredictConfig(tmp_path / "run", tmp_path / "new.csv", time="z"))


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
    config = TrainConfig(
        data=data, target=("y", "z"), horizon=(1, 24), series="who", time="t", calendar=True, missing="mask",
        epochs=3, validation=0.3, out=tmp_path / "run",
    )  # fmt: skip
    assert train(config) == 0
    shown = capsys.readouterr().out
    assert "The 90% intervals are as wide as" in shown
    run = load_run(tmp_path / "run")
    assert (run.calendar, sorted(run.series)) == (["hour of day"], ["a", "b"])
    assert run.intervals is not None
    assert len(run.intervals.widths) == 4
    assert predict(PredictConfig(tmp_path / "run", data)) == 0
    own = (tmp_path / "run" / "forecast.csv").read_text()
    assert capsys.readouterr().out == own
    rows = pl.read_csv(own.encode())
    assert rows.columns == ["series", "time", "target", "horizon", "truth", "forecast", "lower", "upper"]
    assert rows.filter(pl.col("series") == "a")["time"].max() == "2024-01-06T23:00:00"
    width = (rows["upper"] - rows["lower"]).alias("width")
    wide = rows.with_columns(width).filter(pl.col("target") == "y").group_by("series").agg(pl.mean("width"))
    by_series = dict(wide.iter_rows())
    assert by_series["b"] > 20 * by_series["a"]
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert "seasonal persistence (24)" in line["baselines"]
    assert set(line["coverage"]) == set(line["arv"]) - {"mean"}
    follow(run, None, io.BytesIO(pl.read_csv(data).sort("t").write_csv().encode()))  # in turn, as they come
    followed = pl.read_csv(capsys.readouterr().out.encode())
    assert followed.columns == ["series", "time", "target", "horizon", "value", "forecast", "lower", "upper"]
    for name in ("forecast", "lower", "upper"):
        for (who, target, ahead), wanted in rows.group_by("series", "target", "horizon", maintain_order=True):
            one = (pl.col("series") == who) & (pl.col("target") == target) & (pl.col("horizon") == ahead)
            found = followed.filter(one)[name].drop_nulls().to_list()
            assert found == pytest.approx(wanted[name].to_list(), rel=1e-4, abs=1e-6), (name, who, target, ahead)


def test_a_series_that_was_not_seen_is_scaled_by_its_own_rows(tmp_path, capsys):
    data = hourly(tmp_path / "d.csv", gaps=False)
    train(TrainConfig(data=data, target="y", series="who", epochs=2, out=tmp_path / "run"))
    new = pl.read_csv(data).filter(pl.col("who") == "b").with_columns(pl.lit("c").alias("who"))
    new.write_csv(tmp_path / "new.csv")
    capsys.readouterr()
    assert predict(PredictConfig(tmp_path / "run", tmp_path / "new.csv")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())
    assert rows["series"].unique().to_list() == ["c"]
    assert rows["forecast"].is_between(400, 600).all()


def test_gaps_in_new_data_are_masked_by_a_run_that_masks_and_no_other(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,2\n,3\n0.5,1\n0.2,\n")
    with pytest.raises(UserError, match="--missing mask needs a run that was trained with it"):
        predict(PredictConfig(run / "run", run / "gap.csv", missing="mask"))
    masked = TrainConfig(
        data=run / "d.csv", target="y", input=(("a",),), missing="mask", epochs=2, out=run / "masked"
    )
    train(masked)
    capsys.readouterr()
    assert predict(PredictConfig(run / "masked", run / "gap.csv")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())
    assert rows["truth"].to_list() == [0.5, 0.2, None]
    assert rows["forecast"].null_count() == 0
    follow(load_run(run / "masked"), None, io.BytesIO((run / "gap.csv").read_bytes()))
    followed = pl.read_csv(capsys.readouterr().out.encode())
    assert followed["forecast"].to_list()[1:] == pytest.approx(rows["forecast"].to_list(), rel=1e-5)


def test_damaged_intervals_are_said(run):
    (run / "run" / "intervals.toml").write_text("coverage = ")
    with pytest.raises(UserError, match=r"intervals\.toml is damaged"):
        predict(PredictConfig(run / "run", run / "d.csv"))
    (run / "run" / "intervals.toml").unlink()
    assert load_run(run / "run").intervals is None


def test_what_is_odd_about_new_data_is_said_beside_the_forecasts(tmp_path, capsys):
    data = hourly(tmp_path / "d.csv", gaps=False)
    train(TrainConfig(data=data, target="y", series="who", epochs=1, out=tmp_path / "run"))
    shown = capsys.readouterr().out
    assert "columns: target 'y', whose past is input; series 'who'\n" in shown
    rows = pl.read_csv(data, infer_schema=False)
    dead = rows.filter(pl.col("who") == "b").with_columns(pl.lit("dead").alias("who"), pl.lit("NA").alias("y"))
    pl.concat([rows, dead]).write_csv(tmp_path / "new.csv")
    assert predict(PredictConfig(tmp_path / "run", tmp_path / "new.csv")) == 0
    found = capsys.readouterr()
    assert "dead" not in found.out
    why = "new.csv, series 'dead': column 'y' has no values at all"
    assert found.err == f"bptt predict: warning: series 'dead' is left out: {why}\n"


def test_new_values_that_float32_cannot_square_are_refused(tmp_path):
    (tmp_path / "p.ts").write_text("@classLabel true a b\n@data\n" + "1,2:a\n2,3:b\n" * 4)
    train(configured("classify", data=tmp_path / "p.ts", epochs=1, out=tmp_path / "run"))
    (tmp_path / "new.ts").write_text("@classLabel true a b\n@data\n1,1e90:a\n")
    with pytest.raises(UserError, match=r"column 'x' holds 1e.90, more than 1e.15 standard deviations"):
        predict(PredictConfig(tmp_path / "run", tmp_path / "new.ts"))
