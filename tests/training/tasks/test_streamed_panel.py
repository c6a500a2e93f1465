"""Many series of a table on disk are trained on, judged and dated as those of a table in memory."""

import copy
import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from bptt.errors import UserError
from bptt.training.data import streamed_series, streamed_tables
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.factory import made_task
from bptt.training.tasks.row_times import times_of
from bptt.training.workers import Workers
from forecasting import check_trained_alike, training_data

LENGTHS = {"b": 90, "a": 70, "7": 60}
WHEN = datetime(2020, 1, 30, 22)


@pytest.fixture(params=[pytest.param(7, marks=pytest.mark.slow), 17, 100_000])
def piece(request, monkeypatch):
    for module in (streamed_series, streamed_tables):
        monkeypatch.setattr(module, "PIECE", request.param)
        monkeypatch.setattr(module, "ROWS", request.param)


def table(lengths=LENGTHS, gaps=False):
    """Rows of several series, mixed."""
    rng = np.random.default_rng(0)
    rows = [
        {"who": name, "t": t, "y": scale * (10 + math.sin(t / 3) + rng.normal(0, 0.1)), "x": t % 5 + rng.normal()}
        for scale, (name, length) in enumerate(lengths.items(), start=1)
        for t in range(length)
    ]
    frame = pl.DataFrame(rows)
    if gaps:
        absent = pl.col("t").is_between(10, 14) | (pl.col("t") == 0) | (pl.col("t") % 17 == 16)
        frame = frame.with_columns(y=pl.when(absent).then(None).otherwise(pl.col("y")))
    mixed = rng.permutation(len(frame))
    return frame[mixed].sort("t", maintain_order=True)


def written(frame, path):
    {".csv": frame.write_csv, ".parquet": frame.write_parquet}[path.suffix](path)
    return path


def task_of(path, **choices):
    """The task on disk, or in memory with a larger `memory`."""
    columns = {"target": "y", "input": (("x",),), "series": "who", "time": "t"}
    base = {"data": path, **columns, "hidden": 5, "epochs": 2, "reach": "truncated", "memory": "1B"}
    return made_task(SunspotOptions(**{**base, **choices}))


def both(path, **choices):
    """The task in memory and the one on disk."""
    whole, parts = task_of(path, **choices, memory="1GB"), task_of(path, **choices)
    assert (whole.in_memory, parts.in_memory) == (True, False)
    return whole, parts


def check_same(whole, parts, folder, trained=True):
    """The same inputs, targets, losses, scores and forecasts."""
    assert [part.part for part in parts.parts] == [part.part for part in whole.parts]
    assert repr(parts) == repr(whole)
    for name in ("calendar", "lags", "clock", "spacings", "columns"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert parts.scaling.mean == pytest.approx(whole.scaling.mean)
    for one, other in zip(parts.parts, whole.parts, strict=True):
        assert (one.spans, one.name, one.seasons) == (other.spans, other.name, other.seasons)
        found, wanted = (times_of(part.table, part.spacing, np.arange(one.rows + 3)) for part in (one, other))
        assert found == wanted
        steps = one.train_steps - one.first_held_out
        assert one.held_out_times() == other.held_out_times()[-steps:]
        assert len(one.held_out_times()) == steps
        for found, wanted in zip(*map(training_data, (one, other)), strict=True):
            assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    wanted, found = check_trained_alike(whole, parts, folder, trained)
    assert (found.spans, list(found.covered), list(found.rmse)) == (
        wanted.spans,
        list(wanted.covered),
        list(wanted.rmse),
    )
    files = [pl.read_csv(folder / name, infer_schema=False) for name in ("parts.csv", "whole.csv")]
    keys = ["series", "time", *(["horizon"] if "horizon" in files[0].columns else [])]
    joined = files[0].join(files[1], on=keys, how="left", maintain_order="left", suffix="_wanted")
    assert joined["forecast_wanted"].null_count() == 0
    for name in ("forecast", "lower", "upper", "truth"):
        own, other = (joined[column].cast(pl.Float64).fill_null(-1.0) for column in (name, f"{name}_wanted"))
        assert np.allclose(own, other, rtol=1e-4, atol=1e-4), name


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "choices",
    [
        {"validation": 0.2},
        {"linear": True, "lags": None, "horizon": (1, 3), "k2": 50, "validation": 0.3, "batch": 2},
        {"gaps": True, "missing": "interpolate", "validation": 0.2},
        {"gaps": True, "missing": "mask", "linear": True, "lags": None, "batch": 1},
    ],
)
@pytest.mark.usefixtures("piece")
def test_series_on_disk_are_those_in_memory(tmp_path, kind, choices):
    choices = dict(choices)
    path = written(table(gaps=choices.pop("gaps", False)), tmp_path / f"d.{kind}")
    check_same(*both(path, **choices), tmp_path)


