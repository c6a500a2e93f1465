import math
import os
import signal
from datetime import date, timedelta
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest

import bptt
from bptt.commands.train import train as command
from bptt.errors import UserError
from bptt.runs import train as runs_train
from bptt.runs import training_run
from bptt.training.options.forecast import ForecastOptions
from bptt.walks import kernels

QUICK = {"epochs": 2, "hidden": 3}
ROWS = {"y": [math.sin(i / 3) for i in range(60)], "a": [float(i % 5) for i in range(60)]}


@pytest.fixture(autouse=True)
def quick_page(monkeypatch):
    """Pages take longer than all else."""
    monkeypatch.setattr(training_run, "run_explorer", Mock())
    monkeypatch.setattr(training_run, "page_html", lambda page: "a page")


@pytest.fixture
def frame():
    days = [date(2020, 1, 1) + timedelta(day) for day in range(60)]
    return pl.DataFrame({"day": days, **ROWS})


@pytest.fixture
def long():
    return pl.DataFrame(
        [{"who": w, "kind": "ab"[w % 2], "x": math.sin(i * (1 + w % 2))} for w in range(12) for i in range(8)]
    )


def test_a_table_in_memory_a_file_and_the_command_train_the_same(frame, tmp_path, capsys):
    frame.write_csv(tmp_path / "d.csv")
    choices = {"target": "y", "input": ["a"], "time": "day", "horizon": [1, 3], "calendar": True, **QUICK}
    of_table = bptt.train(frame, **choices)
    of_file = bptt.train(tmp_path / "d.csv", out=tmp_path / "run", **choices)
    assert capsys.readouterr().out == ""
    own = {**choices, "input": (("a",),), "horizon": (1, 3)}
    assert command(ForecastOptions(data=tmp_path / "d.csv", out=tmp_path / "other", **own)) == 0
    for run in (of_table, of_file, bptt.load(tmp_path / "run")):
        found = run.predict(frame)
        written = pl.read_csv(tmp_path / "other" / "forecast.csv", schema=found.schema)
        ends = ["lower", "upper"]  # they go on from where training ended
        assert found.drop(ends).equals(written.drop(ends))
        assert found.equals(run.predict(tmp_path / "d.csv"))
        assert run.metrics[-1].keys() == bptt.load(tmp_path / "other").metrics[-1].keys()
    assert of_table.metrics[-1]["arv"] == bptt.load(tmp_path / "other").metrics[-1]["arv"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {p.name for p in (tmp_path / "other").iterdir()}


def test_a_run_in_memory_writes_nothing_and_answers_as_a_loaded_one(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = bptt.train(frame.to_dict(as_series=False), target="y", **QUICK)
    assert run.folder is None
    assert repr(run).startswith("Run(in memory, forecast, gru network of 3 units, arv ")
    assert len(run.losses) == 2
    assert not list(tmp_path.iterdir())
    kept = bptt.train(frame.select("y"), target="y", out=tmp_path / "run", **QUICK)
    for one in (run, kept):
        assert str(one.diagnose()) == str(run.diagnose())
        assert one.explain(steps=5).t == 5
        assert one.explain(2, steps=5).t == 2
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run.explain(steps=0)
    assert run.diagnose(frame).where.startswith("rows 1-59 of the 60 rows of the table in memory")
    assert run.export(tmp_path / "m.onnx").onnx.inputs == ("x",)
    assert run.export(tmp_path / "s.onnx", state=True).onnx.inputs == ("x", "h_0")


def test_with_verbose_it_prints_what_the_command_prints(frame, capsys):
    bptt.train(frame, target="y", verbose=True, **QUICK)
    said = capsys.readouterr().out
    assert "columns: target 'y', whose past is input" in said
    assert "this run (gru)" in said
    assert "written to" not in said


def test_its_hints_name_arguments_not_options_of_the_command_line(frame, capsys, monkeypatch):
    monkeypatch.setattr(kernels, "missing", lambda: "pip builds them")  # else pip's own options are named
    bptt.train(frame, target="y", validation=0, linear=False, verbose=True, **QUICK)
    said = capsys.readouterr().out
    assert "and are too narrow; validation=0.2 gives honest ones." in said
    assert "--" not in said.replace("---", "")


def test_warnings_are_pythons_and_point_at_the_callers_line(frame):
    with pytest.warns(UserWarning, match=r"column 'a' is constant over the training rows") as warned:
        bptt.train(frame.with_columns(a=1.0), target="y", input="a", **QUICK)
    assert {warning.filename for warning in warned} == {__file__}


def test_every_task_takes_tables(long):
    run = bptt.train(long, series="who", label="kind", **QUICK)
    assert run.task_name == "classify"
    assert run.labels == ["a", "b"]
    assert run.predict(long.drop("kind")).columns == [
        "series",
        "truth",
        "predicted",
        *map("probability of {}".format, "ab"),
    ]
    panel = pl.concat([pl.DataFrame({"shop": [s] * 60, **ROWS}) for s in "pq"])
    run = bptt.train(panel, target="y", series="shop", **QUICK)
    assert run.predict(panel)["series"].unique(maintain_order=True).to_list() == ["p", "q"]
    run = bptt.train(np.array(ROWS["y"]), target="0", **QUICK)
    assert len(run.predict(np.array(ROWS["y"]))) == 55


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"hiden": 3}, TypeError, "bptt.train has no option 'hiden'; is 'hidden' meant?"),
        ({"hidden": "3"}, UserError, "hidden must be a whole number, got '3'"),
        ({"tokens": "bytes"}, UserError, "tokens is an option of task='text'; this is task='forecast'"),
        ({"target": None}, UserError, "^target=COLUMN is needed with the table in memory: .* 'day', 'y', 'a'"),
        ({"target": "z"}, UserError, "the table in memory has no column 'z'; its columns are 'day', 'y', 'a'"),
        ({"epochs": 0}, UserError, "^epochs must be at least 1, got 0"),
        ({"workers": 2}, UserError, "only `bptt train --workers` does that"),
        ({"snapshot": 1}, UserError, "snapshot is about the run folder, and there is none; pass out= as well"),
    ],
)
def test_what_cannot_be_used_is_said(frame, choices, error, words):
    with pytest.raises(error, match=words):
        bptt.train(frame, **{"target": "y", **choices})


