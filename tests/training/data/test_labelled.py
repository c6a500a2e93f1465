import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.labelled import read_long
from bptt.training.data.tables import read_frame

TEXT = "who,kind,t,a,b\nx,up,1,1,10\ny,down,1,5,50\nx,up,2,2,20\ny,down,4,4,40\ny,down,5,3,30\n"


def read(path, *columns, **choices):
    return read_long(read_frame(path), path.name, *columns, **choices)


@pytest.fixture(params=["csv", "parquet"])
def write(tmp_path, request):
    def written(text):
        path = tmp_path / f"long.{request.param}"
        if request.param == "csv":
            path.write_text(text)
        else:
            pl.read_csv(text.encode()).write_parquet(path)
        return path

    return written


def test_rows_of_a_series_need_not_stand_together(write):
    data = read(write(TEXT), "who", "kind", (), "t")
    assert data.names == ["x", "y"]
    assert data.columns == ["a", "b"]
    assert [sequence.tolist() for sequence in data.sequences] == [[[1, 10], [2, 20]], [[5, 50], [4, 40], [3, 30]]]
    assert (data.labels, data.classes) == (["up", "down"], ["down", "up"])


def test_day_and_month_are_told_apart_by_the_order_within_each_sequence(write):
    dates = [f"01/{month:02}/{year}" for year in (2000, 2001) for month in range(1, 13)]
    rows = [f"{who},up,{date},{place}" for who in "xy" for place, date in enumerate(dates)]
    data = read(write("\n".join(["who,kind,t,a", *rows])), "who", "kind", ("a",), "t")
    assert [len(sequence) for sequence in data.sequences] == [24, 24]


def test_the_columns_asked_for_and_no_labels(write):
    data = read(write(TEXT), "who", None, ("b",))
    assert data.columns == ["b"]
    assert data.labels == [None, None]


def test_classes_that_are_numbers_are_in_their_order(write):
    data = read(write("s,k,a\n1,10,1\n2,9,1\n3,2,1\n"), "s", "k")
    assert data.classes == ["2", "9", "10"]


@pytest.mark.parametrize(
    ("text", "choices", "words"),
    [
        (TEXT, {"series": "nobody"}, "no column 'nobody'; its columns are 'who', 'kind', 't', 'a', 'b'"),
        (TEXT, {"inputs": ("c",)}, "no column 'c'"),
        (TEXT, {"inputs": ("kind",)}, "'kind' was asked for twice"),
        (TEXT, {"label": "t", "time": None, "inputs": ("a",)}, "series 'x' has several labels: '1', '2'"),
        (TEXT.replace("y,down,5", "y,down,4"), {}, "series 'y': row 3, column 't': 4 is there twice"),
        (TEXT.replace("x,up,2", "x,up,0"), {}, "series 'x': row 2, column 't': 0 is out of order"),
        (TEXT.replace("y,down,4", "y,,4"), {}, "column 'kind' has 1 missing of 5 values, the first in row 4"),
        (TEXT.replace("5,50", ",50"), {}, "column 'a' has 1 missing of 5 values, the first in row 2"),
        ("who,kind\nx,up\n", {"time": None}, "no column left to be input"),
    ],
)
def test_what_is_refused(write, text, choices, words):
    asked = {"series": "who", "label": "kind", "inputs": (), "time": "t", **choices}
    with pytest.raises(UserError, match=words):
        read(write(text), **asked)


def test_missing_values_are_interpolated_within_their_series(write):
    path = write("s,k,a\n1,u,1\n1,u,\n1,u,3\n2,d,50\n2,d,\n")
    data = read(path, "s", "k", missing="interpolate")
    assert [sequence[:, 0].tolist() for sequence in data.sequences] == [[1, 2, 3], [50, 50]]


def test_a_header_alone_is_refused(tmp_path):
    (tmp_path / "long.csv").write_text("s,k,a\n")
    with pytest.raises(UserError, match="holds a header and no rows"):
        read(tmp_path / "long.csv", "s", "k")


def numbered(count, *columns):
    """A long table of series of five rows, half of them of one class, with columns made of row numbers."""
    return "s,k,a,b\n" + "".join(
        f"{n // 5},{'up' if 2 * n < count else 'down'},{','.join(str(column(n)) for column in columns)}\n"
        for n in range(count)
    )


