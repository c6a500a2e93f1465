import csv
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data import csv_files
from bptt.training.data.csv_files import CsvRows, checked_header, read_csv
from bptt.training.data.sources import checked_columns, open_source, read_finite
from bptt.training.data.tables import Selection
from support import read_table


@pytest.mark.parametrize("block", [1, 7, 2**20])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "a,y\n1,2\n3,4\n",
            "a,y\r1,2\r3,4",
            "a,y\r\n1,2\r\n\r\n3,4\r\n",
            "\ufeffa,y\n1,2\n3,4",
            "\n\na,y\n1,2\n",
        ),
        *('a,y\n"1","2"\n3,"4"', 'a,y\n"x, ""y""",2\n"two\nlines",3\n"\r\n",4\n', 'a,y\n5" pipe,3\n4" x,2\n'),
        *("\n\na,y\n1,2\n", "a\n1\n\n  \n2\n", "a,y\nα,β\n", "*,^a.*$\n1,2\n", "a,y\n,\n,\n", "a,y\n"),
    ],
)
def test_cells_are_those_of_the_csv_module(tmp_path, monkeypatch, block, text):
    monkeypatch.setattr(csv_files, "BLOCK", block)
    (tmp_path / "a.csv").write_bytes(text.encode())
    rows = [
        row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if any(map(str.strip, row))
    ]
    rows = rows if "\n,\n" not in text else [["a", "y"], ["", ""], ["", ""]]
    frame = read_csv(tmp_path / "a.csv")
    assert frame.columns == rows[0]
    assert frame.rows() == [tuple(row) for row in rows[1:]]


def test_pieces_know_their_lines_and_places(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK", 8)
    raw = b'\xef\xbb\xbfa,y\r\n\r\n"1\n2",3\r4,5\n6,7\n8,9\n'
    rows = CsvRows(io.BytesIO(raw), tmp_path)
    header = rows.header()
    pieces = list(rows.pieces(header))
    assert [(piece.line, raw[piece.place :][:4], piece.rows) for piece in pieces] == [
        (2, b'\r\n"1', 2),
        (6, b"6,7\n", 2),
    ]
    for piece in pieces:
        again = CsvRows(io.BytesIO(raw[piece.place :]), tmp_path, piece.line, piece.place)
        assert next(again.pieces(header)).line == piece.line


SAID = [
    ("a;y\n1;2\n", "separated by semicolons"),
    ("a\ty\n1\t2\n", "separated by tabs"),
    ("a|y\n1|2\n", "separated by bars"),
    ("a y\n1 2\n", "no column 'y'; its columns are 'a y'; are its columns separated by spaces"),
    ("# made today\na,y\n1,2\n", "line 2: 2 fields where the header has 1; lines that begin with # are no rows"),
    ("a,y\n1,2\n# the end\n", "line 3: 1 fields where the header has 2; lines that begin with #"),
    ("Sales of May\n\na,y\n1,2\n", "line 3: 2 fields .*is the first line, 'Sales of May', a title"),
    ("a,y\n1,2,\n3,4,\n", "line 2: 3 fields .*the row ends in a comma"),
    ("a,y,\n1,2\n", "line 2: 2 fields .*the header ends in a comma"),
    ("a,y,,\n1,2,,\n", "columns 3 and 4 of the header have no name"),
    ("a,y\n0,1,2\n1,3,4\n", "line 2: 3 fields .*does the header leave out the name of the first column"),
    ("a,y\n1,5,2,5\n", "line 2: 4 fields .*decimal comma"),
    ("y\n1,5\n", "line 2: 2 fields .*decimal comma"),
    ("a,y\n1,2\nSum\n", "line 3: 1 fields .*is it a title or a note"),
    ("a,b,y\n1,2\n", "line 2: 2 fields where the header has 3"),
    ('a,y\n1,""5""\n', "line 2: ',' expected after '\"'"),
    ('a,y\n1,"2\n3,4\n', "line 3: unexpected end of data; is a quote missing"),
    ("a,y\n1,\0\n", "NUL character at offset 6"),
    (b"a,y\n1,2\n3,\xff\n", "not UTF-8: byte 0xff at offset 10"),
    ("a,y\n1,2\n".encode("utf-16"), "not UTF-8 but utf-16"),
    (b"\x1f\x8b\x08 and so on", "compressed; unpack it with gunzip"),
    (b"PK\x03\x04 and so on", "ZIP archive"),
    (b"PAR1 and so on", "let its name end in .parquet"),
    ("a,y,a\n1,2,3\n", "column 'a' stands twice in the header, at positions 1 and 3"),
    ("", "is empty"),
    ("\n \n", "is empty"),
    ("a,x\n1,2\n", "no column 'y'; its columns are 'a', 'x'"),
    ("1.5,2\n3,4\n", "no column 'y'; its columns are '1.5', '2'; is its header missing"),
    ("a,Y\n1,2\n", "no column 'y'"),
    ("y\nred\nblue\n", "column 'y' holds text, for example 'red'"),
    ("y\n1\nred\n", "row 2, column 'y': 'red' is not a finite number$"),
    ('y\n1\n"1,000"\n', "row 2, column 'y': '1,000' .*thousands separators"),
    ('y\n1\n"1,5"\n', r"row 2, column 'y': '1,5' .*write the decimal point as '\.'"),
    *(
        (f"y\n1\n{cell}\n", "row 2, column 'y': .*is not a finite number")
        for cell in ("1_0", "0x10", "1d3", "inf", "-Infinity", "1e400", "\u0661")
    ),
    ("y\n1\n1e155\n", "row 2, column 'y': 1e155 is beyond 1e100"),
]


@pytest.mark.parametrize(("text", "words"), SAID)
def test_both_readers_refuse_the_same_files_in_the_same_words(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (in_memory, in_pieces):
        with pytest.raises(UserError, match=words) as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("LONG,y\n1,2\n", 1),
        ("a,y\nLONG\n", 2),
        ("a,y\nLONG,2\n", 2),
        ('a,y\n"1",2\nLONG,2\n', 3),
        ('a,y\n"LONG",2\n', 2),
    ],
)
def test_a_cell_longer_than_the_csv_module_reads_is_refused(tmp_path, text, line):
    (tmp_path / "a.csv").write_text(text.replace("LONG", "x" * 131_073))
    for read in (in_memory, in_pieces):
        with pytest.raises(UserError, match=f"line {line}: a cell has more than 131,072 characters; shorten it"):
            read(tmp_path / "a.csv")


