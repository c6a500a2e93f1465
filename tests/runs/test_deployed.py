"""The files of a deployment: the script prints what `predict` returns, without bptt, torch or polars."""

import io
import json
import runpy
import subprocess
import sys
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import bptt
from bptt.errors import UserError

QUICK = {"epochs": 1, "hidden": 3, "lags": 3, "out": None}
pytestmark = pytest.mark.filterwarnings("ignore:The gradient", "ignore:.*the times follow no rule")
ABSENT = ("bptt", "torch", "polars")
SAME = 1e-5  # relative to the largest value


def printed(script, data, monkeypatch, capsys):
    """The table a script prints, run in this process with nothing but numpy and onnxruntime to import."""
    for name in ABSENT:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", [str(script), str(data)])
    capsys.readouterr()
    runpy.run_path(str(script), run_name="__main__")
    monkeypatch.undo()
    return read(capsys.readouterr().out)


def read(text):
    return pl.read_csv(io.StringIO(text), schema_overrides={"time": pl.String, "series": pl.String})


def assert_same(found, wanted):
    assert found.columns == wanted.columns
    for column in wanted.columns:
        if wanted[column].dtype.is_float():
            one, other = (frame[column].cast(float).fill_null(np.nan).to_numpy() for frame in (found, wanted))
            np.testing.assert_allclose(one, other, rtol=0, atol=SAME * np.nanmax(np.abs(other)), err_msg=column)
        else:
            assert found[column].cast(str).to_list() == wanted[column].cast(str).to_list(), column


def series(rows, **columns):
    t = np.arange(rows)
    y = 20 + np.sin(t / 3) + t / 50
    return pl.DataFrame({**columns, "y": y, "z": np.cos(t / 5), "w": np.sqrt(t)})


def dates(first, rows, next_):
    found = [first]
    while len(found) < rows:
        found.append(next_(found[-1]))
    return found


def next_workday(day):
    return day + timedelta(days=3 if day.weekday() == 4 else 1)


def month_end(day):
    later = (day + timedelta(days=1)).replace(day=28) + timedelta(days=4)
    return later - timedelta(days=later.day)


def odd_day(day):
    return day + timedelta(days=day.day % 5 + 1)


CALENDARS = {
    "days": [f"{day}" for day in dates(date(2020, 2, 1), 80, lambda day: day + timedelta(days=1))],
    "workdays": [f"{day}" for day in dates(date(2020, 1, 6), 80, next_workday)],
    "month ends": [f"{day}" for day in dates(date(2018, 1, 31), 80, month_end)],
    "months": [f"{2010 + n // 12}-{n % 12 + 1:02d}" for n in range(80)],
    "minutes": [f"{datetime(2020, 1, 1) + n * timedelta(minutes=90)}"[:16] for n in range(120)],
    "seconds": [f"{(datetime(2020, 1, 1) + n * timedelta(hours=5)).isoformat()}" for n in range(120)],
}


@pytest.mark.parametrize("kind", CALENDARS)
def test_the_script_dates_and_forecasts_as_the_run(kind, tmp_path, monkeypatch, capsys):
    times = CALENDARS[kind]
    frame = series(len(times), t=times)
    frame.write_csv(tmp_path / "d.csv")
    run = bptt.train(frame, target="y", time="t", **QUICK)
    assert run.calendar
    found = run.export(tmp_path / "model.onnx")
    assert (found.script, found.note) == (tmp_path / "predict.py", None)
    wanted = run.predict(tmp_path / "d.csv").drop("lower", "upper")
    assert_same(printed(found.script, tmp_path / "d.csv", monkeypatch, capsys), wanted)


def test_several_targets_and_horizons_in_a_process_of_its_own(tmp_path):
    frame = series(90)
    frame.write_csv(tmp_path / "d.csv")
    run = bptt.train(frame, target=["y", "z"], input=["w"], horizon=[3, 1], linear=False, **QUICK)
    found = run.export(tmp_path / "load.onnx")
    assert (found.description, found.script) == (tmp_path / "load.json", tmp_path / "predict_load.py")
    without = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); sys.argv[0] = {str(found.script)!r}; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, str(tmp_path / "d.csv")], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert_same(read(done.stdout), run.predict(tmp_path / "d.csv").drop("lower", "upper"))


@pytest.mark.parametrize("step", [1, 0.25, 10])
def test_times_that_are_numbers(step, tmp_path, monkeypatch, capsys):
    frame = series(60, t=[1900 + n * step for n in range(60)])
    frame.write_csv(tmp_path / "d.csv")
    run = bptt.train(tmp_path / "d.csv", target="y", time="t", horizon=2, **QUICK)
    found = run.export(tmp_path / "model.onnx")
    wanted = run.predict(tmp_path / "d.csv").drop("lower", "upper")
    assert_same(printed(found.script, tmp_path / "d.csv", monkeypatch, capsys), wanted)


