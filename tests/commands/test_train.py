import json
import math
import tomllib

import polars as pl
import pytest
import torch

from bptt.commands.train import train
from bptt.training.config import TrainConfig
from bptt.training.errors import UserError
from bptt.training.run import load_run
from bptt.training.tasks.forecast import sunspot_forecast

SPANS = ["1921-1955", "1956-1979", "1980-2008"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_table(path, rows=80):
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=rows - 1), eager=True)
    y = [10 + math.sin(i / 3) for i in range(rows)]
    pl.DataFrame({"day": days, "y <b>&": y, "wind": [i % 7 for i in range(rows)]}).write_csv(path)
    return path


def test_a_run_folder_holds_what_it_should(here, capsys):
    assert train(TrainConfig(epochs=3)) == 0
    folder = here / "runs" / "sunspots-elman-001"
    assert tomllib.loads((folder / "config.toml").read_text())["train"]["epochs"] == 3

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["epoch"] * 3 + ["test"]
    last = lines[-1]
    assert list(last["arv"]) == SPANS
    assert set(last["gradient_by_lag"]) == {"start", "end"}

    forecast = pl.read_csv(folder / "forecast.csv")
    assert forecast.columns == ["time", "target", "truth", "forecast"]
    assert (forecast["time"][0], forecast["time"][-1]) == (1702, 2009)
    span = forecast.filter(pl.col("time").is_between(1921, 1955))
    arv = (span["truth"] - span["forecast"]).pow(2).mean() / 1535
    assert last["arv"]["1921-1955"] == pytest.approx(arv)

    shown = capsys.readouterr().out
    for words in ("persistence", "linear AR(9)", "0.123", "Weigend", "unchecked", *SPANS):
        assert words in shown


def test_the_report_is_one_offline_file(here):
    train(TrainConfig(epochs=2))
    page = (here / "runs/sunspots-elman-001/report.html").read_text()
    assert "<script src=" not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert (data["exploration"]["steps"], data["t"], len(data["times"])) == (100, 100, 100)
    assert data["times"][-1] == "1920"
    assert [lags["epoch"] for lags in data["run"]["lags"]] == [0, 1, 2]
    assert len(data["run"]["losses"]) == 2
    assert len(page) < 6_000_000


def test_a_second_run_takes_the_next_name_and_a_named_one_is_not_overwritten(here):
    for _ in range(2):
        train(TrainConfig(epochs=1))
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["sunspots-elman-001", "sunspots-elman-002"]
    named = here / "runs" / "sunspots-elman-001"
    before = {path: path.read_bytes() for path in named.iterdir()}
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        train(TrainConfig(epochs=1, out=named))
    assert {path: path.read_bytes() for path in named.iterdir()} == before


def test_an_unwritable_place_is_said_before_training(here):
    (here / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        train(TrainConfig(out=here / "file" / "run"))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_users_table(here, cell, capsys):
    data = a_table(here / "my data.csv")
    config = TrainConfig(
        data=data,
        target="y <b>&",
        input=(("wind",),),
        time="day",
        cell=cell,
        horizon=2,
        layers=2,
        epochs=2,
        validation=0.2,
    )
    assert train(config) == 0
    folder = here / "runs" / f"my-data-{cell}-001"
    forecast = pl.read_csv(folder / "forecast.csv")
    assert forecast["time"][-1] == "2020-03-22"
    assert forecast["target"].unique().to_list() == ["y <b>&"]
    run = load_run(folder)
    assert run.columns == ["y <b>&", "wind"]
    assert "y <b>&" not in (folder / "report.html").read_text()
    assert "2020-03-05 to 2020-03-20" in capsys.readouterr().out


def test_the_saved_model_makes_the_same_forecast(here):
    train(TrainConfig(epochs=2))
    folder = here / "runs" / "sunspots-elman-001"
    run = load_run(folder)
    task = sunspot_forecast(run.config)
    with torch.no_grad():
        y, _ = run.model(task.inputs())
    saved = pl.read_csv(folder / "forecast.csv")["forecast"].to_numpy()
    assert task.forecasts(y)[task.first_target :] == pytest.approx(saved, rel=1e-6)


def test_bad_data_leaves_nothing_behind(here):
    (here / "d.csv").write_text("y\n1\nx\n")
    with pytest.raises(UserError, match="row 2"):
        train(TrainConfig(data=here / "d.csv", target="y"))
    assert [path.name for path in here.iterdir()] == ["d.csv"]


def test_a_constant_column_is_said_in_a_line(here, capsys):
    (here / "d.csv").write_text("y,a\n" + "".join(f"{i % 7},3\n" for i in range(60)))
    train(TrainConfig(data=here / "d.csv", target="y", input=(("a",),), epochs=1))
    assert capsys.readouterr().out.splitlines()[0] == "warning: column 'a' is constant over the training rows"


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"reach": "checkpointed", "memory": "200kB"}, "checkpointed BPTT"),
        ({"reach": "truncated", "k1": 10, "k2": 30}, "truncated BPTT, k1=10, k2=30"),
        ({"reach": "truncated", "batch": 4}, "truncated BPTT, k1=20, k2=20"),
    ],
)
def test_every_reach_trains(here, capsys, choices, said):
    assert train(TrainConfig(epochs=2, **choices)) == 0
    folder = here / "runs/sunspots-elman-001"
    assert load_run(folder).config.reach == choices["reach"]
    assert said in capsys.readouterr().out
    assert said.replace("BPTT", "backpropagation through time") in (folder / "report.html").read_text()


def test_a_table_larger_than_its_memory_is_read_piece_by_piece(here, capsys):
    data = a_table(here / "d.csv", rows=300)
    config = TrainConfig(data=data, target="wind", reach="truncated", memory="10kB", epochs=2)
    assert train(config) == 0
    assert "d.csv has 300 rows and is read piece by piece" in capsys.readouterr().out
    folder = here / "runs/d-elman-001"
    assert pl.read_csv(folder / "forecast.csv")["time"].to_list() == list(range(241, 302))
    assert load_run(folder).columns == ["wind"]


@pytest.mark.parametrize("memory", ["lots", "0MB", "-3"])
def test_a_memory_that_makes_no_sense_is_refused_first(here, memory):
    with pytest.raises(UserError, match="--memory"):
        train(TrainConfig(reach="checkpointed", memory=memory))
    assert list(here.iterdir()) == []


def test_too_little_memory_names_the_least_before_anything_is_written(here):
    with pytest.raises(UserError, match="the smallest that works is"):
        train(TrainConfig(reach="checkpointed", memory="1kB"))
    assert list(here.iterdir()) == []
