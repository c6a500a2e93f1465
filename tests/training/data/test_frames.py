from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.frames import is_in_memory, named_frame

COLUMNS = {"t": [1, 2, 3], "y": [0.1, None, 0.3], "kind": ["a", "b", None]}


def test_polars_and_columns_come_as_they_are():
    frame = pl.DataFrame(COLUMNS)
    for data in (frame, frame.lazy(), COLUMNS, {name: frame[name] for name in COLUMNS}):
        assert is_in_memory(data)
        assert named_frame(data).frame.equals(frame)
        assert named_frame(data).name == "the table in memory"
    assert not is_in_memory("d.csv")
    assert not is_in_memory([1, 2])


def test_an_arrays_columns_are_numbered_or_have_the_names_given():
    array = np.arange(6, dtype=">i2").reshape(3, 2)
    assert named_frame(array).frame.to_dict(as_series=False) == {"0": [0, 2, 4], "1": [1, 3, 5]}
    assert named_frame(array, ["y", "a"]).frame.columns == ["y", "a"]
    assert named_frame(array[:, 0], ["y"]).frame["y"].to_list() == [0, 2, 4]


def test_masked_values_are_missing():
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    for frame in (named_frame(masked, ["y"]).frame, named_frame({"y": masked}).frame):
        assert frame["y"].fill_nan(None).to_list() == [1, None, 3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pl.LazyFrame(COLUMNS).select("z"), 'cannot be computed: .*"z"'),
        (np.zeros((2, 3)), "has 3 columns, but these are needed, in order: 'y', 'a'"),
        (
            np.zeros((2, 2, 2)),
            r"is an array float64 \(2, 2, 2\); numbers \(rows,\) or \(rows, columns\) are needed",
        ),
        (np.array(["a"]), "is an array <U1"),
        ({"y": [1, 2], "a": [1]}, "has columns of 2 lengths: 'y' 2, 'a' 1 rows"),
        ({"y": [1, object()]}, "column 'y' cannot be read: "),
        (pl.DataFrame({"y": []}), "has no rows"),
    ],
)
def test_what_cannot_be_read_is_said(data, words):
    with pytest.raises(UserError, match=f"^the table in memory:? {words}"):
        named_frame(data, ["y", "a"])


def test_a_pandas_frame_is_read_with_the_named_levels_of_its_index():
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-01-01", periods=3, name="day")
    frame = pandas.DataFrame({**COLUMNS, "whole": pandas.array([1, None, 3], "Int64")}, index=days)
    found = named_frame(frame).frame
    assert found.columns == ["day", "t", "y", "kind", "whole"]
    assert found["day"].cast(pl.Date).to_list() == [date(2020, 1, day) for day in (1, 2, 3)]
    assert found["y"].fill_nan(None).to_list() == COLUMNS["y"]
    assert found["kind"].to_list() == COLUMNS["kind"]
    assert found["whole"].fill_nan(None).to_list() == [1, None, 3]
    assert named_frame(frame.reset_index(drop=True)).frame.columns == ["t", "y", "kind", "whole"]
    with pytest.raises(UserError, match="column 't' stands twice"):
        named_frame(pandas.concat([frame[["t"]], frame[["t"]]], axis=1))


def test_a_pandas_time_zone_is_kept():
    pandas = pytest.importorskip("pandas")
    times = pandas.date_range("2020-03-29", periods=3, freq="h", tz="Europe/Berlin")
    found = named_frame({"t": times.to_series()}).frame["t"]
    assert str(found.dtype.time_zone) == "Europe/Berlin"
    assert [time.replace(tzinfo=None) for time in found] == [datetime(2020, 3, 29, hour) for hour in (0, 1, 3)]
