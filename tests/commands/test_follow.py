import csv
import io
import math
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from bptt.cli import main
from bptt.commands.follow import Forecaster, follow
from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.data.spacing import Months
from bptt.training.data.time_column import read_timestamps
from bptt.training.data.timestamps import Clock
from bptt.training.options.forecast import ForecastOptions
from support import leave_out_reports

pytestmark = pytest.mark.usefixtures("unreported")

ROWS = [(f"2020-01-{i + 1:02}", math.sin(i / 3), i % 5) for i in range(31)]
TEXT = "t,y,a\n" + "".join(f"{t},{y!r},{a}\n" for t, y, a in ROWS)
NEW = "t,y,a\n" + "".join(f"{t},{y + 0.1 * math.cos(a)!r},{a}\n" for t, y, a in ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("follow")
    (folder / "d.csv").write_text(TEXT)
    data = {"data": folder / "d.csv", "target": "y", "input": (("a",),), "time": "t", "calendar": False}
    sizes = {"layers": 2, "lags": 3, "horizon": 2, "epochs": 2}
    with pytest.MonkeyPatch.context() as patched:
        leave_out_reports(patched)
        train(ForecastOptions(**data, **sizes, cell="elman", leak=0.5, out=folder / "elman"))
        train(ForecastOptions(**data, **sizes, cell="gru", out=folder / "gru"))
    return folder


def followed(run, text, time=None):
    follow(run, time, io.BytesIO(text if isinstance(text, bytes) else text.encode()))


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_the_same_numbers_as_on_the_whole_file(folder, cell, capsys):
    followed(load(folder / cell), NEW)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["time"] for row in rows] == [t for t, _, _ in ROWS]
    assert [float(row["value"]) for row in rows] == [y + 0.1 * math.cos(a) for _, y, a in ROWS]
    assert [row["forecast"] for row in rows[:2]] == ["", ""]
    (folder / "new.csv").write_text(NEW)
    assert predict(PredictOptions(folder / cell, folder / "new.csv")) == 0
    whole = pl.read_csv(capsys.readouterr().out.encode())
    assert len(whole) == len(rows) - 2
    for name in ("forecast", "lower", "upper"):
        for row, wanted in zip(rows[2:], whole[name], strict=True):
            assert float(row[name]) == pytest.approx(wanted, rel=1e-5)


def test_it_reads_csv_as_it_is_written(folder, capsys):
    """A byte order mark, CRLF, quotes, blank lines, columns in another order, rows without a time."""
    followed(load(folder / "gru"), b'\xef\xbb\xbf"a", y \r\n\r\n1,"0.5"\r\n2, 0.25\r\n')
    assert capsys.readouterr().out == "time,target,value,forecast,lower,upper\n1,y,0.5,,,\n2,y,0.25,,,\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "standard input is empty"),
        ("t,y,a\n", "a header and no rows"),
        ("t,y\n1,2\n", "no column 'a'; its columns are 't', 'y'"),
        ("y,a,y\n1,2,3\n", "'y' stands twice"),
        ("y;a\n1;2\n", "semicolons"),
        ("y,a\n1,2\n1,2,3\n", "line 3: 3 fields where the header has 2; .*is a comma a decimal comma"),
        ("y,a\n1,2\n\n1\n", "line 4: 1 fields"),
        ("y,a\n1,2\n1,\n", "line 3, column 'a': the value is missing"),
        ("y,a\n1,2\nx,2\n", "line 3, column 'y': 'x' is not a finite number"),
        ("y,a\n1,2\n1e400,2\n", "line 3, column 'y': '1e400' is not a finite number"),
        ("y,a\n1,2\n1_0,2\n", "line 3, column 'y': '1_0' is not a finite number"),
        ("y,a\n1,2\n-NaN,2\n", "line 3, column 'y': the value is missing"),
        ('y,a\n1,2\n1,"1,000"\n', "line 3, column 'a': '1,000' .*thousands separators"),
        ("y,a\n1,2\n\u0661,2\n", "line 3, column 'y': '\u0661' is not a finite number"),
        ("y,a\n1,2\n1e155,2\n", "line 3, column 'y': 1e155 is beyond 1e100"),
        ("y,a\n1,2\n1e90,2\n", r"line 3: column 'y' holds 1e\+90, more than 1e\+15 standard deviations"),
        ("y,a\n1,2\n1,2,\n", "line 3: 3 fields where the header has 2; the row ends in a comma"),
        ("y\n1\n", "no column 'a'"),
        ('y,a\n1,2\n"1"x,2\n', "line 3"),
        (b"y,a\n1,2\n\xe9,2\n", "line 3 is not UTF-8: byte 0xe9"),
    ],
)
def test_a_bad_line_is_named_after_those_before_it_were_answered(folder, text, words, capsys):
    with pytest.raises(UserError, match=words):
        followed(load(folder / "gru"), text)
    answered = "line 3" in words or "line 4" in words
    assert capsys.readouterr().out.count("\n1,y,1.0,,,\n") == answered


