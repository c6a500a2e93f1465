import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from bptt.errors import UserError
from bptt.training.data import stream, streamed_tables
from bptt.training.data.sources import open_source, read_finite
from bptt.training.data.streamed_tables import open_table
from bptt.training.data.tables import Selection, selection_of
from bptt.training.network import network_of
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.forecast import table_forecast
from bptt.training.tasks.row_times import times_of
from forecasting import check_trained_alike, training_data
from support import covering, read_table

ROWS = 400


def streamed_forecast(config):
    return table_forecast(open_table(open_source(config.data), config.data.name, selection_of(config)), config)


@pytest.fixture(params=["csv", "parquet", "npy"])
def path(tmp_path, request):
    t = np.arange(ROWS)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, ROWS))
    y, a = 50 + 10 * np.sin(t / 5) + noise[0], np.cos(t / 7) + noise[1]
    file = tmp_path / f"series.{request.param}"
    if request.param == "npy":
        np.save(file, np.stack([a, y], 1))
    else:
        frame = pl.DataFrame({"0": a, "1": y})
        frame.write_csv(file) if request.param == "csv" else frame.write_parquet(file)
    return file


def configured(path, **choices):
    base = {"data": path, "target": "1", "input": (("0",),), "reach": "truncated", "hidden": 5, "epochs": 2}
    return SunspotOptions(**{**base, **choices})


CHOICES = [
    {},
    {"lags": 3, "horizon": 2, "k2": 50, "batch": 3, "validation": 0.2},
    {"target": ("1", "0"), "input": (), "horizon": (1, 9, 4), "season": 5, "batch": 2, "validation": 0.2},
    {"linear": True, "lags": None, "horizon": 2, "k2": 50, "batch": 3, "validation": 0.3},
    {"linear": True, "lags": None, "target": ("1", "0"), "input": (), "horizon": (1, 9), "season": 5},
]
# Pieces of 7 rows are shorter than the farthest horizon.
PIECED = [(7 if choices.get("horizon") == (1, 9, 4) else 23, choices) for choices in CHOICES]
MORE = [(piece, choices) for piece in (7, 100_000) for choices in CHOICES if (piece, choices) not in PIECED]


@pytest.mark.parametrize(
    ("piece", "choices"), [*PIECED, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)]
)
def test_piece_by_piece_it_is_the_table_in_memory(path, tmp_path, monkeypatch, piece, choices):
    for module, name in ((stream, "PIECE"), (streamed_tables, "PIECE"), (streamed_tables, "ROWS")):
        monkeypatch.setattr(module, name, piece)
    config = configured(path, **choices)
    whole = table_forecast(read_table(path, Selection(config.targets, config.inputs)), config)
    parts = streamed_forecast(config)
    assert parts.scaling.mean == pytest.approx(whole.scaling.mean)
    assert parts.scaling.std == pytest.approx(whole.scaling.std)
    assert (parts.train_steps, parts.train_rows) == (whole.train_steps, whole.train_rows)
    assert (parts.lags, parts.seasons) == (whole.lags, whole.seasons)
    (found, wanted), names = (parts.training_excerpt(), whole.training_excerpt()), ("x", "d")
    for name in names:
        assert torch.allclose(getattr(found, name), getattr(wanted, name), atol=1e-6)
    assert found.what == wanted.what
    assert found.notes == wanted.notes

    judged, judged_of_parts = check_trained_alike(whole, parts, tmp_path)
    as_written = {"time": pl.String, "target": pl.String}
    by_output = [
        outputs_of(pl.read_csv(tmp_path / name, schema_overrides=as_written))
        for name in ("parts.csv", "whole.csv")
    ]
    assert set(by_output[0]) == set(by_output[1])
    rows = judged_of_parts.rows.drop("split")
    kept = outputs_of(rows)
    assert all(kept[output].equals(own.cast(rows.schema)) for output, own in by_output[0].items())
    for output, written in by_output[0].items():
        wanted_rows = by_output[1][output].tail(len(written))
        assert written["time"].to_list() == wanted_rows["time"].to_list(), output
        assert written["truth"].null_count() == wanted_rows["truth"].null_count() == len(written) - 80
        for name in ("forecast", "lower", "upper"):
            assert np.allclose(written[name], wanted_rows[name], rtol=1e-4, atol=1e-5), output
    if len(parts.outputs) > 1:
        assert list(judged_of_parts.scores["ours"]) == list(judged.scores["ours"])


@pytest.mark.parametrize(
    ("piece", "linear", "missing"), covering([23, 100_000], [False, True], ["mask", "interpolate"])
)
def test_gaps_are_filled_as_in_memory(tmp_path, monkeypatch, piece, linear, missing):
    monkeypatch.setattr(streamed_tables, "PIECE", piece)
    monkeypatch.setattr(streamed_tables, "ROWS", piece)
    values = np.random.default_rng(0).normal(5, 2, (ROWS, 2)).cumsum(0)
    values[[0, 3, 50, 399], 0] = values[100:140, 0] = values[330:360, 0] = values[:23, 1] = math.nan
    np.save(tmp_path / "y.npy", values)
    config = configured(
        tmp_path / "y.npy", missing=missing, linear=linear, lags=None, horizon=(1, 3), validation=0.2, batch=3
    )
    tasks = table_forecast(read_table(tmp_path / "y.npy", selection_of(config)), config), streamed_forecast(config)
    model = network_of(config, tasks[0])
    for one, other in zip(*map(training_data, tasks), strict=True):
        assert torch.allclose(one, other, atol=1e-6, equal_nan=True)
    losses = [task.updates(model).validation() for task in tasks]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    whole, parts = (task.judge(task.whole(model), "ours", tmp_path / "found.csv") for task in tasks)
    assert list(whole.scores) == list(parts.scores)
    for name, scores in whole.scores.items():
        exact = 1e-5 if name in ("ours", "its linear part alone") else 1e-9
        assert list(parts.scores[name].values()) == pytest.approx(list(scores.values()), rel=exact), name
    assert parts.covered == whole.covered
    assert list(parts.mase.values()) == pytest.approx(list(whole.mase.values()), rel=1e-5)


