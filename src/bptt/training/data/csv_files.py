"""CSV files as columns of text, read whole or piece by piece.

A row is a line, or several where a quoted cell holds line breaks; blank lines are skipped. Where
no row of a piece has quotes, polars reads the piece as it is; otherwise the csv module reads it row by row.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
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
    text: bytes  # its lines, with their ends
    fields: int


class CsvPiece(NamedTuple):
    """Some rows of a file that follow one another, unparsed."""

    line: int  # the number of its first line, from 1
    place: int  # where it begins, in bytes
    rows: int
    texts: list[bytes]  # a row each; or one text of all rows, where none of them has a quote or more than a line


class CsvRows:
    """Reads a CSV file's header and rows, or its rows from some place on.

    Args:
        file: open at the place.
        path: for errors.
        line, place: the number of the line there, and the place in bytes.

    Raises:
        UserError: while reading, a line is not UTF-8 or longer than 16 MB, a cell is longer than the csv module
            reads, or a quote is not closed.
    """

    def __init__(self, file: BinaryIO, path: Path, line: int = 1, place: int = 0) -> None:
        self.file, self.path, self.line, self.place = file, path, line - 1, place  # of the line read last
        self._blocks, self._lines = self._read_blocks(), deque[bytes]()

    def header(self) -> list[str]:
        """The columns that the first row names; a UserError where it is missing or names a column twice."""
        first = self._next_row()
        if first is None:
            raise UserError(f"{self.path} is empty; a header and rows are needed")
        return checked_header(cells_of(first.text), self.path.name)

    def pieces(self, header: list[str]) -> Iterator[CsvPiece]:
        """The rows that follow; a UserError at the first that has more or fewer fields than the header."""
        for block in chain([b"".join(self._lines)], self._blocks):
            line, place = self.line + 1, self.place
            text = block.replace(b"\r\n", b"\n")
            self._lines = deque()
            if rows := _plain_rows(text, len(header)):
                self.line, self.place = self.line + rows, self.place + len(block)
                yield CsvPiece(line, place, rows, [text])
            else:
                self._lines.extend(block.splitlines(keepends=True))
                if texts := list(self._texts(header)):
                    yield CsvPiece(line, place, len(texts), texts)

    def _texts(self, header: list[str]) -> Iterator[bytes]:
        """The rows that begin in the lines at hand."""
        while self._lines and (row := self._next_row()) is not None:
            if row.fields != len(header):
                raise UserError(f"{self.path.name}, line {row.line}: {why_ragged(cells_of(row.text), header)}")
            yield row.text

    def _next_row(self) -> CsvRow | None:
        while (line := self._next_line()).isspace():
            pass
        if not line:
            return None
        text, fields = line, line.count(b",") + 1
        if b'"' in line or len(line) > csv.field_size_limit():
            text, fields = self._quoted(line)
        return CsvRow(self.line, text, fields)

    def _quoted(self, first: bytes) -> tuple[bytes, int]:
        """A row's text and how many fields it has, by the csv module, which takes as many lines as it needs."""
        taken = []

        def following() -> Iterator[str]:
            for line in chain([first], iter(self._next_line, b"")):
                taken.append(line)
                yield line.decode()

        try:
            fields = len(next(csv.reader(following(), strict=True)))
        except csv.Error as error:
            raise UserError(f"{self.path}, line {self.line}: {why_unread(error)}") from error
        return b"".join(taken), fields

    def _next_line(self) -> bytes:
        """A line with its end, that of Unix, Windows or the old Macintosh; empty after the last."""
        if not self._lines:
            self._lines.extend(next(self._blocks, b"").splitlines(keepends=True))
        if not self._lines:
            return b""
        line = self._lines.popleft()
        self.place, self.line = self.place + len(line), self.line + 1
        return line

    def _read_blocks(self) -> Iterator[bytes]:
        """Some whole lines at a time."""
        rest = self._begin() if self.place == 0 else b""
        place, is_more = self.place, True
        while is_more:
            read = self.file.read(BLOCK)
            rest, is_more = rest + read, bool(read)
            block, rest = _whole_lines(rest) if is_more else (rest, b"")
            if len(rest) > LONGEST:
                raise UserError(f"{self.path}: a line is longer than {LONGEST >> 20} MB; is it a CSV file?")
            decode_utf8(self.path, block, place)
            place += len(block)
            if block:
                yield block

    def _begin(self) -> bytes:
        """The first bytes without a byte order mark."""
        head = self.file.read(16)
        check_encoding(self.path, head)
        self.place = len(MARK) if head.startswith(MARK) else 0
        return head[self.place :]


def _whole_lines(text: bytes) -> tuple[bytes, bytes]:
    """A text up to its last end of a line, and the rest."""
    end = text.rfind(b"\n") + 1  # a carriage return at the end of a text may have a line feed in the next
    if not end:
        end = sum(map(len, text.splitlines(keepends=True)[:-1]))
    return text[:end], text[end:]


def _plain_rows(text: bytes, fields: int) -> int:
    """How many rows a text holds; 0 unless each is a line of so many fields, without quotes, none of them long."""
    if not text or b'"' in text or b"\r" in text:
        return 0
    codes = np.frombuffer(text, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(codes[:-1] == ord("\n")) + 1])
    is_blank = np.maximum.reduceat(codes, starts) <= ord(" ")
    commas = np.add.reduceat(codes == ord(","), starts, dtype=np.int64)
    longest = np.diff(starts, append=len(text)).max()
    if is_blank.any() or (commas != fields - 1).any() or longest > csv.field_size_limit():
        return 0
    return len(starts)


def read_csv(path: Path) -> pl.DataFrame:
    """A CSV file's cells as text; a UserError where it has no header, or a row has more or fewer fields."""
    try:
        with path.open("rb") as file:
            rows = CsvRows(file, path)
            header = rows.header()
            return frame_of(rows.pieces(header), header)
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def cells_of(text: bytes) -> list[str]:
    """The cells of a row."""
    return next(csv.reader(io.StringIO(text.decode(), newline="")))


def frame_of(pieces: Iterable[CsvPiece], header: list[str], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The cells of rows as text; of some columns, or of all."""
    wanted = header if columns is None else list(columns)  # by their names: polars reads "*" in a select as all
    none = pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    return pl.concat([none, *(_cells(piece.texts, header)[wanted] for piece in pieces)])


def _cells(texts: list[bytes], header: list[str]) -> pl.DataFrame:
    whole = b"\n".join(text.rstrip(b"\r\n") for text in texts)
    if b'"' in whole:
        return pl.DataFrame(list(map(cells_of, texts)), schema=dict.fromkeys(header, pl.String), orient="row")
    cells = pl.read_csv(
        io.BytesIO(whole), has_header=False, new_columns=header, infer_schema=False, quote_char=None
    )
    return cells.with_columns(pl.all().fill_null(""))


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
