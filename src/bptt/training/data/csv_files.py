"""CSV files as columns of text, read whole or row by row.

A row is a line, or several where a quoted cell holds line breaks; blank lines are skipped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from ...errors import UserError
from ...printable import shortened
from .table_cells import number_of
from .text_files import MARK, check_encoding, decode_utf8

BLOCK = 2**20  # bytes read at a time
LONGEST = 2**24  # bytes of a line
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class CsvRow(NamedTuple):
    """A row of a file, unparsed."""

    line: int  # the number of its last line, from 1
    place: int  # where it begins, in bytes
    text: bytes  # its lines, with their ends
    fields: int


class CsvRows:
    """Iterates over a CSV file's rows, the header included, or over the rows from some place on.

    Args:
        file: open at the place.
        path: for errors.
        line, place: the number of the line there, and the place in bytes.

    Raises:
        UserError: while iterating, a line is not UTF-8 or longer than 16 MB, a cell is longer than the csv module
            reads, or a quote is not closed.
    """

    def __init__(self, file: BinaryIO, path: Path, line: int = 1, place: int = 0) -> None:
        self.file, self.path, self.line, self.place = file, path, line - 1, place  # of the line read last

    def __iter__(self) -> Iterator[CsvRow]:
        lines, longest = self._counted(), csv.field_size_limit()
        for line in lines:
            begin = self.place - len(line)
            if not line.strip():
                continue
            text, fields = line, line.count(b",") + 1
            if b'"' in line or len(line) > longest:
                text, fields = self._quoted(line, lines)
            yield CsvRow(self.line, begin, text, fields)

    def _quoted(self, first: bytes, lines: Iterator[bytes]) -> tuple[bytes, int]:
        """A row's text and how many fields it has, by the csv module, which takes as many lines as it needs."""
        taken = []

        def following() -> Iterator[str]:
            for line in chain([first], lines):
                taken.append(line)
                yield line.decode()

        try:
            fields = len(next(csv.reader(following(), strict=True)))
        except csv.Error as error:
            raise UserError(f"{self.path}, line {self.line}: {why_unread(error)}") from error
        return b"".join(taken), fields

    def _counted(self) -> Iterator[bytes]:
        for line in self._lines():
            self.place, self.line = self.place + len(line), self.line + 1
            yield line

    def _lines(self) -> Iterator[bytes]:
        """Lines with their ends: those of Unix, Windows or the old Macintosh."""
        rest = self._begin() if self.place == 0 else b""
        place, is_more = self.place, True
        while is_more:
            block = self.file.read(BLOCK)
            rest, is_more = rest + block, bool(block)
            lines = rest.splitlines(keepends=True)
            rest = lines.pop() if is_more and not rest.endswith(b"\n") and lines else b""
            if len(rest) > LONGEST:
                raise UserError(f"{self.path}: a line is longer than {LONGEST >> 20} MB; is it a CSV file?")
            whole = b"".join(lines)  # a carriage return at the end of a block may have a line feed in the next
            decode_utf8(self.path, whole, place)
            place += len(whole)
            yield from lines

    def _begin(self) -> bytes:
        """The first bytes without a byte order mark."""
        head = self.file.read(16)
        check_encoding(self.path, head)
        self.place = len(MARK) if head.startswith(MARK) else 0
        return head[self.place :]


def read_csv(path: Path) -> pl.DataFrame:
    """A CSV file's cells as text; a UserError where it has no header, or a row has more or fewer fields."""
    try:
        with path.open("rb") as file:
            rows = iter(CsvRows(file, path))
            header = header_of(rows, path)
            return frame_of(check_fields(rows, header, path.name), header)
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def header_of(rows: Iterator[CsvRow], path: Path) -> list[str]:
    """The columns that the first row names; a UserError where it is missing or names a column twice."""
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} is empty; a header and rows are needed")
    return checked_header(cells_of(first.text), path.name)


def check_fields(rows: Iterator[CsvRow], header: list[str], name: str) -> Iterator[CsvRow]:
    """The rows; a UserError at the first that has more or fewer fields than the header."""
    for row in rows:
        if row.fields != len(header):
            raise UserError(f"{name}, line {row.line}: {why_ragged(cells_of(row.text), header)}")
        yield row


def cells_of(text: bytes) -> list[str]:
    """The cells of a row."""
    return next(csv.reader(io.StringIO(text.decode(), newline="")))


def frame_of(rows: Iterable[CsvRow], header: list[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The cells of rows as text; of some columns, or of all."""
    wanted = header if columns is None else list(columns)  # by their names: polars reads "*" in a select as all
    texts = [row.text for row in rows]
    whole = b"\n".join(text.rstrip(b"\r\n") for text in texts)
    if not texts:
        return pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    if b'"' in whole:
        cells = pl.DataFrame(list(map(cells_of, texts)), schema=dict.fromkeys(header, pl.String), orient="row")
        return cells[wanted]
    cells = pl.read_csv(
        io.BytesIO(whole), has_header=False, new_columns=header, infer_schema=False, quote_char=None
    )
    return cells[wanted].with_columns(pl.all().fill_null(""))


def checked_header(row: list[str], name: str) -> list[str]:
    """The columns named by a CSV's first row, each once; a UserError also where no commas separate them."""
    header = [cell.strip() for cell in row]
    if len(header) == 1 and (mark := next((mark for mark in SEPARATORS if mark in header[0]), None)):
        raise UserError(f"{name} is separated by {SEPARATORS[mark]}; separate its columns by commas")
    places: dict[str, int] = {}
    for place, column in enumerate(header, start=1):
        if (before := places.setdefault(column, place)) == place:
            continue
        if not column:
            raise UserError(
                f"{name}: columns {before} and {place} of the header have no name; name them, or leave out the "
                "commas at the end of its lines"
            )
        raise UserError(
            f"{name}: column {shortened(column)!r} stands twice in the header, at positions {before} and {place}; "
            "rename one"
        )
    return header


def why_unread(error: csv.Error) -> str:
    """Why the csv module cannot read a row."""
    if "field limit" in str(error):
        return f"a cell has more than {csv.field_size_limit():,} characters; shorten it, or is a quote missing?"
    return f"{error}; is a quote missing?"


def why_ragged(row: list[str], header: list[str]) -> str:
    """How many fields a row has instead of the header's, and the likely cause."""
    got, wanted = len(row), len(header)
    are_numbers = any(number_of(cell) is not None for cell in row)
    if header[0].startswith("#") or row[0].lstrip().startswith("#"):
        cause = "lines that begin with # are no rows; remove them, the header must come first"
    elif wanted == 1 and not (got == 2 and are_numbers):
        cause = f"is the first line, {shortened(header[0])!r}, a title? remove it, the header must come first"
    elif got > wanted and not any(cell.strip() for cell in row[wanted:]):
        cause = "the row ends in a comma and the header does not; remove it, or name one column more"
    elif got < wanted and not header[-1]:
        cause = "the header ends in a comma and the row does not; remove it"
    elif got >= 2 * wanted and are_numbers:
        cause = "is the comma a decimal comma? write 1.5"
    elif got == wanted + 1:
        cause = "does the header leave out the name of the first column, or is a comma a decimal comma? write 1.5"
    elif got == 1:
        cause = "is it a title or a note? remove it"
    else:
        cause = "a cell that holds a comma stands in quotes"
    return f"{got} fields where the header has {wanted}; {cause}"
