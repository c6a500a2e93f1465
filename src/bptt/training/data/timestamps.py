"""The labels of rows in time, numbers or dates: their values, how they are written, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ...errors import UserError
from ...printable import shortened
from .dates import DateForm, NoDate, instant, is_zoned, read_date

OFFSETS = "offsets"
PRECISE = 16  # characters of a number that a float holds
HOUR = timedelta(hours=1)
DAY = "{Y:04d}-{m:02d}-{d:02d}"
LARGEST = 10**18  # above which, and below whose inverse, a number is written with an exponent


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written."""

    decimals: int = 0  # after the point, at most
    trimmed: bool = True  # whether zeros at the end are left out

    @classmethod
    def of(cls, texts: list[str]) -> NumberForm:
        """The form of these numbers."""
        short = [text for text in texts if len(text) <= PRECISE] or texts  # longer ones are rounded sums
        decimals = {max(0, -int(Decimal(text).as_tuple().exponent)) for text in short}
        return cls(max(decimals), len(decimals) > 1)

    def joined(self, other: NumberForm) -> NumberForm:
        """The form of both their numbers."""
        is_trimmed = self.trimmed or other.trimmed or self.decimals != other.decimals
        return NumberForm(max(self.decimals, other.decimals), is_trimmed)

    def write(self, moment: Any) -> str:
        """A number, rounded to so many decimals."""
        number = Decimal(str(moment))
        if number and not Decimal(1) / LARGEST < abs(number) < LARGEST:
            return str(number)
        text = f"{number:.{self.decimals}f}"
        return text.rstrip("0").rstrip(".") if self.trimmed and "." in text else text


@dataclass(frozen=True)
class Clock:
    """How further dates are read where their text alone leaves it open."""

    day_first: bool | None = None  # whether 02/03/2020 is in March; None where no such date was read
    # of all dates, a name or an offset such as +01:00; OFFSETS where these differ, "" where there is none
    zone: str = ""

    def __post_init__(self) -> None:
        self._zone  # noqa: B018  refuse an unknown zone at once

    def read(self, text: str) -> datetime:
        """A date in this zone; raises `NoDate`."""
        return self.local(read_date(text, self.day_first)[0], text)

    def local(self, moment: Any, text: str) -> Any:
        """A date in this zone; `NoDate` where it is none, or only one of it and this clock has a zone."""
        if not isinstance(moment, datetime):
            raise NoDate(f"{text!r} is no date, which this run reads")
        if is_zoned(moment) != bool(self.zone):
            own, theirs = ("an", "none") if is_zoned(moment) else ("no", "one")
            raise NoDate(f"{text!r} has {own} offset from UTC, and the dates of the training rows have {theirs}")
        return moment if self._zone is None else moment.astimezone(self._zone)

    @cached_property
    def _zone(self) -> tzinfo | None:
        """The zone; None where there is none, or more than one."""
        if self.zone in ("", OFFSETS):
            return None
        is_offset = self.zone[0] in "+-"
        return datetime.fromisoformat(f"2000-01-01T00:00{self.zone}").tzinfo if is_offset else ZoneInfo(self.zone)


class Label(NamedTuple):
    """A row's label."""

    text: str
    moment: Any  # a number or a date; None of a date whose day or month may come first


@dataclass(frozen=True)
class Timestamps:
    """The labels of a table's rows."""

    moments: list[Any]  # by row, a number or a date
    texts: list[str]  # by row, as they were written
    form: NumberForm | DateForm  # how further ones are written

    @classmethod
    def of(cls, moments: list[Any], decimals: int = 6) -> Timestamps:
        """Numbers or dates that were no text; `decimals` are those of a second, where it has fractions."""
        if not isinstance(moments[0], datetime):
            texts = [str(moment) for moment in moments]
            return cls(moments, texts, NumberForm.of(texts))
        if not is_zoned(moments[0]) and all(moment.time() == time() for moment in moments):
            return cls(moments, [moment.date().isoformat() for moment in moments], DateForm((DAY,)))
        has_fractions = any(moment.microsecond for moment in moments)
        texts = [moment.isoformat(timespec="microseconds" if has_fractions else "seconds") for moment in moments]
        fraction, zone = f".{{f:.{decimals}}}" if has_fractions else "", "{z6}" if is_zoned(moments[0]) else ""
        return cls(moments, texts, DateForm((DAY + "T{H:02d}:{M:02d}:{S:02d}" + fraction + zone,)))

    @property
    def clock(self) -> Clock:
        """How further dates are read."""
        day_first = self.form.day_first if isinstance(self.form, DateForm) else None
        zones = {_zone_of(moment) for moment in self.moments}
        return Clock(day_first, zones.pop() if len(zones) == 1 else OFFSETS)

    def take(self, rows: Sequence[int]) -> Timestamps:
        """The labels of some rows."""
        return replace(self, moments=[self.moments[row] for row in rows], texts=[self.texts[row] for row in rows])

    def write(self, moment: Any) -> str:
        """A further label in the same form, a date in the zone of the last row."""
        if is_zoned(moment):
            moment = moment.astimezone(self.moments[-1].tzinfo)
        return self.form.write(moment)

    def check_increasing(self, name: str, column: str, first: int = 0) -> None:
        """Refuse labels of which one does not come after the one before it, with its row; `first` stand before."""
        for row, (before, after) in enumerate(pairwise(map(instant, self.moments)), start=1):
            if not after > before:
                earlier, label = (Label(self.texts[place], self.moments[place]) for place in (row - 1, row))
                found = why_not_later(label, earlier, f"row {first + row}")
                raise UserError(f"{name}: row {first + row + 1}, column {column!r}: {found}")


def why_not_later(label: Label, before: Label, row: str) -> str | None:
    """Why a label cannot follow that of an earlier row, named by `row`; None where it comes after it."""
    moment, earlier = instant(label.moment), instant(before.moment)
    if moment > earlier:
        return None
    text, other = shortened(label.text), shortened(before.text)
    hint = ""
    if isinstance(moment, datetime) and not is_zoned(moment) and earlier - moment <= HOUR and moment.hour:
        hint = "; if a clock was set back there, write times with their offset from UTC, such as +01:00"
    if moment < earlier:
        return (
            f"{text} is out of order, after {other} in {row}; sort the rows by time, or name their series: "
            f"--series COLUMN{hint}"
        )
    found = "is there twice" if label.text == before.text else f"is the same as {other} to the microsecond"
    return f"{text} {found}, in {row} too; each row needs its own, or name their series: --series COLUMN{hint}"


def _zone_of(moment: Any) -> str:
    """The name or the offset of a date's zone."""
    if not is_zoned(moment):
        return ""
    zone = moment.tzinfo
    return zone.key if isinstance(zone, ZoneInfo) and zone.key else moment.isoformat()[-6:]