TIMES = {
    "hours": lambda t: WHEN + timedelta(hours=t),
    "days": lambda t: (WHEN + timedelta(days=t)).date(),
    "american": lambda t: (WHEN + timedelta(days=t)).strftime("%m/%d/%Y"),
    "digits": lambda t: int((WHEN + timedelta(days=t)).strftime("%Y%m%d")),
    "zoned": lambda t: (WHEN + timedelta(minutes=15 * t)).isoformat() + "+01:00",
    "numbers": lambda t: f"{t / 4:g}",
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("times", list(TIMES))
@pytest.mark.usefixtures("piece")
def test_their_times_are_read_as_in_memory(tmp_path, kind, times):
    frame = table()
    frame = frame.with_columns(t=pl.Series(list(map(TIMES[times], frame["t"]))))
    path = written(frame, tmp_path / f"d.{kind}")
    check_same(*both(path, calendar=True, linear=True, lags=None), tmp_path, trained=False)


def test_an_array_may_name_its_series_by_numbers(tmp_path):
    frame = table().with_columns(who=pl.col("who").replace_strict({"a": 1, "b": 2, "7": 3}))
    np.save(tmp_path / "d.npy", frame.to_numpy())
    columns = {"series": "0", "time": "1", "target": "2", "input": (("3",),)}
    check_same(*both(tmp_path / "d.npy", **columns), tmp_path, trained=False)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_series_that_hold_too_little_are_left_out_as_in_memory(tmp_path, kind):
    frame = table({**LENGTHS, "short": 9, "none": 40})
    absent = pl.col("who") == "none"
    path = written(frame.with_columns(y=pl.when(absent).then(None).otherwise("y")), tmp_path / f"d.{kind}")
    with (
        pytest.warns(UserWarning, match=r"'none' is left out: d\.[a-z]+, .*: column 'y' has no values at all"),
        pytest.warns(UserWarning, match=r"series 'short' is left out: d\.[a-z]+, series 'short' has 9 rows"),
    ):
        check_same(*both(path), tmp_path, trained=False)


@pytest.mark.usefixtures("piece")
def test_workers_share_the_series(tmp_path):
    path = written(table(), tmp_path / "d.csv")
    whole, parts = both(path, validation=0.2)
    model = network_of(whole.config, whole)
    for rank in (0, 1):
        found, wanted = (list(task.updates(model, Workers(rank, 2)).sequences(1)[0]) for task in (parts, whole))
        x, wanted = torch.cat([own for own, _ in found]), torch.stack(wanted)
        steps = [part.learned_steps for part in parts.parts][Workers(rank, 2).share(3)]
        for lane, own in enumerate(steps):
            assert torch.allclose(x[:own, lane], wanted[:own, lane], atol=1e-6)
            assert not x[own:, lane].any()


@pytest.mark.parametrize(
    ("text", "choices", "words"),
    [
        ("who,t,y,x\na,1,1,1\n,2,1,1\n", {}, "column 'who' has 1 missing of 2 values"),
        ("who,t,y,x\na,1,1,1\n", {"series": "x"}, "'x' says which series a row belongs to"),
        ("who,t,y,x\na,1,1,1\n", {"series": "whom"}, "no column 'whom'"),
        ("who,t,y,x\na,1,1,1\na,2,word,1\n", {}, "d.csv: row 2, column 'y': 'word' is not a finite number"),
        ("who,t,y,x\na,1,1,1\nb,3,1,1\na,0,1,1\n", {}, "d.csv, series 'a': row 2, column 't': 0 is out of order"),
        ("who,t,y,x\na,1,1,1\na,NA,1,1\n", {}, "d.csv: column 't' has no time in row 2"),
        ("who,t,y,x\na,1,NA,1\n", {}, "d.csv has no series with values in every column asked for"),
    ],
)
@pytest.mark.filterwarnings("ignore:series")
def test_what_cannot_be_series_on_disk_is_refused(tmp_path, text, choices, words):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        task_of(path, **choices)


def test_a_run_continued_within_an_epoch_ends_with_the_same_weights(tmp_path, monkeypatch):
    for module in (streamed_series, streamed_tables):
        monkeypatch.setattr(module, "ROWS", 16)
    task = task_of(written(table(), tmp_path / "d.csv"), k1=5, k2=10, epochs=3, validation=0.2, batch=2)
    whole, states = network_of(task.config, task), []
    training = Training(whole, task.updates(whole), task.config)
    training.run(on_update=lambda: states.append(copy.deepcopy(training.state_dict())))
    place = next(place for place, state in enumerate(states) if len(state["epochs"]) == 1) + 4
    assert states[place]["place"] != states[place - 1]["place"], "it is no place within an epoch"
    assert len(states[place]["epochs"]) == 1
    model = network_of(task.config, task)
    continued = Training(model, task.updates(model), task.config)
    continued.load_state_dict(states[place])
    continued.run()
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name
    assert continued.epochs == training.epochs
