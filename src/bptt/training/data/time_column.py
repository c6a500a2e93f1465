"""The column that labels a table's rows in time, read as a whole or one row after another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from ...errors import UserError
from ...printable import shortened
from .cells import MISSING_WORDS
from .dates import (
    BEYOND,
    FIRST_YEAR,
    LAST_YEAR,
    DateForm,
    NoDate,
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
from .spacing import is_regular, seconds_of
from .timestamps import Clock, Timestamps, number_form, why_not_later

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
DIGIT = re.compile(r"\d", re.ASCII)


def read_timestamps(
    column: pl.Series, name: str, clock: Clock | None = None, parts: Collection[Sequence[int]] | None = None
) -> Timestamps:
    """A column's numbers or dates, in the order of its rows.

    Args:
        column: text, numbers, dates, or durations, which are numbers of seconds.
        name: of the table, for errors.
        clock: of the dates that were learned from, which says what these leave unsaid.
        parts: the places of each series' rows, in which they are in order; None where there is but one.

    Raises:
        UserError: a cell is missing or neither, they are not all of a kind, or it cannot be seen whether the day
            or the month comes first.
    """
    where = f"{name}: column {column.name!r}"
    if column.null_count():
        missing = int(column.is_null().arg_max() or 0)
        raise UserError(f"{where} has no time in row {missing + 1}; each row needs one")
    kind = column.dtype
    if kind == pl.Duration:
        texts = [seconds_of(span) for span in column.cast(pl.Duration("us")).to_list()]
        return Timestamps([Decimal(text) for text in texts], texts, number_form(texts))
    if kind in (pl.Date, pl.Datetime):
        years = column.dt.year()
        if not FIRST_YEAR <= years.min() <= years.max() <= LAST_YEAR:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
            raise UserError(f"{where} has dates {BEYOND}")
        dates = [datetime(day.year, day.month, day.day) if type(day) is date else day for day in column.to_list()]
        if kind == pl.Datetime("ns") and (column.dt.nanosecond() % 1000 != 0).any():
            return replace(Timestamps.of(dates, decimals=9), texts=column.dt.to_string("iso:strict").to_list())
        return Timestamps.of(dates)
    if kind == pl.Time:
        raise UserError(f"{where} holds times of day; a date and time is needed, or a number")
    if not (kind.is_numeric() or kind in (pl.String, pl.Categorical, pl.Enum)):
        raise UserError(f"{where} is {kind}, but numbers or dates are needed")
    texts = column.cast(pl.String).str.strip_chars().to_list()
    if (row := next((row for row, text in enumerate(texts, start=1) if text.lower() in MISSING_WORDS), 0)) > 0:
        raise UserError(f"{where} has no time in row {row}, {texts[row - 1]!r}; each row needs one")
    other = next((row for row, text in enumerate(texts, start=1) if not NUMBER.fullmatch(text)), None)
    if other is None and not _are_dates(texts, where):
        return Timestamps([Decimal(text) for text in texts], texts, number_form(texts))
    if other is not None and NUMBER.fullmatch(texts[0]):
        found = f"{shortened(texts[other - 1])!r} in row {other}, {shortened(texts[0])!r} in row 1"
        raise UserError(f"{where} is neither numbers nor dates throughout: {found}")
    try:
        if clock is None or clock.day_first is None:
            return _read_dates(texts, where, _day_first(texts, where, parts or [range(len(texts))]))
        return _read_dates(texts, where, clock.day_first)
    except OtherYears as error:
        raise UserError(f"{where} has dates {BEYOND}") from error


def _are_dates(texts: list[str], where: str) -> bool:
    """Whether digits such as 20200131 are dates, which they are if all of them can be."""
    others: list[int] = []
    for row, text in enumerate(texts, start=1):
        if not is_date_of_digits(text):
            others.append(row)
        if len(others) >= len(texts) / 10:
            return False
    if others:
        raise UserError(f"{where} has {texts[others[0] - 1]} in row {others[0]}, no date as the others are")
    return True


def timestamps_by_series(
    frame: pl.DataFrame, series: str, time: str | None, name: str, clock: Clock | None = None
) -> dict[str, Timestamps]:
    """The labels of each series' rows by its name, read together; none where no column holds them."""
    if time not in frame.columns:
        return {}
    places: dict[str, list[int]] = {}
    for place, own in enumerate(frame[series].to_list()):
        places.setdefault(own, []).append(place)
    whole = read_timestamps(frame[time], name, clock, places.values())
    return {own: whole.take(found) for own, found in places.items()}


def read_stamp(text: str, clock: Clock) -> datetime:
    """A date of a row that comes alone.

    Raises:
        NoDate: it is none, or not of this clock.
    """
    return clock.local(read_date(text, clock.day_first)[0], text)