def test_a_line_without_an_end_is_refused(folder, monkeypatch):
    monkeypatch.setattr("bptt.commands.follow.LONGEST", 1000)
    with pytest.raises(UserError, match="line 2 is longer than 0 MB"):
        followed(load(folder / "gru"), "y,a\n" + "1" * 2000)


def test_a_cell_longer_than_the_csv_module_reads_is_refused(folder):
    with pytest.raises(UserError, match="line 2: a cell has more than 131,072 characters; shorten it"):
        followed(load(folder / "gru"), "y,a\n1," + "1" * 131_073)


def test_a_time_that_is_not_there_is_an_error_only_where_it_was_asked_for(folder, capsys):
    run = load(folder / "gru")
    with pytest.raises(UserError, match="no column 'day'"):
        followed(run, "t,y,a\n1,2,3\n", time="day")
    followed(run, "day,y,a\n7,2,3\n", time="day")
    assert capsys.readouterr().out.endswith("\n7,y,2.0,,,\n")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (["Mon"], "is neither numbers nor dates throughout: 'Mon'"),
        (["2020-01-01", ""], "has no time, ''; each row needs one"),
        (["2020-01-02", "2020-01-01"], "2020-01-01 is out of order, after 2020-01-02 in the row before; sort"),
        (["2020-01-02", "2020-01-02"], "2020-01-02 is there twice, in the row before too; each row needs its own"),
        (["2020-01-02T12:00Z", "2020-01-02T13:00+01:00"], "is the same as 2020-01-02T12:00Z to the microsecond"),
        (["2020-01-02T02:30", "2020-01-02T02:00"], "out of order, .*; if a clock was set back there"),
        (["2", "1.5"], "1.5 is out of order, after 2 in the row before"),
        (["20200131", "20200131"], "20200131 is there twice"),
        (["1", "2020-01-02"], "is neither numbers nor dates throughout: '2020-01-02', '1' in the row before"),
        (["2020-01-02", "03.01.2020"], "'2020-01-02' in the row before and '03.01.2020' in this; write all dates"),
        (
            ["2020-01-02", "2020-01-03T00:00Z"],
            "'2020-01-02' in the row before has no offset .* has one; write all",
        ),
        (["2020-01-02T00:00Z", "2020-01-03"], "in the row before has an offset .* has none; write all"),
        (["9998-12-31", "9999-01-01"], "has dates beyond the years 2 to 9998"),
    ],
)
def test_a_time_that_does_not_follow_the_one_before_it(folder, times, words, capsys):
    day_first = "03.01.2020" in times
    run = load(folder / "gru")
    run = replace(run, clock=Clock(day_first=True)) if day_first else run
    text = "t,y,a\n" + "".join(f"{time},1,2\n" for time in times)
    with pytest.raises(UserError, match=f"^standard input, line {len(times) + 1}, column 't'.*{words}"):
        followed(run, text)
    assert capsys.readouterr().out.count("\n") == len(times)  # the header, and the rows before


def test_times_that_the_run_cannot_read_are_passed_on(folder, capsys):
    """Which of two numbers is the month is seen from all the rows of a file, and not from one."""
    followed(load(folder / "gru"), "t,y,a\n01/02/2020,1,2\n02/02/2020,1,2\n")
    assert capsys.readouterr().out.count("\n") == 3


