"""A column that labels rows in time: numbers or dates, read as what they are and written as they were."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from ...errors import UserError
from ...printable import shortened
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
from .values import MISSING_WORDS

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
DIGIT = re.compile(r"\d", re.ASCII)
OFFSETS = "offsets"
PRECISE = 16  # characters of a number that a float holds
HOUR = timedelta(hours=1)
DAY = "{Y:04d}-{m:02d}-{d:02d}"
LARGEST = 10**18  # above which, and below whose inverse, a number is written with an exponent


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written.

    Attributes:
        decimals: after the point, at most.
        trimmed: whether zeros at the end are left out.
    """

    decimals: int = 0
    trimmed: bool = True

    def write(self, moment: Any) -> str:
        """A number, rounded to so many decimals."""
        number = Decimal(str(moment))
        if number and not Decimal(1) / LARGEST < abs(number) < LARGEST:
            return str(number)
        text = f"{number:.{self.decimals}f}"
        return text.rstrip("0").rstrip(".") if self.trimmed and "." in text else text


@dataclass(frozen=True)
class Clock:
    """What the dates of a column leave unsaid, to read further ones in the same way.

    Attributes:
        day_first: whether 02/03/2020 is in March; None where that is not asked.
        zone: of all dates, a name or an offset such as +01:00; OFFSETS where these differ, "" where there is none.
    """

    day_first: bool | None = None
    zone: str = ""

    def local(self, moment: Any, text: str) -> Any:
        """A date by this clock.

        Raises:
            NoDate: it has a zone and the clock none, or the other way round.
        """
        if not isinstance(moment, datetime):
            raise NoDate(f"{text!r} is no date, which this run reads")
        if is_zoned(moment) != bool(self.zone):
            own, theirs = ("an", "none") if is_zoned(moment) else ("no", "one")
            raise NoDate(f"{text!r} has {own} offset from UTC, and the dates that were learned from have {theirs}")
        return moment if self._zone is None else moment.astimezone(self._zone)

    def __post_init__(self) -> None:
        self._zone  # noqa: B018  a name that is no zone is refused here

    @cached_property
    def _zone(self) -> tzinfo | None:
        """The zone; None where there is none, or more than one."""
        if self.zone in ("", OFFSETS):
            return None
        is_offset = self.zone[0] in "+-"
        return datetime.fromisoformat(f"2000-01-01T00:00{self.zone}").tzinfo if is_offset else ZoneInfo(self.zone)


@dataclass(frozen=True)
class Stamps:
    """The labels of rows.

    Attributes:
        moments: by row, a number or a date.
        texts: by row, as they were written.
        form: how further ones are written.
    """

    moments: list[Any]
    texts: list[str]
    form: NumberForm | DateForm

    @property
    def clock(self) -> Clock:
        """To read further dates by."""
        day_first = self.form.day_first if isinstance(self.form, DateForm) else None
        zones = {_zone_of(moment) for moment in self.moments}
        return Clock(day_first, zones.pop() if len(zones) == 1 else OFFSETS)

    def take(self, places: Sequence[int]) -> Stamps:
        """Those at some places."""
        moments, texts = [self.moments[place] for place in places], [self.texts[place] for place in places]
        return replace(self, moments=moments, texts=texts)

    def write(self, moment: Any) -> str:
        """A further one in the same form, a date in the zone of the last row."""
        if is_zoned(moment):
            moment = moment.astimezone(self.moments[-1].tzinfo)
        return self.form.write(moment)

    @classmethod
    def of(cls, moments: list[Any], decimals: int = 6) -> Stamps:
        """Labels that are no text.

        Args:
            moments: numbers or dates.
            decimals: of a second, where there are parts of one.
        """
        if not isinstance(moments[0], datetime):
            texts = [str(moment) for moment in moments]
            return cls(moments, texts, _number_form(texts))
        if not is_zoned(moments[0]) and all(moment.time() == time() for moment in moments):
            return cls(moments, [moment.date().isoformat() for moment in moments], DateForm((DAY,)))
        has_parts = any(moment.microsecond for moment in moments)
        texts = [moment.isoformat(timespec="microseconds" if has_parts else "seconds") for moment in moments]
        parts, zone = f".{{f:.{decimals}}}" if has_parts else "", "{z6}" if is_zoned(moments[0]) else ""
        return cls(moments, texts, DateForm((DAY + "T{H:02d}:{M:02d}:{S:02d}" + parts + zone,)))

    def check_increasing(self, name: str, column: str) -> None:
        """Each comes after the one before it.

        Raises:
            UserError: one does not, with its row.
        """
        for place, (before, after) in enumerate(pairwise(map(instant, self.moments)), start=1):
            if after > before:
                continue
            texts = self.texts[place], self.texts[place - 1]
            if (found := why_not_later(texts[0], after, texts[1], before, f"row {place}")) is not None:
                raise UserError(f"{name}: row {place + 1}, column {column!r}: {found}")