def test_a_line_without_quotes_may_be_longer_than_a_cell(tmp_path):
    columns = [f"column {number}" for number in range(20_000)]
    (tmp_path / "a.csv").write_text(",".join(columns) + "\n" + ",".join(["1"] * 20_000) + "\n")
    assert read_csv(tmp_path / "a.csv").columns == columns


@pytest.mark.parametrize("missing", ["-nan", "+NaN", "NA", "?", "", "#N/A", "."])
def test_both_readers_know_the_same_missing_words(tmp_path, missing):
    (tmp_path / "a.csv").write_text(f"a,y\n1,2\n3,{missing}\n")
    with pytest.raises(UserError, match="column 'y' has 1 missing of 2 values, the first in row 2"):
        in_memory(tmp_path / "a.csv")
    with pytest.raises(UserError, match="row 2, column 'y': the value is missing"):
        in_pieces(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text",
    [
        *("a,y\r1,2\r3,4\r", "a,y\n1,2\n\n3,4\n", 'note,y\n"a\nb",2\nc,"4"\n', " a , y \n x, 2 \n x, +4. \n"),
        *("y\n2\n4e0\n", "y,*\n2,1\n4,1\n", "a,y\nTrue,2\nfalse,4"),
    ],
)
def test_both_readers_find_the_same_numbers(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    for read in (in_memory, in_pieces):
        assert read(tmp_path / "a.csv").tolist() == [[2], [4]]


TYPES = {
    "int": [2, 4],
    "text": ["2", "4.0"],
    "float32": pl.Series([2, 4], dtype=pl.Float32),
    "decimal": pl.Series(["2", "4"]).cast(pl.Decimal(10, 1)),
    "categorical": pl.Series(["2", "4"], dtype=pl.Categorical),
}
STRANGE = {
    "list": [[1.0], [2.0]],
    "struct": [{"a": 1}, {"a": 2}],
    "duration": pl.Series([1, 2]).cast(pl.Duration("ms")),
    "date": pl.Series([1, 2]).cast(pl.Date),
    "binary": [b"1", b"2"],
}


@pytest.mark.parametrize("kind", [*TYPES, *STRANGE])
def test_both_readers_read_the_same_types_of_parquet(tmp_path, kind):
    pl.DataFrame({"y": {**TYPES, **STRANGE}[kind]}).write_parquet(tmp_path / "a.parquet")
    for read in (in_memory, in_pieces):
        if kind in TYPES:
            assert read(tmp_path / "a.parquet").tolist() == [[2], [4]]
        else:
            with pytest.raises(UserError, match=r"column 'y' is \w+.*, but numbers are needed"):
                read(tmp_path / "a.parquet")


def test_a_square_array_is_not_turned(tmp_path):
    np.save(tmp_path / "a.npy", [[1.0, 2.0], [3.0, 4.0]])
    for read in (in_memory, in_pieces):
        assert read(tmp_path / "a.npy", "1").tolist() == [[2], [4]]


def in_memory(path: Path, column: str = "y") -> np.ndarray:
    return read_table(path, Selection((column,))).values


def in_pieces(path: Path, column: str = "y") -> np.ndarray:
    source = open_source(path)
    return read_finite(source, path.name, 0, source.rows, checked_columns([column], source, path))


def test_a_line_without_an_end_is_refused_before_it_is_all_read(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "LONGEST", 2**21)
    (tmp_path / "a.csv").write_bytes(b"1," * 2**23)
    for read in (in_memory, in_pieces):
        with pytest.raises(UserError, match="a line is longer than 2 MB"):
            read(tmp_path / "a.csv")


def test_a_hundred_thousand_columns_are_looked_at_once_each():
    names = [str(number) for number in range(100_000)]
    compared = Counting("x")
    assert checked_header([*names, compared], "a.csv")[-1] == "x"
    assert Counting.times < 10
    with pytest.raises(UserError, match="'7' stands twice in the header, at positions 8 and 100001"):
        checked_header([*names, "7"], "a.csv")


class Counting(str):
    """A name that counts how often it is compared."""

    times = 0

    def strip(self):
        return self

    def __eq__(self, other):
        Counting.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__