def test_what_is_no_data_is_refused():
    with pytest.raises(TypeError, match=r"data must be the path of a file, a polars .* got list"):
        bptt.train([1, 2])


def test_a_config_and_its_folder_say_that_the_data_were_in_memory(frame, tmp_path):
    folder = tmp_path / "run"
    run = bptt.train(frame, target="y", time="day", out=folder, **QUICK)
    said = (folder / "config.toml").read_text()
    assert 'data = "the table in memory"' in said
    assert set(run.digests) == {f"column {name!r} of the table in memory" for name in ("y", "day")}
    assert bptt.load(folder).digests == run.digests
    for again in (lambda: bptt.load(folder).task, lambda: bptt.train(folder / "config.toml")):
        with pytest.raises(
            UserError, match="the data were a table in memory, which no run folder keeps; in Python"
        ):
            again()
    (folder / "metrics.jsonl").unlink()  # as of a run that was stopped
    with pytest.raises(UserError, match="cannot be resumed: the data were a table in memory"):
        bptt.train(resume=folder)
    with pytest.raises(UserError, match=r"column 'y' of the table in memory has changed since .* was begun"):
        bptt.train(frame.with_columns(pl.col("y") + 1), resume=folder)
    resumed = bptt.train(frame, resume=folder)
    assert resumed.predict(frame).equals(run.predict(frame))
    with pytest.raises(UserError, match=r"resume continues with the options in .*, and hidden was given as well"):
        bptt.train(frame, resume=folder, hidden=4)


def test_a_run_of_a_file_is_repeated_from_its_config_and_not_resumed_on_a_table(frame, tmp_path):
    frame.write_csv(tmp_path / "d.csv")
    first = bptt.train(tmp_path / "d.csv", target="y", out=tmp_path / "run", **QUICK)
    again = bptt.train(tmp_path / "run" / "config.toml", epochs=2)
    assert again.predict(frame).equals(first.predict(frame))
    assert bptt.train(resume=tmp_path / "run").predict(frame).equals(first.predict(frame))
    (tmp_path / "run" / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"was trained on .*d\.csv, and a table in memory was given; leave it out"):
        bptt.train(frame, resume=tmp_path / "run")


