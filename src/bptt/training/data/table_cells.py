"""Cells of tables as numbers: how numbers and missing values are written, and errors for all other cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from ...errors import UserError
from ...printable import shortened

# Those of pandas and other programs, in any case, with or without spaces around them.
MISSING_WORDS = (
    *("", "na", "n/a", "nan", "+nan", "-nan", "null", "none", "-", "?", ".", "<na>", "#na", "#n/a", "#n/a n/a"),
    *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
)
TRUTHS = {"true": 1.0, "false": 0.0}
LARGEST = 1e100  # squares of it, and their sum over any table, are finite in float64
WORDS = (pl.String, pl.Categorical, pl.Enum)
SAMPLE = 100  # cells from which a column of text is recognised

HINTS = (  # the first pattern that matches a cell
    (r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", "leave out the thousands separators: 1000"),
    (r"[+-]?\d{1,3}([ '_\xa0\u202f]\d{3})+([.,]\d+)?", "leave out the thousands separators: 1000"),
    (r"[+-]?[\d.]*,\d*(e[+-]?\d+)?", "write the decimal point as '.', without thousands separators"),
    (r"\d{4}[-/]\d{1,2}.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*", "dates can only label the rows: --time COLUMN"),
    (r"[+-]?(inf(inity)?|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", "only finite numbers can be used"),
    (r".*\d.*", "write it as a plain decimal number: 1234.5 or 1.2345e3"),
)


def as_numbers(column: pl.Series, where: Callable[[int], str]) -> np.ndarray:
    """A column of numbers, or of numbers as text, as float64 (N,), NaN where a value is missing.

    Numbers are written in ASCII digits, with a decimal point or an exponent; true and false are 1 and 0.
    A UserError names any other cell, and one beyond 1e100, by `where` and its index from 0.
    """
    values = _parsed(column)
    wrong = np.abs(values) > LARGEST  # NaN is not
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{where(row)}: {why_wrong(column[row])}")
    return values


def _parsed(column: pl.Series) -> np.ndarray:
    """A column as numbers, infinite where a cell is neither a number nor missing."""
    if column.dtype not in WORDS:
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
    texts = column.cast(pl.String).str.strip_chars()
    values = texts.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64)
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):  # usually few; "nan" and "inf" are words here
        meaning = {**dict.fromkeys(MISSING_WORDS, np.nan), **TRUTHS}
        cells = texts.gather(odd).fill_null("").str.to_lowercase()
        values[odd] = cells.replace_strict(meaning, default=np.inf, return_dtype=pl.Float64).to_numpy()
    return values


def number_of(text: str) -> float | None:
    """A cell's number; None where it is missing or none."""
    (value,) = _parsed(pl.Series([text]))
    return float(value) if np.isfinite(value) else None


def why_wrong(cell: Any) -> str:
    """The error of a cell, and how to write it instead.

    >>> why_wrong("1,000")
    "'1,000' is not a finite number; leave out the thousands separators: 1000"
    """
    text = str(cell).strip()
    if number_of(text) is not None:
        return f"{shortened(text)} is beyond 1e100, the largest number that can be used; use a larger unit"
    return f"{shortened(text)!r} is not a finite number" + _hint(text)


def _hint(text: str) -> str:
    """How to write a cell that looks like a number."""
    flags = re.IGNORECASE | re.ASCII
    return next((f"; {hint}" for form, hint in HINTS if re.fullmatch(form, text, flags)), "")


def is_number_like(column: pl.Series) -> bool:
    """Whether numbers can be read from a column of this type."""
    return column.dtype in WORDS or column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)


def text_in(column: pl.Series) -> str | None:
    """The first word of a column that holds words and no numbers; None of any other column."""
    if column.dtype not in WORDS:
        return None
    cells = column.head(SAMPLE).cast(pl.String).fill_null("")
    values = _parsed(cells)
    words = [cell.strip() for cell, is_word in zip(cells, np.isinf(values), strict=True) if is_word]
    if not words or np.isfinite(values).any() or _hint(words[0]):
        return None
    return words[0]
