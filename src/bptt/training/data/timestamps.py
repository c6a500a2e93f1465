"""A column that labels rows in time: numbers or dates, read as what they are and written as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from ...errors import UserError
from ...printable import shortened
from .dates import (
    DateForm,
    NoDate,
    instant,
    is_zoned,
)

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
class Timestamps:
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

    def take(self, places: Sequence[int]) -> Timestamps:
        """Those at some places."""
        moments, texts = [self.moments[place] for place in places], [self.texts[place] for place in places]
        return replace(self, moments=moments, texts=texts)

    def write(self, moment: Any) -> str:
        """A further one in the same form, a date in the zone of the last row."""
        if is_zoned(moment):
            moment = moment.astimezone(self.moments[-1].tzinfo)
        return self.form.write(moment)

    @classmethod
    def of(cls, moments: list[Any], decimals: int = 6) -> Timestamps:
        """Labels that are no text.

        Args:
            moments: numbers or dates.
            decimals: of a second, where there are parts of one.
        """
        if not isinstance(moments[0], datetime):
            texts = [str(moment) for moment in moments]
            return cls(moments, texts, number_form(texts))
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


def number_form(texts: list[str]) -> NumberForm:
    """The form of numbers that are written so."""
    short = [text for text in texts if len(text) <= PRECISE] or texts  # longer ones are sums that were rounded
    decimals = {max(0, -int(Decimal(text).as_tuple().exponent)) for text in short}
    return NumberForm(max(decimals), len(decimals) > 1)


def _zone_of(moment: Any) -> str:
    """The name or the offset of a date's zone."""
    if not is_zoned(moment):
        return ""
    zone = moment.tzinfo
    return zone.key if isinstance(zone, ZoneInfo) and zone.key else moment.isoformat()[-6:]