def _read_dates(texts: list[str], where: str, day_first: bool | None) -> Timestamps:
    moments: list[datetime] = []
    pattern = None
    for row, text in enumerate(texts, start=1):
        try:
            moment, found = read_date(text, day_first, pattern)
        except OtherYears:
            raise
        except NoDate as error:
            _check_alike(texts, row, where)
            said = f"row {row} has {error}"
            raise UserError(f"{where} is neither numbers nor dates throughout: {said}") from error
        if found != (pattern or found):
            _check_alike(texts, row, where)
        if moments and is_zoned(moment) != is_zoned(moments[0]):
            first, second = ("no", "one") if is_zoned(moment) else ("an", "none")
            raise UserError(
                f"{where}: {texts[0]!r} in row 1 has {first} offset from UTC, {text!r} in row {row} has {second}; "
                "write all dates with one, or none of them"
            )
        moments.append(moment)
        pattern = found
    assert pattern is not None
    return Timestamps(moments, texts, DateForm(_templates(texts, pattern, day_first), day_first))


def _check_alike(texts: list[str], row: int, where: str) -> None:
    if not are_alike(texts[0], texts[row - 1]):
        raise UserError(
            f"{where} has {texts[0]!r} in row 1 and {texts[row - 1]!r} in row {row}; write all dates alike"
        )


def _templates(texts: list[str], pattern: str, day_first: bool | None) -> tuple[str, ...]:
    """How dates of one pattern are written, the most frequent way first."""
    shapes = [DIGIT.sub("0", text) for text in texts]
    examples = dict(zip(shapes, texts, strict=True))
    templates = [template_of(text, pattern, day_first) for text in examples.values()]
    by_shape = dict(zip(examples, unpadded(templates), strict=True))
    return tuple(template for template, _ in Counter(by_shape[shape] for shape in shapes).most_common())


def _day_first(texts: list[str], where: str, parts: Collection[Sequence[int]]) -> bool | None:
    """Whether the day stands before the month, where dates such as 02/03/2020 leave that open.

    Seen from a number above 12, or else from the order in which the dates of each part increase, evenly if both
    do; with points between them, as in 02.03.2020, the day is first.
    """
    pairs: list[tuple[int, int]] = []
    try:
        for text in texts:
            if (pair := first_numbers(text)) is None:
                return None
            pairs.append(pair)
    except NoDate:
        return True  # one of the cells is refused anyway
    day_first = [row for row, (one, _) in enumerate(pairs, start=1) if one > 12]
    month_first = [row for row, (_, two) in enumerate(pairs, start=1) if two > 12]
    if day_first and month_first:
        raise UserError(
            f"{where} has the day first in row {day_first[0]}, {texts[day_first[0] - 1]}, and the month first in "
            f"row {month_first[0]}, {texts[month_first[0] - 1]}; write dates as 2020-01-31"
        )
    if day_first or month_first:
        return bool(day_first)
    if "." in texts[0][:3]:
        return True
    ways = {}
    for way in (True, False):
        moments = [read_date(text, way)[0] for text in texts]
        ways[way] = [[moments[place] for place in part] for part in parts]
    increasing = [way for way, each in ways.items() if all(map(_increases, each))]
    likely = increasing if len(increasing) == 1 else [way for way in increasing if _are_regular(ways[way])]
    if len(likely) == 1:
        return likely[0]
    raise UserError(
        f"{where}: {texts[0]} may have the day or the month first, and no row shows which; write dates as "
        "2020-01-31"
    )


def _increases(moments: list[datetime]) -> bool:
    return all(before < after for before, after in pairwise(map(instant, moments)))


def _are_regular(parts: list[list[datetime]]) -> bool:
    """Whether each part of more than one row is."""
    return all(is_regular(part) for part in parts if len(part) > 1)


class Label(NamedTuple):
    """A row's label."""

    text: str
    moment: Any  # a number or a date; None where the day or the month of it may come first


def next_label(text: str, before: Label | None, clock: Clock, where: str) -> Label:
    """A row's label, after that of the row before it.

    Args:
        text: a number or a date; digits alone, such as 20200131, increase as numbers if they do as dates.
        clock: of the dates that were learned from, which says what these leave unsaid.
        where: the line and the column, for errors.

    Raises:
        UserError: it is missing or neither, of another form than the one before, or not later.
    """
    label = Label(text, _moment(text, clock, where))
    if before is None or label.moment is None or before.moment is None:
        return label
    is_date, other = isinstance(label.moment, datetime), shortened(before.text)
    if is_date != isinstance(before.moment, datetime):
        said = f"{shortened(text)!r}, {other!r} in the row before"
        raise UserError(f"{where} is neither numbers nor dates throughout: {said}")
    if is_date and not are_alike(before.text, text):
        raise UserError(
            f"{where} has {other!r} in the row before and {shortened(text)!r} in this; write all dates alike"
        )
    if is_zoned(label.moment) != is_zoned(before.moment):
        first, second = ("no", "one") if is_zoned(label.moment) else ("an", "none")
        raise UserError(
            f"{where}: {other!r} in the row before has {first} offset from UTC, {text!r} in this has {second}; "
            "write all dates with one, or none of them"
        )
    if (
        found := why_not_later(label.text, label.moment, before.text, before.moment, "the row before")
    ) is not None:
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
        raise UserError(f"{where} is neither numbers nor dates throughout: {error}") from error
