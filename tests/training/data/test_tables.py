from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.sources import checked_columns, open_source
from bptt.training.data.tables import Selection, read_frame, select, select_series, sunspots
from support import read_table


def read(folder, text, target="y", inputs=(), time=None, missing="error", name="data.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    targets = (target,) if isinstance(target, str) else target
    return read_table(path, Selection(targets, inputs, time, missing))


def test_sunspots_are_all_there():
    table = sunspots()
    assert table.values.shape == (309, 1)
    assert (table.times[0], table.times[-1]) == (1700, 2008)
    assert (table.values[0, 0], table.values[-1, 0]) == (5.0, 2.9)
    assert table.values[257, 0] == 190.2  # 1957, the highest


@pytest.mark.parametrize(
    "text",
    [
        "a,y\n1,2\n3,4\n",
        "\ufeffa,y\r\n1,2\r\n3,4\r\n",
        '"a","y"\n"1","2"\n3,4',
        "a, y \n 1 , 2\n\n3,4\n\n",
    ],
)
def test_bom_line_ends_quotes_and_blanks_are_read_as_they_should_be(tmp_path, text):
    assert read(tmp_path, text, inputs=("a",)).values.tolist() == [[2, 1], [4, 3]]


def test_parquet_is_the_same(tmp_path):
    pl.DataFrame({"a": [1, 3], "y": [2.0, 4.0]}).write_parquet(tmp_path / "data.parquet")
    table = read_table(tmp_path / "data.parquet", Selection(("y",), ("a",)))
    assert table.values.tolist() == [[2, 1], [4, 3]]
    assert table.values.flags.c_contiguous


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y\n1\n\n2\nNA\n3\nNA\n", r"column 'y' has 2 missing of 5 values, the first in row 3.*interpolate"),
        ("a,y\n1,2\n3,\n", r"column 'y' has 1 missing of 2 values, the first in row 2"),
        ("y\n1\nabc\n", r"row 2, column 'y': 'abc' is not a finite number"),
        ("y\n1\n1e400\n", r"row 2, column 'y': '1e400' is not a finite number"),
        ("y\n1\ninf\n", r"row 2, column 'y': 'inf' is not a finite number"),
        ('y\n1\n"1,5"\n', r"row 2, column 'y': '1,5' is not a finite number; write the decimal point as '\.'"),
        ("a,y\n1,2\n1,2,3\n", r"line 3: 3 fields where the header has 2"),
        ("a,y\n1,2\n1\n", r"line 3: 1 fields where the header has 2"),
        ("a,y,a\n1,2,3\n", r"column 'a' stands twice in the header, at positions 1 and 3"),
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,y\n", "a header and no rows"),
        ("a;y\n1;2\n", "separated by semicolons"),
        ("a,x\n1,2\n", r"no column 'y'; its columns are 'a', 'x'"),
        (b"a,y\n1,\xe9\n", r"not UTF-8: byte 0xe9 at offset 6; if it is latin-1.*iconv"),
        ("a,y\n1,2\n".encode("utf-16"), "utf-16"),
        (b"y\n1\n\x00\n", "NUL"),
        ('y\n"1\n', r"line 2: unexpected end of data"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(UserError, match=words) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_missing_values_are_repaired_on_request(tmp_path):
    table = read(tmp_path, "y\nNA\n1\n?\n3\n\n-\n", missing="interpolate")
    assert table.values[:, 0].tolist() == [1, 1, 2, 3, 3]
    with pytest.raises(UserError, match="no values at all"):
        read(tmp_path, "y\nNA\n?\n", missing="interpolate")


def test_corrupt_parquet_and_wrong_paths(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    for path, words in (
        (tmp_path / "bad.parquet", "could not be read as Parquet"),
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "is a folder; a CSV"),
    ):
        with pytest.raises(UserError, match=words) as error:
            read_table(path, Selection(("y",)))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "time", "words"),
    [
        (("y",), None, "asked for twice"),
        (("a", "a"), None, "asked for twice"),
        (("a",), "a", "labels the rows"),
        ((), "when", "no column 'when'"),
    ],
)
def test_columns_asked_for_wrongly(tmp_path, inputs, time, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, "a,y\n1,2\n3,4\n", inputs=inputs, time=time)


