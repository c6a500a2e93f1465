"""Reading the column that labels a table's rows in time, as a whole or row by row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl

from ...errors import UserError
from ...printable import shortened
from .dates import (
    BEYOND,
    FIRST_YEAR,
    LAST_YEAR,
    DateForm,
    NoDate,
    OtherOrder,
    OtherYears,
    are_alike,
    first_numbers,
    instant,
    is_date_of_digits,
    is_zoned,
    read_date,
    template_of,
    unpadded,
)
from .find_spacing import is_regular
from .spacing import seconds_of
from .table_cells import MISSING_WORDS
from .timestamps import Clock, Label, NumberForm, Timestamps, why_not_later

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
DIGIT = re.compile(r"\d", re.ASCII)
MIXED = "is neither numbers nor dates throughout"


class OpenOrder(UserError):
    """No date of a column shows whether the day or the month stands first."""


def read_timestamps(
    column: pl.Series,
    name: str,
    clock: Clock | None = None,
    parts: Collection[Sequence[int]] | None = None,
    form: NumberForm | DateForm | None = None,
    first: int = 0,
) -> Timestamps:
    """A column's numbers or dates, in the order of its rows.

    Args:
        column: text, numbers, dates, or durations, which are read as numbers of seconds.
        name: of the table, for errors.
        clock: of the training rows' dates, where these are further ones.
        parts: the rows of each series, in order; None where there is but one.
        form: of the rows before, where these go on; digits alone are read as those are.
        first: how many rows stand before these, for errors.

    Raises:
        UserError: a cell is missing or neither, or cells are of several kinds.
        OpenOrder: the day or the month may stand first.
    """
    where = f"{name}: column {column.name!r}"
    if column.null_count():
        missing = int(column.is_null().arg_max() or 0)
        raise UserError(f"{where} has no time in row {first + missing + 1}; each row needs one")
    if column.dtype.is_temporal():
        return _typed(column, where)
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise UserError(f"{where} is {column.dtype}, but numbers or dates are needed")
    texts = column.cast(pl.String).str.strip_chars().to_list()
    if (row := next((row for row, text in enumerate(texts) if text.lower() in MISSING_WORDS), None)) is not None:
        raise UserError(f"{where} has no time in row {first + row + 1}, {texts[row]!r}; each row needs one")
    other = next((row for row, text in enumerate(texts) if not NUMBER.fullmatch(text)), None)
    are_numbers = other is None and not isinstance(form, DateForm)
    if are_numbers and (form is not None or not _are_dates(texts, where, first)):
        return Timestamps([Decimal(text) for text in texts], texts, NumberForm.of(texts))
    if other is not None and NUMBER.fullmatch(texts[0]):
        rows = first + other + 1, first + 1
        found = f"{shortened(texts[other])!r} in row {rows[0]}, {shortened(texts[0])!r} in row {rows[1]}"
        raise UserError(f"{where} {MIXED}: {found}")
    try:
        if clock is None or clock.day_first is None:
            day_first = _day_first(texts, where, parts or [range(len(texts))], first)
            return _read_dates(texts, where, day_first, first)
        return _read_dates(texts, where, clock.day_first, first)
    except OtherYears as error:
        raise UserError(f"{where} has dates {BEYOND}") from error


def read_label(text: str, before: Label | None, clock: Clock, where: str) -> Label:
    """The label of a row that comes alone, after the row before it.

    Args:
        text: a number or a date; digits alone, such as 20200131, increase as numbers if they do as dates.
        before: the label of the row before it; None of the first.
        clock: of the training rows' dates.
        where: the line and the column, for errors.

    Raises:
        UserError: it is missing or neither, of another form than the one before, or not later.
    """
    label = Label(text, _moment(text, clock, where))
    if before is None or label.moment is None or before.moment is None:
        return label
    is_date = isinstance(label.moment, datetime)
    if is_date != isinstance(before.moment, datetime):
        raise UserError(f"{where} {MIXED}: {shortened(text)!r}, {shortened(before.text)!r} in the row before")
    if is_date:
        _check_alike(where, before, "the row before", label, "this")
    if (found := why_not_later(label, before, "the row before")) is not None:
        raise UserError(f"{where}: {found}")
    return label


def _moment(text: str, clock: Clock, where: str) -> Any:
    if text.lower() in MISSING_WORDS:
        raise UserError(f"{where} has no time, {text!r}; each row needs one")
    if NUMBER.fullmatch(text):
        return Decimal(text)
    try:
        if clock.day_first is None and first_numbers(text) is not None:
            return None
        return read_date(text, clock.day_first)[0]
    except OtherYears as error:
        raise UserError(f"{where} has dates {BEYOND}") from error
    except NoDate as error:
        raise UserError(f"{where} {MIXED}: {error}") from error


def _typed(column: pl.Series, where: str) -> Timestamps:
    """A column of dates or durations."""
    if column.dtype == pl.Time:
        raise UserError(f"{where} holds times of day; a date and time is needed, or a number")
    if column.dtype == pl.Duration:
        texts = [seconds_of(span) for span in column.cast(pl.Duration("us")).to_list()]
        return Timestamps([Decimal(text) for text in texts], texts, NumberForm.of(texts))
    years = column.dt.year()
    if not FIRST_YEAR <= years.min() <= years.max() <= LAST_YEAR:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
        raise UserError(f"{where} has dates {BEYOND}")
    dates = [datetime(day.year, day.month, day.day) if type(day) is date else day for day in column.to_list()]
    if column.dtype == pl.Datetime("ns") and (column.dt.nanosecond() % 1000 != 0).any():
        return replace(Timestamps.of(dates, decimals=9), texts=column.dt.to_string("iso:strict").to_list())
    return Timestamps.of(dates)


def _are_dates(texts: list[str], where: str, first: int) -> bool:
    """Whether digits such as 20200131 are dates: nine tenths of them can be, and then all must."""
    others: list[int] = []
    for row, text in enumerate(texts):
        if not is_date_of_digits(text):
            others.append(row)
        if len(others) >= len(texts) / 10:
            return False
    if others:
        raise UserError(
            f"{where} has {texts[others[0]]} in row {first + others[0] + 1}, no date as the others are"
        )
    return True


def _read_dates(texts: list[str], where: str, day_first: bool | None, first: int) -> Timestamps:
    moments: list[datetime] = []
    pattern, first_row = None, f"row {first + 1}"
    for row, text in enumerate(texts, start=first + 1):
        try:
            moment, found = read_date(text, day_first, pattern)
        except OtherYears:
            raise
        except OtherOrder as error:
            raise UserError(f"{where}: in row {row} {error}; write dates as 2020-01-31") from error
        except NoDate as error:
            _check_pattern(where, texts[0], first_row, text, f"row {row}")
            raise UserError(f"{where} {MIXED}: row {row} has {error}") from error
        if moments and (found != pattern or is_zoned(moment) != is_zoned(moments[0])):
            _check_alike(where, Label(texts[0], moments[0]), first_row, Label(text, moment), f"row {row}")
        moments.append(moment)
        pattern = found
    assert pattern is not None
    return Timestamps(moments, texts, DateForm(_templates(texts, pattern, day_first), day_first))


def _check_alike(where: str, first: Label, first_row: str, label: Label, row: str) -> None:
    """Refuse a date that is not of the form of an earlier one."""
    _check_pattern(where, first.text, first_row, label.text, row)
    if is_zoned(label.moment) != is_zoned(first.moment):
        has, lacks = ("no", "one") if is_zoned(label.moment) else ("an", "none")
        raise UserError(
            f"{where}: {shortened(first.text)!r} in {first_row} has {has} offset from UTC, {label.text!r} in "
            f"{row} has {lacks}; write all dates with one, or none of them"
        )


def _check_pattern(where: str, first: str, first_row: str, text: str, row: str) -> None:
    if not are_alike(first, text):
        raise UserError(
            f"{where} has {shortened(first)!r} in {first_row} and {shortened(text)!r} in {row}; write all "
            "dates alike"
        )


def _templates(texts: list[str], pattern: str, day_first: bool | None) -> tuple[str, ...]:
    """How dates of one pattern are written, the most frequent way first."""
    shapes = [DIGIT.sub("0", text) for text in texts]
    examples = dict(zip(shapes, texts, strict=True))
    templates = [template_of(text, pattern, day_first) for text in examples.values()]
    by_shape = dict(zip(examples, unpadded(templates), strict=True))
    return tuple(template for template, _ in Counter(by_shape[shape] for shape in shapes).most_common())


def _day_first(texts: list[str], where: str, parts: Collection[Sequence[int]], first: int) -> bool | None:
    """Whether the day stands before the month; None where dates do not leave that open, as 02/03/2020 does.

    Decided by a number above 12; else by points between them, as in 02.03.2020, where the day is first; else
    by the order in which the dates of each part increase, evenly if both do.
    """
    pairs: list[tuple[int, int]] = []
    try:
        for text in texts:
            if (pair := first_numbers(text)) is None:
                return None
            pairs.append(pair)
    except NoDate:
        return True  # one of the cells is refused anyway
    day_first = [row for row, (one, _) in enumerate(pairs) if one > 12]
    month_first = [row for row, (_, two) in enumerate(pairs) if two > 12]
    if day_first and month_first:
        day, month = (f"row {first + rows[0] + 1}, {texts[rows[0]]}" for rows in (day_first, month_first))
        raise UserError(
            f"{where} has the day first in {day}, and the month first in {month}; write dates as 2020-01-31"
        )
    if day_first or month_first:
        return bool(day_first)
    if "." in texts[0][:3]:
        return True
    orders = {}
    for order in (True, False):
        moments = [read_date(text, order)[0] for text in texts]
        orders[order] = [[moments[row] for row in part] for part in parts]
    likely = [order for order, series in orders.items() if all(map(_increases, series))]
    if len(likely) > 1:
        likely = [order for order in likely if all(is_regular(part) for part in orders[order] if len(part) > 1)]
    if len(likely) == 1:
        return likely[0]
    raise OpenOrder(
        f"{where}: {texts[0]} may have the day or the month first, and no row up to {first + len(texts)} shows "
        "which; write dates as 2020-01-31"
    )


def _increases(moments: list[datetime]) -> bool:
    return all(before < after for before, after in pairwise(map(instant, moments)))