def why_not_later(text: str, moment: Any, other: str, before: Any, row: str) -> str | None:
    """Why a row's label cannot follow another's, in words; None where it comes after it.

    Args:
        text: the label, as it is written.
        moment: the number or date that it is.
        other: the label before it.
        before: what that is.
        row: which row it is of, in words.
    """
    after, before = instant(moment), instant(before)
    if after > before:
        return None
    is_same, text, other = text == other, shortened(text), shortened(other)
    hint = ""
    if isinstance(after, datetime) and not is_zoned(after) and before - after <= HOUR and after.hour:
        hint = "; if a clock was set back there, write times with their offset from UTC, such as +01:00"
    if after < before:
        return (
            f"{text} is out of order, after {other} in {row}; sort the rows by time, or name their series: "
            f"--series{hint}"
        )
    found = "is there twice" if is_same else f"is the same as {other} to the microsecond"
    return f"{text} {found}, in {row} too; each row needs its own, or a series: --series{hint}"


def read_stamps(
    column: pl.Series, name: str, clock: Clock | None = None, parts: Collection[Sequence[int]] | None = None
) -> Stamps:
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
        return Stamps([Decimal(text) for text in texts], texts, _number_form(texts))
    if kind in (pl.Date, pl.Datetime):
        years = column.dt.year()
        if not FIRST_YEAR <= years.min() <= years.max() <= LAST_YEAR:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
            raise UserError(f"{where} has dates {BEYOND}")
        dates = [datetime(day.year, day.month, day.day) if type(day) is date else day for day in column.to_list()]
        if kind == pl.Datetime("ns") and (column.dt.nanosecond() % 1000 != 0).any():
            return replace(Stamps.of(dates, decimals=9), texts=column.dt.to_string("iso:strict").to_list())
        return Stamps.of(dates)
    if kind == pl.Time:
        raise UserError(f"{where} holds times of day; a date and time is needed, or a number")
    if not (kind.is_numeric() or kind in (pl.String, pl.Categorical, pl.Enum)):
        raise UserError(f"{where} is {kind}, but numbers or dates are needed")
    texts = column.cast(pl.String).str.strip_chars().to_list()
    if (row := next((row for row, text in enumerate(texts, start=1) if text.lower() in MISSING_WORDS), 0)) > 0:
        raise UserError(f"{where} has no time in row {row}, {texts[row - 1]!r}; each row needs one")
    other = next((row for row, text in enumerate(texts, start=1) if not NUMBER.fullmatch(text)), None)
    if other is None and not _are_dates(texts, where):
        return Stamps([Decimal(text) for text in texts], texts, _number_form(texts))
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


def stamps_by(
    frame: pl.DataFrame, series: str, time: str | None, name: str, clock: Clock | None = None
) -> dict[str, Stamps]:
    """The labels of each series' rows by its name, read together; none where no column holds them."""
    if time not in frame.columns:
        return {}
    places: dict[str, list[int]] = {}
    for place, own in enumerate(frame[series].to_list()):
        places.setdefault(own, []).append(place)
    whole = read_stamps(frame[time], name, clock, places.values())
    return {own: whole.take(found) for own, found in places.items()}


def read_stamp(text: str, clock: Clock) -> datetime:
    """A date of a row that comes alone.

    Raises:
        NoDate: it is none, or not of this clock.
    """
    return clock.local(read_date(text, clock.day_first)[0], text)


def _read_dates(texts: list[str], where: str, day_first: bool | None) -> Stamps:
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
    return Stamps(moments, texts, DateForm(_templates(texts, pattern, day_first), day_first))


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


def _number_form(texts: list[str]) -> NumberForm:
    short = [text for text in texts if len(text) <= PRECISE] or texts  # longer ones are sums that were rounded
    decimals = {max(0, -int(Decimal(text).as_tuple().exponent)) for text in short}
    return NumberForm(max(decimals), len(decimals) > 1)


def _zone_of(moment: Any) -> str:
    """The name or the offset of a date's zone."""
    if not is_zoned(moment):
        return ""
    zone = moment.tzinfo
    return zone.key if isinstance(zone, ZoneInfo) and zone.key else moment.isoformat()[-6:]
