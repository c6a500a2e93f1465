"""A training run by the command: its folder, its reports, what it refuses and warns of."""

import json
import tomllib
from dataclasses import replace

import polars as pl
import pytest
import torch

from bptt.commands.train import train
from bptt.errors import TrainingDiverged, UserError
from bptt.runs.run import load
from bptt.training.config_file import read_options
from bptt.training.options.choosing import OPTIONS, as_keywords
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.options.text import TextOptions
from bptt.training.snapshot import Snapshots
from bptt.training.tasks.forecast import sunspot_forecast
from bptt.training.tasks.forecast_rows import predicted_rows
from bptt.training.tensors import read_tensors
from small_data import a_table, a_text, contents, vowels

SPANS = ["1921-1955", "1956-1979", "1980-2008"]


def test_a_run_folder_holds_what_it_should(here, capsys):
    assert train(SunspotOptions(epochs=3)) == 0
    folder = here / "runs" / "sunspots-elman-001"
    assert tomllib.loads((folder / "config.toml").read_text())["train"]["epochs"] == 3

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["epoch"] * 3 + ["test"]
    last = lines[-1]
    assert list(last["arv"]) == SPANS
    assert set(last["gradient_by_lag"]) == {"start", "end"}

    forecast = pl.read_csv(folder / "forecast.csv")
    assert forecast.columns == ["time", "target", "truth", "forecast", "lower", "upper"]
    assert (forecast["time"][0], forecast["time"][-1]) == (1702, 2009)
    span = forecast.filter(pl.col("time").is_between(1921, 1955))
    arv = (span["truth"] - span["forecast"]).pow(2).mean() / 1535
    assert last["arv"]["1921-1955"] == pytest.approx(arv)

    shown = capsys.readouterr().out
    for words in ("persistence", "linear AR(9)", "0.123", "Weigend", "unchecked", *SPANS):
        assert words in shown


def test_the_report_is_one_offline_file(here):
    train(SunspotOptions(epochs=2))
    page = (here / "runs/sunspots-elman-001/report.html").read_text()
    assert "<script src=" not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert (data["steps"], data["t"], len(data["times"])) == (100, 100, 219)
    assert data["times"][-1] == "1920"
    assert [lags["epoch"] for lags in data["run"]["lags"]] == [0, 1, 2]
    assert len(data["run"]["losses"]) == 2
    assert len(page) < 6_000_000


@pytest.mark.usefixtures("unreported")
def test_a_second_run_takes_the_next_name_and_a_named_one_is_not_overwritten(here):
    for _ in range(2):
        train(SunspotOptions(epochs=1))
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["sunspots-elman-001", "sunspots-elman-002"]
    named = here / "runs" / "sunspots-elman-001"
    before = contents(named)
    with pytest.raises(UserError, match=r"exists already and is not overwritten.*--resume"):
        train(SunspotOptions(epochs=1, out=named))
    assert contents(named) == before


@pytest.mark.parametrize("choices", [{}, {"target": "y"}, {"task": "text"}])
def test_a_folder_as_data_is_named_and_what_a_run_folder_is_for_said(here, choices):
    folder = here / "x"
    folder.mkdir()
    with pytest.raises(UserError, match=r"x is a folder; .* is needed$"):
        train(ForecastOptions(data=folder, **choices))
    (folder / "config.toml").touch()
    with pytest.raises(UserError, match=r"x/config\.toml` trains again, `bptt train --resume .*x` continues"):
        train(ForecastOptions(data=folder, **choices))


@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
@pytest.mark.parametrize("workers", [None, 2])
def test_resuming_is_offered_only_for_a_run(here, kind, workers):
    out = here / "d.csv"
    make = {"file": out.touch, "folder": out.mkdir, "dangling": lambda: out.symlink_to(here / "none")}
    make[kind]()
    with pytest.raises(UserError, match=r"d\.csv exists already and is not overwritten; pass another --out$"):
        train(SunspotOptions(epochs=1, out=out, workers=workers, reach="truncated", k1=50, batch=2))