def test_times_of_different_series_need_no_order(tmp_path, capsys):
    rows = [f"{who},{i},{math.sin(i)}" for i in range(30) for who in "ab"]
    (tmp_path / "d.csv").write_text("who,t,y\n" + "\n".join(rows) + "\n")
    choices = {"data": tmp_path / "d.csv", "target": "y", "time": "t", "series": "who"}
    train(ForecastOptions(**choices, epochs=1, out=tmp_path / "run"))
    capsys.readouterr()
    with pytest.raises(UserError, match="line 5, column 't': 7 is there twice"):
        followed(load(tmp_path / "run"), "who,t,y\na,7,1\nb,3,1\nb,4,1\na,7,1\n")
    assert capsys.readouterr().out.count("\n") == 4


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"data": "d.csv"}, "leave one of them out"),
        ({"out": "f.csv"}, "instead of --out"),
        ({"missing": "mask"}, "--missing mask needs a run that was trained with it"),
    ],
)
def test_choices_that_do_not_go_together(folder, choices, words):
    choices = {name: folder / v if name in ("data", "out") else v for name, v in choices.items()}
    with pytest.raises(UserError, match=words):
        predict(PredictOptions(folder / "gru", follow=True, **choices))
    with pytest.raises(UserError, match="--follow to read"):
        predict(PredictOptions(folder / "gru"))


def test_a_forecaster_waits_for_its_lags(folder):
    forecaster = Forecaster(load(folder / "gru"))
    found = [forecaster.next([y, a]) for _, y, a in ROWS[:4]]
    assert [forecast is None for forecast in found] == [True, True, False, False]


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_run_that_reads_dates_answers_the_first_row(tmp_path, ahead, capsys):
    text = "t,y\n" + "".join(
        f"2024-01-{d + 1:02}T{h:02}:00,{math.sin(h / 4)}\n" for d in range(4) for h in range(24)
    )
    (tmp_path / "d.csv").write_text(text)
    choices = {"data": tmp_path / "d.csv", "target": "y", "time": "t", "lags": 1}
    train(ForecastOptions(**choices, horizon=ahead, epochs=2, out=tmp_path / "run"))
    capsys.readouterr()
    followed(load(tmp_path / "run"), text)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    predict(PredictOptions(tmp_path / "run", tmp_path / "d.csv"))
    whole = pl.read_csv(capsys.readouterr().out.encode())["forecast"]
    assert [float(row["forecast"]) for row in rows] == pytest.approx(whole.to_list(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,y\n2024-01-01,1\n", "no column 'who'"),
        ("who,y\na,1\n", "no column 't'"),
        (
            "who,t,y\nc,2024-01-01,1\n",
            r"line 2, column 'who': 'c' is none of the series .* 'a', 'b', so that its scale",
        ),
        ("who,t,y\na,noon,1\n", "line 2: 'noon'"),
        ("who,t,y\na,7,1\n", "line 2: '7'"),
        ("who,t,y\na,9999-12-31T23:00,1\n", "line 2: .* is beyond the years 2 to 9998"),
        ("who,t,y\na,2024-01-02,1\nb,2024-01-01,1\na,2024-01-02,1\n", "line 4: 2024-01-02 does not come after"),
        (
            "who,t,y\na,2024-01-02,1\na,2024-01-03T00:00Z,1\n",
            "line 3: '2024-01-03T00:00Z' has an offset from UTC, and .* none",
        ),
    ],
)
def test_series_and_dates_that_cannot_be_used(tmp_path, text, words, capsys):
    rows = [f"{who},2024-01-{d + 1:02}T{h:02}:00,{h + d}" for d in range(3) for h in range(24) for who in "ab"]
    (tmp_path / "d.csv").write_text("who,t,y\n" + "\n".join(rows) + "\n")
    choices = {"data": tmp_path / "d.csv", "target": "y", "time": "t", "series": "who"}
    train(ForecastOptions(**choices, epochs=1, out=tmp_path / "run"))
    run = load(tmp_path / "run")
    with pytest.raises(UserError, match=words):
        followed(run, text)
    distant = replace(run, spacings={"a": Months(24, ("1",))})
    with pytest.raises(UserError, match="line 2: the row forecast from 9998-05-01 would be dated after the year"):
        followed(distant, "who,t,y\na,9998-05-01,1\n")


