"""Forecasts of a table in memory, beside those of the command and of a path."""

import polars as pl
import pytest

from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.errors import UserError
from bptt.runs.run import load

pytestmark = pytest.mark.usefixtures("unreported")


def as_columns(path):
    return {column.name: column.to_numpy() for column in pl.read_csv(path)}


def of_pandas(path):
    return pytest.importorskip("pandas").DataFrame(as_columns(path))


@pytest.mark.parametrize("read", [pl.read_csv, pl.scan_csv, as_columns, of_pandas])
def test_the_command_the_path_and_a_table_in_memory_give_the_same_to_the_last_digit(run, read, capsys):
    opened = load(run / "run")
    capsys.readouterr()
    assert predict(PredictOptions(run / "run", run / "d.csv")) == 0
    wanted = opened.predict(str(run / "d.csv"))
    assert capsys.readouterr().out == wanted.write_csv()
    found = opened.predict(read(run / "d.csv"))
    assert found.equals(wanted)
    assert len(found) == 59


def test_an_arrays_columns_are_those_of_the_run_in_their_order(run):
    opened = load(run / "run")
    array = pl.read_csv(run / "d.csv").select("y", "a").to_numpy()
    wanted = opened.predict(run / "d.csv")
    assert opened.predict(array).drop("time").equals(wanted.drop("time"))
    with pytest.raises(
        UserError, match="the table in memory has 1 columns, but these are needed, in order: 'y', 'a'"
    ):
        opened.predict(array[:, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": None}, "the table in memory: column 'a' has no values at all"),
        ({"y": pl.lit("much")}, "the table in memory: column 'y' holds text, for example 'much'"),
        ({"t": 1}, "the table in memory: row 2, column 't': 1 is there twice"),
    ],
)
def test_a_table_in_memory_is_checked_as_a_file_is(run, change, words):
    frame = pl.read_csv(run / "d.csv").with_columns(**change)
    with pytest.raises(UserError, match=words):
        load(run / "run").predict(frame)
    with pytest.raises(UserError, match="the table in memory has no column 'a'; its columns are 't', 'y'"):
        load(run / "run").predict(frame.drop("a"))