def test_missing_values_are_masked_or_refused(tmp_path, monkeypatch, capsys):
    frame = series(90).with_columns(y=pl.when(pl.int_range(90) % 7 == 3).then(None).otherwise("y"))
    frame.write_csv(tmp_path / "d.csv")
    masks = bptt.train(frame, target="y", input=["z"], missing="mask", **QUICK)
    found = masks.export(tmp_path / "masks.onnx")
    wanted = masks.predict(tmp_path / "d.csv").drop("lower", "upper")
    assert_same(printed(found.script, tmp_path / "d.csv", monkeypatch, capsys), wanted)
    found = bptt.train(frame, target="y", missing="interpolate", **QUICK).export(tmp_path / "fills.onnx")
    with pytest.raises(SystemExit, match="missing values"):
        printed(found.script, tmp_path / "d.csv", monkeypatch, capsys)


def test_rows_of_another_spacing_or_form_are_refused(tmp_path, monkeypatch, capsys):
    run = bptt.train(series(80, t=CALENDARS["days"]), target="y", time="t", **QUICK)
    found = run.export(tmp_path / "model.onnx")
    for times, why in ((CALENDARS["months"], "not spaced"), (["01.02.2020"] * 80, "write dates as")):
        series(80, t=times).write_csv(tmp_path / "d.csv")
        with pytest.raises(SystemExit, match=why):
            printed(found.script, tmp_path / "d.csv", monkeypatch, capsys)
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    with pytest.raises(SystemExit, match=r"python predict\.py DATA\.csv"):
        runpy.run_path(str(found.script))
    series(2, t=CALENDARS["days"][:2]).write_csv(tmp_path / "d.csv")
    with pytest.raises(SystemExit, match="has 2 rows, but at least 3"):
        printed(found.script, tmp_path / "d.csv", monkeypatch, capsys)


def test_the_description_has_the_intervals_in_the_targets_units(tmp_path):
    run = bptt.train(series(90), target=["y", "z"], **QUICK)
    found = run.export(tmp_path / "model.onnx")
    facts = json.loads(found.description.read_text())
    assert (facts["onnx"], facts["targets"], facts["lags"]) == ("model.onnx", ["y", "z"], [0, 1, 2])
    std = np.array(run.scaling.std[:2])
    np.testing.assert_allclose(facts["half_widths"], run.intervals.widths * std)
    assert facts["about"].keys() - {"x", "y", "series"} <= facts.keys()


@pytest.mark.parametrize(
    ("times", "note"),
    [
        ([f"{day}T00:00Z" for day in CALENDARS["days"]], "time zone"),
        ([f"{day[8:]}.{day[5:7]}.{day[:4]}" for day in CALENDARS["days"]], "2020-01-31 alone"),
        (
            [f"{day}" for day in dates(date(2020, 1, 1), 80, lambda d: d + timedelta(days=d.day % 5 + 1))],
            "no rule",
        ),
    ],
)
def test_why_there_is_no_script(times, note, tmp_path):
    run = bptt.train(series(80, t=times), target="y", time="t", calendar=False, **QUICK)
    found = run.export(tmp_path / "model.onnx")
    assert found.script is None
    assert note in found.note
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.json"}


def test_many_series_and_streams_have_a_description_alone(tmp_path):
    frame = pl.concat([series(60, who=["a"] * 60), series(60, who=["b"] * 60)])
    run = bptt.train(frame, target="y", series="who", **QUICK)
    found = run.export(tmp_path / "model.onnx")
    assert (found.script, found.note) == (None, "it does not read many series")
    facts = json.loads(found.description.read_text())
    assert facts["series"]["b"]["mean"] == run.series["b"].mean
    assert "state" in run.export(tmp_path / "s.onnx", state=True).note


@pytest.mark.parametrize("readout", ["last", "mean", "both"])
def test_the_script_classifies_as_the_run(readout, tmp_path, monkeypatch, capsys):
    choices = {"epochs": 2, "hidden": 4, "batch": 4, "stride": 2, "readout": readout}
    lines = [f"{i % 2},{i % 5},3,{i % 3},2:1,2,{i % 4},1,0:{'ab'[i % 2]}" for i in range(12)]
    (tmp_path / "p.ts").write_text("\n".join(["@classLabel true a b", "@data", *lines, ""]))
    run = bptt.train(tmp_path / "p.ts", **choices)
    found = run.export(tmp_path / "model.onnx")
    wanted = run.predict(tmp_path / "p.ts")
    assert_same(printed(found.script, tmp_path / "p.ts", monkeypatch, capsys), wanted)


def test_the_script_classifies_the_sequences_of_a_table(tmp_path, monkeypatch, capsys):
    rows = [(f"s{n}", "xyz"[n % 3], (n % 3) + t % 2, t) for n in range(18) for t in range(4 + n % 2)]
    frame = pl.DataFrame(rows, schema=["who", "kind", "a", "b"], orient="row")
    frame.write_csv(tmp_path / "d.csv")
    options = {"epochs": 2, "hidden": 4, "batch": 4, "stride": 1, "readout": "last"}
    run = bptt.train(frame, task="classify", series="who", label="kind", **options)
    found = run.export(tmp_path / "model.onnx")
    wanted = run.predict(tmp_path / "d.csv")
    assert_same(printed(found.script, tmp_path / "d.csv", monkeypatch, capsys), wanted)


def test_nothing_is_overwritten(tmp_path):
    run = bptt.train(series(60), target="y", **QUICK)
    for name in ("model.json", "predict.py"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} exists already"):
            run.export(tmp_path / "model.onnx")
        assert not (tmp_path / "model.onnx").exists()
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match=r"cannot end in \.json"):
        run.export(tmp_path / "model.json")