WHEN = datetime(2020, 1, 30, 22)
TIMES = {
    "hours": [WHEN + timedelta(hours=row) for row in range(ROWS)],
    "days": [(WHEN + timedelta(days=row)).strftime("%m/%d/%Y") for row in range(ROWS)],
    "working days": [
        str(day.date()) for row in range(2 * ROWS) if (day := WHEN + timedelta(days=row)).weekday() < 5
    ],
    "odd": [str(WHEN + timedelta(seconds=row**2)) for row in range(ROWS)],
    "zoned": [(WHEN + timedelta(minutes=15 * row)).isoformat() + "+01:00" for row in range(ROWS)],
    "numbers": [f"{row / 4:g}" for row in range(ROWS)],
}


@pytest.mark.parametrize(("piece", "kind", "times"), covering([23, 100_000], ["csv", "parquet"], TIMES))
def test_times_are_read_as_in_memory(tmp_path, monkeypatch, piece, kind, times):
    monkeypatch.setattr(streamed_tables, "PIECE", 5 * piece)
    monkeypatch.setattr(streamed_tables, "ROWS", piece)
    values = 5 + np.sin(np.arange(ROWS) / 4) + np.random.default_rng(0).normal(0, 0.1, ROWS)
    frame, path = pl.DataFrame({"when": TIMES[times][:ROWS], "y": values}), tmp_path / f"t.{kind}"
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    config = configured(path, target="y", input=(), time="when", calendar=True, linear=True, lags=None, horizon=3)
    whole, parts = table_forecast(read_table(path, selection_of(config)), config), streamed_forecast(config)
    for name in ("calendar", "spans", "lags", "seasons", "clock", "spacing", "spacings"):
        assert getattr(parts, name) == getattr(whole, name), name
    rows = np.arange(ROWS + 3)
    found, wanted = (times_of(task.table, task.spacing, rows) for task in (parts, whole))
    assert found == wanted
    found, wanted = (task.training_excerpt() for task in (parts, whole))
    assert torch.allclose(found.x, wanted.x, atol=1e-6)
    assert torch.allclose(parts.path.weight, whole.path.weight, atol=1e-6)
    model = network_of(config, whole)
    judged, wanted = (task.judge(task.whole(model), "ours", tmp_path / "found.csv") for task in (parts, whole))
    assert (judged.spans, list(judged.scores)) == (wanted.spans, list(wanted.scores))
    assert judged.rows["time"].to_list() == wanted.rows["time"].to_list()[-len(judged.rows) :]
    for name, scores in wanted.scores.items():
        assert list(judged.scores[name].values()) == pytest.approx(list(scores.values()), rel=1e-5), name


@pytest.mark.parametrize("validation", [0, 0.25])
@pytest.mark.parametrize(("leap", "times"), [(0, 0), (100, 1)])
def test_a_sample_reads_the_later_rows_once_and_only_if_they_leave_the_range(
    tmp_path, monkeypatch, validation, leap, times
):
    monkeypatch.setattr(streamed_tables, "PIECE", 50)
    y = np.sin(np.arange(ROWS) / 5)
    y[-1] += leap
    np.save(tmp_path / "y.npy", y)
    task, read = streamed_forecast(configured(tmp_path / "y.npy", target="0", input=(), validation=validation)), []

    def noted(source, name, first, rows, *rest, **advice):
        read.append(first + rows)
        return read_finite(source, name, first, rows, *rest, **advice)

    monkeypatch.setattr(streamed_tables, "read_finite", noted)
    assert [len(task.training_excerpt().notes) for _ in range(3)] == [times] * 3
    assert read.count(ROWS) == times


def outputs_of(rows):
    """The rows of each target and horizon."""
    keys = [name for name in ("target", "horizon") if name in rows.columns]
    return dict(rows.group_by(keys, maintain_order=True))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"time": "0"}, "'0' labels the rows in time and cannot be a target or input"),
        ({"time": "0", "input": ()}, "out of order"),
        ({"season": 321}, "--season 321 is longer than the 320 training rows"),
        ({"target": "z"}, "has no column 'z'; its columns are '0', '1'"),
        ({"input": (("1",),)}, "'1' was asked for twice"),
        ({"lags": 400}, "400 rows, 320 of them for training; with lags=400"),
    ],
)
def test_what_cannot_be_used_is_refused(path, choices, words):
    with pytest.raises(UserError, match=words):
        streamed_forecast(configured(path, **choices))


def test_a_number_that_is_missing_is_said_with_its_place(tmp_path):
    file = tmp_path / "series.npy"
    values = np.sin(np.arange(100.0))
    values[41] = math.nan
    np.save(file, values)
    with pytest.raises(UserError, match=r"row 42, column '0': .*; fill it, or pass --missing interpolate"):
        streamed_forecast(SunspotOptions(data=file, target="0", reach="truncated"))