def test_an_unwritable_place_is_said_before_training(here):
    (here / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        train(SunspotOptions(out=here / "file" / "run"))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_users_table(here, cell, capsys):
    data = a_table(here / "my data.csv")
    config = ForecastOptions(
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
    run = load(folder)
    assert run.columns == ["y <b>&", "wind"]
    assert "y <b>&" not in (folder / "report.html").read_text().split("<main>")[1]
    assert "2020-03-05 to 2020-03-20" in capsys.readouterr().out


@pytest.mark.usefixtures("unreported")
def test_the_saved_model_makes_the_same_forecast(here):
    train(SunspotOptions(epochs=2))
    folder = here / "runs" / "sunspots-elman-001"
    run = load(folder)
    task = sunspot_forecast(run.config)
    saved = pl.read_csv(folder / "forecast.csv")["forecast"].to_numpy()
    (found,) = predicted_rows(task, run.model, None)
    assert found["forecast"].to_numpy() == pytest.approx(saved, rel=1e-6)


def test_bad_data_leaves_nothing_behind(here):
    (here / "d.csv").write_text("y\n1\nx\n")
    with pytest.raises(UserError, match="row 2"):
        train(ForecastOptions(data=here / "d.csv", target="y"))
    assert [path.name for path in here.iterdir()] == ["d.csv"]


@pytest.mark.usefixtures("unreported")
def test_a_constant_column_is_said_in_a_line(here, capsys):
    (here / "d.csv").write_text("y,a\n" + "".join(f"{i % 7},3\n" for i in range(60)))
    train(ForecastOptions(data=here / "d.csv", target="y", input=(("a",),), epochs=1))
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
    assert train(SunspotOptions(epochs=2, **choices)) == 0
    folder = here / "runs/sunspots-elman-001"
    assert load(folder).config.reach == choices["reach"]
    assert said in capsys.readouterr().out
    assert said.replace("BPTT", "backpropagation through time") in (folder / "report.html").read_text()


@pytest.mark.usefixtures("unreported")
def test_a_table_larger_than_its_memory_is_read_piece_by_piece(here, capsys):
    data = a_table(here / "d.csv", rows=300)
    config = ForecastOptions(data=data, target="wind", reach="truncated", memory="10kB", epochs=2)
    assert train(config) == 0
    assert "d.csv has 300 rows and is read piece by piece" in capsys.readouterr().out
    folder = here / "runs/d-gru-001"
    assert pl.read_csv(folder / "forecast.csv")["time"].to_list() == list(range(241, 302))
    assert load(folder).columns == ["wind"]


@pytest.mark.parametrize("memory", ["lots", "0MB", "-3", "", "1e400GB", "9" * 5000 + "MB"])
def test_a_memory_that_makes_no_sense_is_refused_first(here, memory):
    with pytest.raises(UserError, match="--memory"):
        train(SunspotOptions(reach="checkpointed", memory=memory))
    assert list(here.iterdir()) == []


def test_too_little_memory_names_the_least_before_anything_is_written(here):
    wanted = r"^--memory 1kB is too little for .*the smallest that works is \d+ bytes, (--memory [\d.]+kB)$"
    with pytest.raises(UserError, match=wanted):
        train(SunspotOptions(reach="checkpointed", memory="1kB"))
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("unreported")
def test_a_loss_that_is_not_finite_leaves_what_it_was_computed_from(here, monkeypatch):
    with pytest.raises(TrainingDiverged, match=r"first at: .*The weights before it are kept"):
        train(SunspotOptions(epochs=50, lr=1e30, clip=1e30, activation="relu", init=5.0, out=here / "run"))
    assert set(read_tensors(here / "run" / "diverged.safetensors")) == {"x", "d", "state", "first"}
    assert all(weight.isfinite().all() for weight in load(here / "run").model.parameters())
    assert Snapshots(here / "run" / "snapshots").load()[0] is not None


def test_a_text_run_folder(here, capsys):
    config = TextOptions(data=a_text(here / "cats.txt"), epochs=2, hidden=6, batch=3, validation=0.1)
    assert train(config) == 0
    folder = here / "runs" / "cats-lstm-001"
    written = {path.name for path in folder.iterdir()}
    results = {"model.safetensors", "metrics.jsonl", "sample.txt", "report.html"}
    assert written == {*results, "config.toml", "snapshots", ".lock"}
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(last["bits_per_character"]) == ["validation", "test"]
    assert set(last["baselines"]) == {"characters' frequencies", "5-gram (Witten-Bell)", "xz"}
    run = load(folder)
    assert run.labels == sorted(set("the cat sat on the mat. "))
    page = (folder / "report.html").read_text()
    assert "Generated text" in page
    assert 'id="forecast"' not in page
    shown = capsys.readouterr().out
    assert "777 training characters, 11 different ones, truncated BPTT, k1=64, k2=64" in shown
    assert "bits per character (less is better)" in shown


def test_a_classify_run_folder(here, capsys):
    config = ClassifyOptions(data=vowels(here / "v.ts"), epochs=4, hidden=6, clip="auto", batch=2)
    assert train(config) == 0
    folder = here / "runs" / "v-gru-001"
    written = {path.name for path in folder.iterdir()}
    wanted = {
        "config.toml",
        "model.safetensors",
        "metrics.jsonl",
        "predictions.csv",
        "confusion.csv",
        "report.html",
        "snapshots",
        ".lock",
    }
    assert written == wanted
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert set(last["accuracy"]) == {"training", "test"}
    confusion = pl.read_csv(folder / "confusion.csv")
    assert confusion.columns == ["truth", "predicted 0", "predicted 1"]
    assert confusion.select(pl.col("^predicted.*$")).to_numpy().tolist() == last["confusion"]
    assert "Confusion matrix" in (folder / "report.html").read_text()
    shown = capsys.readouterr().out
    assert "16 training sequences of 2 classes, full BPTT" in shown
    assert "gradients are clipped at" in shown
    assert "chosen by cross-validation: --readout" in shown
    assert shown.rstrip().endswith(as_keywords(last["verdict"]))
    assert last["verdict"] in (folder / "report.html").read_text()
    chosen = load(folder).config
    assert (chosen.stride, chosen.batch, chosen.epochs) == (1, 2, 4)
    assert chosen.readout is not None
    assert load(folder).task.config == chosen


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize("task", ["forecast", "classify", "text"])
def test_its_config_runs_a_run_again_to_the_same_numbers(here, task):
    own = {
        "forecast": {"data": a_table(here / "d.csv"), "target": "wind", "input": (("y <b>&",),), "noise": 0.1},
        "classify": {"data": vowels(here / "v.ts"), "layers": 2, "dropout": 0.2, "validation": 0.2},
        "text": {"data": a_text(here / "t.txt"), "schedule": "step", "clip": "auto", "batch": 2},
    }
    config = OPTIONS[task](epochs=3, hidden=5, out=here / "one", **own[task])
    assert train(config) == 0
    assert train(replace(read_options(here / "one" / "config.toml", {}), out=here / "two")) == 0
    one, two = load(here / "one"), load(here / "two")
    assert replace(one.config, out=None) == replace(two.config, out=None)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)
    epochs = [(here / run / "metrics.jsonl").read_text().splitlines()[:3] for run in ("one", "two")]
    assert epochs[0] == epochs[1]


@pytest.mark.usefixtures("unreported")
def test_patience_ends_it_early(here, capsys):
    config = ForecastOptions(
        data=a_table(here / "d.csv"), target="wind", validation=0.3, patience=2, lr=0.5, epochs=200
    )
    assert train(config) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "of 200, the last 2 no better on validation; kept the weights of epoch" in shown
    lines = (here / "runs/d-gru-001/metrics.jsonl").read_text().splitlines()
    assert len(lines) < 200
    assert not json.loads(lines[-1])["interrupted"]


@pytest.mark.usefixtures("unreported")
def test_tensorboard_gets_what_metrics_get(here):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    train(SunspotOptions(epochs=2, out=here / "run", tensorboard=True))
    assert len(list((here / "run").glob("events.out.tfevents.*"))) == 1