def test_a_column_without_a_name_is_no_input(tmp_path):
    text = "".join(f"{n},{line}\n" for n, line in enumerate(TEXT.splitlines()[1:]))
    (tmp_path / "long.csv").write_text("," + TEXT.splitlines()[0] + "\n" + text)
    with pytest.warns(UserWarning, match=r"long\.csv: the column without a name is no input"):
        assert read(tmp_path / "long.csv", "who", "kind", (), "t").columns == ["a", "b"]


@pytest.mark.parametrize("number", [lambda n: n, lambda n: n + 1, lambda n: n * 7 % 40, lambda n: 40 - n])
def test_a_column_that_numbers_the_rows_is_no_input_unless_it_is_asked_for(write, number):
    path = write(numbered(40, number, lambda n: n % 3))
    with pytest.warns(UserWarning, match="'a' numbers the rows and is no input"):
        assert read(path, "s", "k").columns == ["b"]
    assert read(path, "s", "k", ("a", "b")).columns == ["a", "b"]
    with (
        pytest.warns(UserWarning, match="'a', 'b' numbers the rows"),
        pytest.raises(UserError, match="no column left to be input"),
    ):
        read(write(numbered(40, number, number)), "s", "k")


def test_a_column_that_rises_through_the_table_is_pointed_at(write):
    path = write(numbered(40, lambda n: 1000 + n * n, lambda n: n % 3))
    with pytest.warns(UserWarning, match="'a' rises from the first row of the table to the last"):
        assert read(path, "s", "k").columns == ["a", "b"]
    assert read(path, "s", "k", (), "a").columns == ["b"]


def test_columns_of_text_are_named_together(write):
    path = write("s,k,a,city,b,kind\n1,u,1,Rome,2,x\n2,d,1,Oslo,2,y\n")
    with pytest.raises(UserError, match="columns 'city', 'kind' hold text, for example 'Rome'"):
        read(path, "s", "k")


def test_labels_that_look_like_numbers_stay_what_they_are(tmp_path):
    (tmp_path / "long.csv").write_text("s,k,a\n1,01,1\n2, 1 ,1\n3,1_0,1\n4,nan,1\n5,2,1\n6,1,1\n")
    data = read(tmp_path / "long.csv", "s", "k")
    assert data.classes == ["01", "1", "2", "1_0", "nan"]
    assert data.labels == ["01", "1", "1_0", "nan", "2", "1"]


@pytest.mark.parametrize("kind", ["list", "struct", "duration", "binary"])
@pytest.mark.parametrize("column", ["s", "k"])
def test_series_and_labels_are_names(tmp_path, kind, column):
    strange = {"list": [[1], [2]], "struct": [{"x": 1}] * 2, "binary": [b"1", b"2"]}
    strange["duration"] = pl.Series([1, 2]).cast(pl.Duration("ms"))
    frame = pl.DataFrame({"s": [1, 2], "k": ["u", "d"], "a": [1.0, 2.0]})
    frame.with_columns(pl.Series(column, strange[kind])).write_parquet(tmp_path / "long.parquet")
    with pytest.raises(UserError, match=rf"column '{column}' is \w+.*, but names or labels are needed"):
        read(tmp_path / "long.parquet", "s", "k")


def test_names_of_every_type_are_read_as_they_are_written(tmp_path):
    for values, wanted in (
        ([2**63 - 1, 2**53 + 1], [str(2**63 - 1), str(2**53 + 1)]),
        ([True, False], ["true", "false"]),
        (pl.Series(["x", " y"], dtype=pl.Categorical), ["x", "y"]),
        (pl.Series([0, 1]).cast(pl.Date), ["1970-01-01", "1970-01-02"]),
    ):
        frame = pl.DataFrame({"s": [1, 2], "k": values, "a": [1.0, 2.0]})
        frame.write_parquet(tmp_path / "long.parquet")
        assert read(tmp_path / "long.parquet", "s", "k").labels == wanted
    pl.DataFrame({"s": [1.0, float("nan")], "k": [1, 2], "a": [1.0, 2.0]}).write_parquet(tmp_path / "long.parquet")
    with pytest.raises(UserError, match="column 's' has 1 missing of 2 values, the first in row 2"):
        read(tmp_path / "long.parquet", "s", "k")