def test_a_parquet_file_without_columns_is_refused(tmp_path):
    pl.DataFrame().write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"^t\.parquet has no columns$"):
        read_table(tmp_path / "t.parquet", Selection(("y",)))
    with pytest.raises(UserError, match=r"^t\.parquet has no columns$"):
        checked_columns("y", open_source(tmp_path / "t.parquet"), tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,y\n2,1\n1,1\n", "row 2.*1 is out of order"),
        ("t,y\n2020-01-01,1\n2020-01-01,1\n", "row 2.*there twice"),
        ("t,y\n2020-01-01,1\nsoon,1\n", "neither numbers nor dates.*'soon'"),
        ("t,y\nMon,1\nTue,1\n", "neither numbers nor dates.*'Mon'"),
    ],
)
def test_times_increase(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, text, time="t")


def test_times_are_read():
    frame = pl.DataFrame({"t": ["2020-01-01", "2020-01-02"], "y": ["1", "2"]})
    assert [moment.day for moment in select(frame, "f", Selection(("y",), time="t")).times] == [1, 2]
    dates = frame.with_columns(pl.col("t").str.to_date())
    assert [moment.day for moment in select(dates, "f", Selection(("y",), time="t")).times] == [1, 2]


def test_a_column_of_dates_is_no_number():
    frame = pl.DataFrame({"y": ["2020-01-01"]}).with_columns(pl.col("y").str.to_date())
    with pytest.raises(UserError, match=r"column 'y' is Date"):
        select(frame, "f", Selection(("y",)))
    assert np.isfinite(select(pl.DataFrame({"y": [True, False]}), "f", Selection(("y",))).values).all()


def test_masked_values_are_left_out_and_the_rest_is_still_read_strictly(tmp_path):
    values = read(tmp_path, 'y\n1\nNA\n""\n4\n', missing="mask").values[:, 0]
    assert np.isnan(values).tolist() == [False, True, True, False]
    with pytest.raises(UserError, match="row 2, column 'y': 'x'"):
        read(tmp_path, "y\n1\nx\nNA\n", missing="mask")
    with pytest.raises(UserError, match="no values at all"):
        read(tmp_path, "y\nNA\nNA\n", missing="mask")


def test_several_targets_come_first(tmp_path):
    table = read(tmp_path, "a,z,y\n1,2,3\n", target=("y", "z"), inputs=("a",))
    assert (table.columns, table.targets, table.values.tolist()) == (["y", "z", "a"], 2, [[3, 2, 1]])
    with pytest.raises(UserError, match="'y' was asked for twice"):
        read(tmp_path, "a,y\n1,2\n", target=("y", "y"))


def test_series_may_stand_between_each_other():
    frame = pl.DataFrame({"who": ["a", "b", "a"], "t": [1, 1, 2], "y": [1.0, 5.0, 2.0]})
    selection = Selection(("y",), time="t", series="who")
    tables = select_series(frame, "f", selection)
    assert {name: table.values[:, 0].tolist() for name, table in tables.items()} == {"a": [1, 2], "b": [5]}
    assert tables["a"].times == [1, 2]
    with pytest.raises(UserError, match=r"f, series 'a': row 2, column 't': 1 is out of order"):
        select_series(frame.reverse(), "f", selection)


@pytest.mark.parametrize(
    "name", ["g[1].parquet", "*.parquet", "g?.parquet", "{g1}.pq", "~/a b.parquet", "s3:/x.pq"]
)
def test_a_name_is_a_name_and_no_pattern_or_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"y": [7.0]}).write_parquet("g1.parquet")
    Path(name).parent.mkdir(exist_ok=True)
    pl.DataFrame({"y": [1.0, 2.0]}).write_parquet(tmp_path / name)
    assert read_frame(Path(name))["y"].to_list() == [1.0, 2.0]
    assert open_source(Path(name)).read(0, 2, ["y"]).tolist() == [[1.0], [2.0]]
