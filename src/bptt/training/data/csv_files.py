"""CSV as columns of text, for tables in memory and for those read piece by piece.

A row is a line, or several where a quoted cell holds line breaks; blank lines are passed over.
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
from .cells import number_of
from .text_files import MARK, check_encoding, decode_utf8

BLOCK = 2**20  # bytes read at a time
LONGEST = 2**24  # bytes of a line
MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class CsvRow(NamedTuple):
    """A row as it stands in a file."""

    line: int  # its last one's number, from 1
    place: int  # where it begins, in bytes
    text: bytes  # its lines, with their ends
    fields: int


class CsvRows:
    """The rows of a CSV file from its header on, or of a part of one that begins with a row.

    Args:
        file: where the first row begins.
        path: of the file, for errors.
        line, place: number of the line there, and its place in bytes.

    Raises:
        UserError: while iterating, a line is not UTF-8, is longer than 16 MB, a cell in it is longer than
            the csv module reads, or a quote in it is not closed.
    """

    def __init__(self, file: BinaryIO, path: Path, line: int = 1, place: int = 0) -> None:
        self.file, self.path, self.line, self.place = file, path, line, place

    def __iter__(self) -> Iterator[CsvRow]:
        lines, longest = self._lines(), csv.field_size_limit()
        for text in lines:
            begin, self.place, self.line = self.place, self.place + len(text), self.line + 1
            if not text.strip():
                continue
            if b'"' not in text and len(text) <= longest:
                yield CsvRow(self.line - 1, begin, text, text.count(b",") + 1)
                continue
            taken = [text]
            cells = self._cells(chain([text], self._noted(lines, taken)))
            yield CsvRow(self.line - 1, begin, b"".join(taken), len(cells))

    def _noted(self, lines: Iterator[bytes], taken: list[bytes]) -> Iterator[bytes]:
        """Lines that a quoted cell goes on in."""
        for text in lines:
            taken.append(text)
            self.place, self.line = self.place + len(text), self.line + 1
            yield text

    def _cells(self, lines: Iterable[bytes]) -> list[str]:
        """The cells of the row that begins with the first of these lines."""
        try:
            return next(csv.reader((line.decode() for line in lines), strict=True))
        except csv.Error as error:
            raise UserError(f"{self.path}, line {self.line - 1}: {why_unread(error)}") from error

    def _lines(self) -> Iterator[bytes]:
        """Lines with their ends, which are those of Unix, Windows or the old Macintosh."""
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
        """The first bytes but for a byte order mark."""
        head = self.file.read(16)
        check_encoding(self.path, head)
        self.place = len(MARK) if head.startswith(MARK) else 0
        return head[self.place :]


def read_csv(path: Path) -> pl.DataFrame:
    """All of a CSV file, its cells as text.

    Raises:
        UserError: it cannot be read, has no header, or a row has not as many fields as the header.
    """
    try:
        with path.open("rb") as file:
            rows = iter(CsvRows(file, path))
            header = header_of(rows, path)
            return frame_of(check_fields(rows, header, path.name), header)
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def header_of(rows: Iterator[CsvRow], path: Path) -> list[str]:
    """The columns that the first row names.

    Raises:
        UserError: there is no row, or it names a column twice.
    """
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} is empty; a header and rows are needed")
    return checked_header(cells_of(first.text), path.name)


def check_fields(rows: Iterator[CsvRow], header: list[str], name: str) -> Iterator[CsvRow]:
    """Rows of as many fields as the header.

    Raises:
        UserError: one has more or fewer.
    """
    width = len(header)
    for row in rows:
        if row.fields != width:
            raise UserError(f"{name}, line {row.line}: {why_ragged(cells_of(row.text), header)}")
        yield row


def cells_of(text: bytes) -> list[str]:
    """The cells of a row."""
    return next(csv.reader(io.StringIO(text.decode(), newline="")))


def frame_of(rows: Iterable[CsvRow], header: list[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The cells of rows, those of some columns or of all, as text."""
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
    """The columns of a CSV's first row, each there once.

    Raises:
        UserError: one is there twice, or the row is separated by something else than commas.
    """
    header = [cell.strip() for cell in row]
    if len(header) == 1 and (mark := next((mark for mark in MARKS if mark in header[0]), None)):
        raise UserError(f"{name} is separated by {MARKS[mark]}; separate its columns by commas")
    places: dict[str, int] = {}
    for place, column in enumerate(header, start=1):
        if (before := places.setdefault(column, place)) != place:
            if not column:
                raise UserError(
                    f"{name}: columns {before} and {place} of the header have no name; name them, or leave out "
                    "the commas at the end of its lines"
                )
            raise UserError(
                f"{name}: column {shortened(column)!r} stands twice in the header, at positions {before} and "
                f"{place}; rename one"
            )
    return header


def why_unread(error: csv.Error) -> str:
    """What is wrong with a row whose cells the csv module cannot tell apart."""
    if "field limit" in str(error):
        return f"a cell has more than {csv.field_size_limit():,} characters; shorten it, or is a quote missing?"
    return f"{error}; is a quote missing?"


def why_ragged(row: list[str], header: list[str]) -> str:
    """What is wrong with a row of more or fewer fields than the header, and what may be the cause."""
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