def dated(cells):
    """A table of such dates and a noisy wave."""
    values = [math.sin(i / 5) + math.cos(i * i) / 9 for i in range(len(cells))]
    return pl.DataFrame({"t": cells, "y": values})


HOURS = pl.Series([datetime(2024, 3, 25, tzinfo=UTC) + timedelta(hours=i) for i in range(300)])
DAYS = pl.Series([date(2024, 1, 1) + timedelta(days=i) for i in range(201)])  # to a Friday
WORKDAYS = DAYS.filter((DAYS.dt.weekday() < 6) & ~DAYS.is_in([date(2024, 3, 29), date(2024, 4, 1)]))
NEXT = {
    "hours": (HOURS.dt.replace_time_zone(None).dt.to_string("%Y-%m-%d %H:%M"), "2024-04-06 12:00"),
    "hours, some missing": (
        HOURS.filter(pl.arange(300, eager=True) % 50 > 1).dt.to_string("%Y-%m-%dT%H:%MZ"), "2024-04-06T12:00Z"
    ),
    "hours of a zone": (HOURS.dt.convert_time_zone("Europe/Berlin"), "2024-04-06T14:00:00+02:00"),
    "working days": (WORKDAYS, "2024-07-22"),
    "the day first": (DAYS.dt.to_string("%d/%m/%Y"), "20/07/2024"),
    "by no rule": (DAYS.filter(pl.Series([i * i * i % 13 % 4 == 0 for i in range(201)])), "2024-07-21"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NEXT)
def test_training_prediction_and_following_date_rows_alike(tmp_path, name, capsys):
    cells, last = NEXT[name]
    data = tmp_path / "d.parquet"
    dated(cells).write_parquet(data)
    choices = {"target": "y", "time": "t", "lags": 2, "horizon": (1, 3), "epochs": 2}
    assert train(ForecastOptions(data=data, **choices, hidden=3, out=tmp_path / "run")) == 0
    assert ("warning: d.parquet: the times follow no rule" in capsys.readouterr().out) == (name == "by no rule")
    own = (tmp_path / "run" / "forecast.csv").read_text()
    assert predict(PredictOptions(tmp_path / "run", data)) == 0
    shown = capsys.readouterr()
    rows, trained = (pl.read_csv(text.encode(), schema_overrides={"time": pl.String}) for text in (shown.out, own))
    assert rows.drop("lower", "upper").equals(trained.drop("lower", "upper"))
    assert ("warning: d.parquet: the times follow no rule" in shown.err) == (name == "by no rule")
    rows = rows.filter(pl.col("horizon") == 3)
    run = load(tmp_path / "run")
    known = read_timestamps(cells, "d.parquet").texts
    assert rows["time"].to_list()[:-3] == known[4:]
    assert rows["time"].to_list()[-3] == last
    followed(run, dated(known).write_csv())
    answers = pl.read_csv(capsys.readouterr().out.encode()).filter(pl.col("horizon") == 3)
    assert answers["forecast"].to_list()[1:] == pytest.approx(rows["forecast"].to_list(), rel=1e-5)


@pytest.fixture
def process(folder):
    """The command itself, with its first row answered."""
    started = subprocess.Popen(
        [sys.executable, "-m", "bptt", "predict", "gru", "--follow"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    started.stdin.write("y,a\n0.5,1\n")
    assert started.stdout.readline() == "time,target,value,forecast,lower,upper\n"
    assert started.stdout.readline() == "1,y,0.5,,,\n"  # while the input stays open
    yield started
    started.kill()
    started.communicate()


def test_ctrl_c_is_quiet(process):
    """While it waits for its input, which stays open; a shell says 130."""
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    assert process.communicate() == ("", "")


def test_a_closed_pipe_is_quiet(process):
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate("0.25,2\n")
    assert (process.returncode, err) == (0, "")


def test_the_end_of_the_input_is_the_end(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"y,a\n0.5,1\n0.25,2\n")))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(folder / "gru"), "--follow"])
    answers = "time,target,value,forecast,lower,upper\n1,y,0.5,,,\n2,y,0.25,,,\n"
    assert (ended.value.code, *capsys.readouterr()) == (0, answers, "")