def test_ctrl_c_is_raised_once_the_folder_can_be_resumed(frame, tmp_path, monkeypatch):
    """It comes as the first epoch ends, where the time left is asked for."""
    monkeypatch.setattr(training_run, "time_left", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        bptt.train(frame, target="y", out=folder, epochs=100_000)
    run = bptt.load(folder)
    assert run.metrics[-1]["interrupted"]
    assert run.predict(frame)["forecast"].null_count() == 0
    with pytest.raises(KeyboardInterrupt):
        bptt.train(frame, resume=folder)
    assert len(bptt.load(folder).losses) > len(run.losses)
    with pytest.raises(KeyboardInterrupt):
        bptt.train(frame, target="y", epochs=100_000)


@pytest.fixture
def interrupted(monkeypatch):
    """Lets Ctrl-C come just after a call of some function."""

    def after(owner, name):
        own = getattr(owner, name)

        def call(*arguments, **keywords):
            found = own(*arguments, **keywords)
            signal.raise_signal(signal.SIGINT)
            return found

        monkeypatch.setattr(owner, name, call)

    return after


def test_ctrl_c_while_the_data_are_checked_leaves_no_folder(frame, tmp_path, interrupted):
    interrupted(training_run, "prepared")
    with pytest.raises(KeyboardInterrupt):
        bptt.train(frame, target="y", out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_before_the_first_epoch_leaves_a_folder_that_can_be_resumed(frame, tmp_path, interrupted):
    folder = tmp_path / "run"
    interrupted(runs_train, "make_run_folder")
    with pytest.raises(KeyboardInterrupt):
        bptt.train(frame, target="y", out=folder, **QUICK)
    assert bptt.load(folder).losses == []
    assert len(bptt.train(frame, resume=folder).losses) == QUICK["epochs"]


def test_the_times_of_forecasts_are_of_the_type_that_came_in():
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True)
    frame = pl.DataFrame({"t": days, "y": [i % 7 + i / 9 for i in range(len(days))]})
    run = bptt.train(frame, target="y", time="t", hidden=2, epochs=1)
    for kind in (pl.Date, pl.Datetime("ms")):
        times = run.predict(frame.cast({"t": kind}))["time"]
        assert times.dtype == kind
        assert str(times[-1]).startswith("2024-03-01")


@pytest.mark.filterwarnings("ignore:.*gradient:UserWarning")
def test_metrics_and_tasks_print_as_one_short_line(tmp_path):
    (tmp_path / "a.txt").write_text("to be or not to be\n" * 40)
    rows = [f"{i},{i % 2},{t},{(t * (1 + i % 2)) % 3}" for i in range(8) for t in range(5)]
    (tmp_path / "w.csv").write_text("\n".join(["id,kind,t,v", *rows]))
    own = {"hidden": 2, "epochs": 2}
    text = bptt.train(tmp_path / "a.txt", **own)
    classes = bptt.train(tmp_path / "w.csv", series="id", label="kind", time="t", stride=1, readout="last", **own)
    for run in (text, classes):
        assert repr(run.metrics) == "<metrics of 2 epochs, and the scores of the test set in the last line>"
        assert repr(run.task).startswith(f"<{type(run.task).__name__}: ")
        assert len(repr(run.task)) < 200


def test_durations_label_rows_and_columns_that_no_csv_can_hold_are_refused():
    frame = pl.DataFrame({"t": range(60), "y": [i % 7 + i / 9 for i in range(60)]})
    own = {"target": "y", "hidden": 2, "epochs": 1}
    later = frame.with_columns(pl.col("t").cast(pl.Duration("ms")))
    found = bptt.train(later, time="t", **own).predict(later)["time"]
    assert found.cast(pl.Float64)[-1] == pytest.approx(0.06)
    bytes_of = frame.with_columns(pl.lit(b"a").alias("t"))
    for role in ("time", "input", "series"):
        with pytest.raises(UserError, match="column 't' is Binary, but"):
            bptt.train(bytes_of, **{role: "t"}, **own)


def test_a_validation_set_that_leaves_nothing_to_learn_from_is_refused():
    frame = pl.DataFrame({"y": [i % 7 + i / 9 for i in range(60)]})
    with pytest.raises(UserError, match="leaves none of the 39 training steps to learn from"):
        bptt.train(frame, target="y", hidden=2, epochs=1, validation=0.999)
