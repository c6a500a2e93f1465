"""The rules that lead from one row's time to the next: a fixed step, days, or days of months."""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from .dates import instant, is_zoned

WEEK = tuple(range(7))
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Fixed:
    """A fixed step: between numbers, or in seconds between dates, whatever the local time."""

    step: str  # a number, or seconds
    dated: bool  # whether it is between dates
    usual: bool = True  # whether most rows are spaced so; else it is the median of irregular steps

    @cached_property
    def _step(self) -> Any:
        return timedelta(microseconds=int(Decimal(self.step) * 10**6)) if self.dated else Decimal(self.step)

    def after(self, moment: Any, steps: int) -> Any:
        """The time so many rows later."""
        if not self.dated:
            return as_decimal(moment) + steps * self._step
        later = instant(moment) + steps * self._step
        return later.astimezone(moment.tzinfo) if is_zoned(moment) else later

    def __str__(self) -> str:
        return f"every {self._step}".removesuffix(", 0:00:00")


@dataclass(frozen=True)
class Days:
    """Days in local time: every so many, or on some weekdays and at some times of day."""

    every: int = 1  # so many days; more than 1 only with all weekdays and no times
    weekdays: tuple[int, ...] = WEEK  # Monday is 0
    times: tuple[str, ...] = ()  # of day, such as 09:30:00; none where all rows have the same
    usual = True

    @cached_property
    def _times(self) -> list[time]:
        return [time.fromisoformat(text) for text in self.times]

    def after(self, moment: datetime, steps: int) -> datetime:
        """The time so many rows later; from a day or time without rows, counted from the row before it."""
        wall = moment.replace(tzinfo=None)
        if self.weekdays == WEEK and not self.times:
            return _on_wall(wall + steps * self.every * DAY, moment)
        week, weekday = divmod(wall.toordinal() - 1, 7)  # 1 January of the year 1 was a Monday
        days, times = len(self.weekdays), max(1, len(self.times))
        place = bisect_right(self.weekdays, weekday) - 1
        slot = times - 1
        if place >= 0 and self.weekdays[place] == weekday and self.times:
            slot = bisect_right(self._times, wall.time()) - 1
        day, slot = divmod((week * days + place) * times + slot + steps, times)
        week, place = divmod(day, days)
        at = self._times[slot] if self.times else wall.time()
        return _on_wall(datetime.combine(datetime.fromordinal(7 * week + self.weekdays[place] + 1), at), moment)

    def __str__(self) -> str:
        days = "every day" if self.every == 1 else f"every {self.every} days"
        days = days if self.weekdays == WEEK else " ".join(WEEKDAYS[weekday] for weekday in self.weekdays)
        return f"{days} at {len(self.times)} times" if self.times else days


@dataclass(frozen=True)
class Months:
    """Days of every so many months."""

    every: int = 1  # so many months; more than 1 only with one place
    # in the month, in order: a day's number, which is the last day where the month is shorter; "end"; the "first
    # weekday" or "last weekday" from Monday to Friday; or "3 fri" for the third Friday
    places: tuple[str, ...] = ("1",)
    usual = True

    def after(self, moment: datetime, steps: int) -> datetime:
        """The time so many rows later; from a day without rows, counted from the row before it."""
        days = [_day_of(moment.year, moment.month, place) for place in self.places]
        months, place = divmod(bisect_right(days, moment.day) - 1 + steps, len(self.places))
        year, month = divmod(12 * moment.year + moment.month - 1 + self.every * months, 12)
        day = _day_of(year, month + 1, self.places[place])
        return _on_wall(moment.replace(year=year, month=month + 1, day=day, tzinfo=None, fold=0), moment)

    def __str__(self) -> str:
        return f"every {f'{self.every} months' if self.every > 1 else 'month'}, {' and '.join(self.places)}"


Spacing = Fixed | Days | Months
KINDS: dict[str, type[Spacing]] = {"fixed": Fixed, "days": Days, "months": Months}


def to_toml(spacing: Spacing) -> dict[str, Any]:
    """A rule as a table of config.toml."""
    return {"kind": type(spacing).__name__.lower(), **asdict(spacing)}


def read_spacing(found: dict[str, Any]) -> Spacing:
    """A rule from its table in config.toml; a ValueError where it is none."""
    try:
        rest: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        spacing = KINDS[rest.pop("kind")](**rest)
        if isinstance(spacing, Days) and list(spacing.weekdays) != sorted({*spacing.weekdays} & {*WEEK}):
            raise ValueError("weekdays are some of 0 to 6, in order")
        moment: Any = datetime(2000, 1, 3) if not isinstance(spacing, Fixed) or spacing.dated else 0
        is_later = spacing.after(moment, 1) > moment
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{found} is no spacing of rows") from error
    if not is_later:
        raise ValueError(f"{found} is no spacing of rows: it does not lead on")
    return spacing


def as_decimal(moment: Any) -> Decimal:
    """A number exactly as it prints."""
    return moment if isinstance(moment, Decimal) else Decimal(str(moment))


def seconds_of(span: timedelta) -> str:
    """A span's seconds as a decimal number."""
    return f"{Decimal(span // timedelta(microseconds=1)) / 10**6:f}"


def _on_wall(wall: datetime, like: datetime) -> datetime:
    """A local time in the zone of `like`; an hour later where clocks skip it in spring."""
    if like.tzinfo is None:
        return wall
    return wall.replace(tzinfo=like.tzinfo).astimezone(UTC).astimezone(like.tzinfo)


def _day_of(year: int, month: int, place: str) -> int:
    """The day of a month at a place of `Months`."""
    first, days = monthrange(year, month)  # the first one's weekday
    if place.isdigit():
        return min(int(place), days)
    which, _, name = place.partition(" ")
    last = (first + days - 1) % 7
    if which == "end":
        return days
    if name == "weekday":
        return (1, 1, 1, 1, 1, 3, 2)[first] if which == "first" else days - max(0, last - 4)
    weekday = WEEKDAYS.index(name)
    return days - (last - weekday) % 7 if which == "last" else 7 * int(which) - 6 + (weekday - first) % 7
