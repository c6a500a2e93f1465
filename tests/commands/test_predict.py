import math

import polars as pl
import pytest

from bptt.commands.predict import PredictConfig, predict
from bptt.commands.train import train
from bptt.training.config import TrainConfig, configured
from bptt.training.errors import UserError


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
