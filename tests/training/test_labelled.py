import polars as pl
import pytest

from bptt.training.errors import UserError
from bptt.training.labelled import read_long

TEXT = "who,kind,t,a,b\nx,up,1,1,10\ny,down,1,5,50\nx,up,2,2,20\ny,down,4,4,40\ny,down,5,3,30\n"


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
    data = read_long(write(TEXT), "who", "kind", (), "t")
    assert data.names == ["x", "y"]
    assert data.columns == ["a", "b"]
    assert [sequence.tolist() for sequence in data.sequences] == [[[1, 10], [2, 20]], [[5, 50], [4, 40], [3, 30]]]
    assert (data.labels, data.classes) == (["up", "down"], ["down", "up"])


def test_the_columns_asked_for_and_no_labels(write):
    data = read_long(write(TEXT), "who", None, ("b",))
    assert data.columns == ["b"]
    assert data.labels == [None, None]


def test_classes_that_are_numbers_are_in_their_order(write):
    data = read_long(write("s,k,a\n1,10,1\n2,9,1\n3,2,1\n"), "s", "k")
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
        read_long(write(text), **asked)


def test_missing_values_are_interpolated_within_their_series(write):
    path = write("s,k,a\n1,u,1\n1,u,\n1,u,3\n2,d,50\n2,d,\n")
    data = read_long(path, "s", "k", missing="interpolate")
    assert [sequence[:, 0].tolist() for sequence in data.sequences] == [[1, 2, 3], [50, 50]]


def test_a_header_alone_is_refused(tmp_path):
    (tmp_path / "long.csv").write_text("s,k,a\n")
    with pytest.raises(UserError, match="holds a header and no rows"):
        read_long(tmp_path / "long.csv", "s", "k")
