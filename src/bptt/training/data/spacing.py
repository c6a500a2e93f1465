"""How rows are spaced in time, seen from all of them, and the times of rows that are yet to come."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_DOWN, Decimal
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from .dates import instant, is_zoned

WEEK = tuple(range(7))
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WORKDAYS = WEEK[:5]
DAY = timedelta(days=1)
MOST_PAIRS = 5000  # of neighbouring rows that a rule is tried on
MOST_DAYS = 4  # of a month that a rule names
FAR = 0.01  # a mean step that is more than this part of the commonest away from it
MEAN_DIGITS = 6  # of a mean step, after the decimals of the numbers
MOST_TIMES = 1440  # of day that a rule names
RARE = 0.25  # a weekday or time of day with less than this of the rows of the commonest is an exception


@dataclass(frozen=True)
class Fixed:
    """The same step each time: numbers, or dates so many seconds apart, whatever the clocks show.

    Attributes:
        step: the number, or seconds.
        dated: whether dates are meant.
        usual: whether most rows are spaced so; else it is the median of steps that follow no rule.
    """

    step: str
    dated: bool
    usual: bool = True

    @cached_property
    def _step(self) -> Any:
        return timedelta(microseconds=int(Decimal(self.step) * 10**6)) if self.dated else Decimal(self.step)

    def after(self, moment: Any, steps: int) -> Any:
        """The time so many rows later."""
        if not self.dated:
            return _number(moment) + steps * self._step
        later = instant(moment) + steps * self._step
        return later.astimezone(moment.tzinfo) if is_zoned(moment) else later

    def __str__(self) -> str:
        return f"every {self._step}".removesuffix(", 0:00:00")


@dataclass(frozen=True)
class Days:
    """Days by the clock on the wall: every so many, or the weekdays and times of day that there are rows on.

    Attributes:
        every: so many days; more than 1 only with all weekdays and no times.
        weekdays: Monday is 0.
        times: of day, such as 09:30:00; none where all rows have the same.
    """

    every: int = 1
    weekdays: tuple[int, ...] = WEEK
    times: tuple[str, ...] = ()
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
        days = days if self.weekdays == WEEK else " ".join(NAMES[weekday] for weekday in self.weekdays)
        return f"{days} at {len(self.times)} times" if self.times else days


@dataclass(frozen=True)
class Months:
    """Days of every so many months.

    Attributes:
        every: so many months; more than 1 only with one place.
        places: in the month, in order: a day's number, which is the last day where the month is shorter; "end";
            the "first weekday" or "last weekday" from Monday to Friday; or "3 fri" for the third Friday.
    """

    every: int = 1
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
    """A rule as TOML has it."""
    return {"kind": type(spacing).__name__.lower(), **asdict(spacing)}


def read_spacing(found: dict[str, Any]) -> Spacing:
    """The same read again.

    Raises:
        ValueError: it is none.
    """
    try:
        rest: dict[str, Any] = {
            n: tuple(value) if isinstance(value, list) else value for n, value in found.items()
        }
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


def spacing_of(times: list[Any]) -> Spacing | None:
    """The rule that most rows follow from one to the next, or the median step where none does; None of one row.

    Args:
        times: numbers or dates, increasing.
    """
    pairs = list(pairwise(times))
    if not pairs:
        return None
    pairs = random.Random(0).sample(pairs, MOST_PAIRS) if len(pairs) > MOST_PAIRS else pairs
    dated = isinstance(times[0], datetime)
    gaps = sorted(_gap(before, after) for before, after in pairs)
    usual = _commonest(gaps)
    if not dated:
        rounded = _commonest([Decimal(f"{gap:.6g}") for gap in gaps])
        found = max((Fixed(str(usual), False), Fixed(str(rounded), False)), key=lambda rule: _close(rule, gaps))
        if _close(found, gaps) < len(gaps) and (mean := _mean_rule(times[-MOST_PAIRS:], usual)) is not None:
            return mean
        return found if 2 * _close(found, gaps) >= len(gaps) else Fixed(str(_median(gaps)), False, usual=False)
    rules = [*_monthly(pairs), *_daily(pairs), Fixed(seconds_of(usual), True)]
    best, followed = max(((rule, _followed(rule, pairs)) for rule in rules), key=lambda pair: pair[1])
    if followed < len(pairs):
        particular = [(rule, _followed(rule, pairs)) for rule in (*_weekly(times), *_odd_months(pairs))]
        rule, count = max(particular, key=lambda pair: pair[1], default=(best, followed))
        is_known = rule == Days(1, WORKDAYS) or (isinstance(rule, Months) and count == len(pairs))
        if count >= followed + (1 if is_known else 2):  # a rule that says more must explain more
            best, followed = rule, count
    is_usual = _is_usual(best, pairs) and (followed == len(pairs) or not _drifts(best, pairs))
    return best if is_usual else Fixed(seconds_of(_median(gaps)), True, usual=False)


def is_regular(times: list[Any]) -> bool:
    """Whether one rule leads from each time to the next."""
    rule, pairs = spacing_of(times), list(pairwise(times))
    return rule is not None and _followed(rule, pairs) == len(pairs)


def follows(spacing: Spacing, times: list[Any]) -> bool:
    """Whether times may go on by a rule that other rows follow: most of these do, or they are too few to tell."""
    pairs = list(pairwise(times[-MOST_PAIRS:]))
    if isinstance(times[0], datetime) != (not isinstance(spacing, Fixed) or spacing.dated):
        return False
    if len(pairs) < 3:
        return all(_reaches(spacing, *pair) for pair in pairs)
    return spacing.usual and _is_usual(spacing, pairs)


def _is_usual(rule: Spacing, pairs: list[tuple[Any, Any]]) -> bool:
    """Whether half of the rows follow a rule, or a third do and nearly all others leave out rows of it."""
    followed = _followed(rule, pairs)
    if 2 * followed >= len(pairs) or 3 * followed < len(pairs):
        return 2 * followed >= len(pairs)
    return 20 * sum(_reaches(rule, *pair) for pair in pairs) >= 19 * len(pairs)


def _drifts(rule: Spacing, pairs: list[tuple[datetime, datetime]]) -> bool:
    """Whether rows, none of them missing, are on average far from the one step of a rule."""
    if isinstance(rule, Months) or (isinstance(rule, Days) and (rule.weekdays != WEEK or rule.times)):
        return False
    if isinstance(rule, Days):  # by what clocks show
        pairs = [(before.replace(tzinfo=None), after.replace(tzinfo=None)) for before, after in pairs]
    step = rule.every * DAY if isinstance(rule, Days) else rule._step
    gaps = [_gap(*pair) for pair in pairs]
    return 2 * max(gaps) < 3 * step and abs(sum(gaps, timedelta(0)) / len(gaps) - step) > FAR * step


def _followed(rule: Spacing, pairs: list[tuple[Any, Any]]) -> int:
    """How many pairs are one step of a rule apart."""
    return sum(_is_step(rule, before, after, 1) for before, after in pairs)


def _reaches(rule: Spacing, before: Any, after: Any) -> bool:
    """Whether some number of steps leads from one time to another."""

    def is_there(steps: int) -> bool:
        there = _after(rule, before, steps)
        return there is None or instant(there) >= instant(after) or _meets(rule, there, before, after)

    stop = 1
    while not is_there(stop):
        stop *= 2
    return _is_step(rule, before, after, bisect_left(range(stop), True, key=is_there))


def _is_step(rule: Spacing, before: Any, after: Any, steps: int) -> bool:
    """Whether so many steps lead from a time that the rule knows to another."""
    found = _after(rule, before, steps)
    if found is None or _after(rule, before, 0) != before:
        return False
    return _meets(rule, found, before, after)


def _meets(rule: Spacing, found: Any, before: Any, after: Any) -> bool:
    """Whether the time that a rule leads to is another; numbers may be rounded to fewer decimals than the step."""
    if isinstance(rule, Fixed):
        if rule.dated or found == after:
            return instant(found) == instant(after)
        decimals = max(_decimals(_number(before)), _decimals(_number(after)))
        return _decimals(Decimal(rule.step)) > decimals and abs(found - _number(after)) <= _unit(decimals)
    return found.replace(tzinfo=None) == after.replace(tzinfo=None) or instant(found) == instant(after)


def _after(rule: Spacing, moment: Any, steps: int) -> Any:
    """The time so many steps later; None beyond the last year."""
    try:
        return rule.after(moment, steps)
    except (OverflowError, ValueError):
        return None


def _monthly(pairs: list[tuple[datetime, datetime]]) -> list[Spacing]:
    """The same day of months, the last one first."""
    every = _commonest(sorted(_months(before, after) for before, after in pairs))
    days = [after.day for _, after in pairs]
    places = dict.fromkeys(("end", str(_commonest(sorted(days))), str(max(days))))
    return [Months(every, (place,)) for place in places] if every > 0 else []


def _odd_months(pairs: list[tuple[datetime, datetime]]) -> list[Spacing]:
    """Days of months that are no number: the first or last weekday, the third Friday; or several days of each."""
    every = _commonest(sorted(_months(before, after) for before, after in pairs))
    dates = [after for _, after in pairs]
    found: list[Spacing] = []
    if every > 0:
        weekday, count = Counter((date.weekday(), (date.day + 6) // 7) for date in dates).most_common(1)[0][0]
        places = ("first weekday", "last weekday", f"{count} {NAMES[weekday]}", f"last {NAMES[weekday]}")
        found += [Months(every, (place,)) for place in places]
    days = sorted(day for day, _ in Counter(date.day for date in dates).most_common(2))
    if len(days) == 2:
        found += [Months(1, (str(days[0]), str(days[1]))), Months(1, (str(days[0]), "end"))]
    repeated = [day for day, count in Counter(date.day for date in dates).most_common(MOST_DAYS) if count > 1]
    for count in range(3, MOST_DAYS + 1):  # of days that are there but once, any would do
        for some, end in ((repeated[:count], ()), (repeated[: count - 1], ("end",))):
            if len(some) + len(end) == count:
                found.append(Months(1, (*map(str, sorted(some)), *end)))
    return found


def _daily(pairs: list[tuple[datetime, datetime]]) -> list[Spacing]:
    """Every so many days."""
    every = _commonest(sorted(after.toordinal() - before.toordinal() for before, after in pairs))
    return [Days(every)] if every > 0 else []


def _weekly(times: list[datetime]) -> list[Spacing]:
    """The weekdays and times of day that most rows are on, such as working days or opening hours."""
    span = range(times[0].toordinal(), times[-1].toordinal() + 1)
    skipped = {(day - 1) % 7 for day in span[:7]} - set(_frequent(Counter(moment.weekday() for moment in times)))
    weekdays = [weekday for weekday in WEEK if weekday not in skipped]
    hours = _frequent(Counter(moment.time() for moment in times))
    if len(hours) > min(MOST_TIMES, len(times) // 2) or (len(hours) == 1 and len(weekdays) == 7):
        return []
    return [Days(1, tuple(weekdays), tuple(hour.isoformat() for hour in hours) if len(hours) > 1 else ())]


def _frequent(counts: Counter[Any]) -> list[Any]:
    return sorted(value for value, count in counts.items() if count >= RARE * max(counts.values()))


def _commonest(values: list[Any]) -> Any:
    """The value that is there most often; of several the first."""
    return Counter(values).most_common(1)[0][0]


def _median(values: list[Any]) -> Any:
    return values[(len(values) - 1) // 2]


def _close(rule: Fixed, gaps: list[Decimal]) -> int:
    """How many gaps between numbers are the rule's step but for rounding."""
    step = Decimal(rule.step)
    return sum(abs(gap - step) <= abs(step) / 10**6 for gap in gaps)


def _mean_rule(times: list[Any], usual: Decimal) -> Fixed | None:
    """The mean step of numbers, where it leads from the first to all others but for rounding.

    Args:
        times: numbers, increasing.
        usual: the commonest step, which says how many of them a longer gap is.
    """
    numbers = [_number(time) for time in times]
    decimals = max(map(_decimals, numbers))
    counts = [int((_gap(*pair) / usual).to_integral_value(ROUND_HALF_DOWN)) for pair in pairwise(numbers)]
    places = list(accumulate((max(1, count) for count in counts), initial=0))
    step = round((numbers[-1] - numbers[0]) / places[-1], decimals + MEAN_DIGITS)

    def furthest(step: Decimal) -> Decimal:
        return max(abs(numbers[0] + place * step - number) for place, number in zip(places, numbers, strict=True))

    is_better = furthest(step) <= _unit(decimals) and furthest(step) < furthest(usual)
    return Fixed(f"{step.normalize():f}", False) if is_better else None


def _decimals(number: Decimal) -> int:
    """After the point."""
    return max(0, -int(number.as_tuple().exponent))


def _unit(decimals: int) -> Decimal:
    """The last of so many decimals."""
    return Decimal(1).scaleb(-decimals)


def _gap(before: Any, after: Any) -> Any:
    return instant(after) - instant(before) if isinstance(after, datetime) else _number(after) - _number(before)


def _number(moment: Any) -> Decimal:
    return moment if isinstance(moment, Decimal) else Decimal(str(moment))


def seconds_of(span: timedelta) -> str:
    """A span's seconds as a decimal number."""
    return f"{Decimal(span // timedelta(microseconds=1)) / 10**6:f}"


def _months(before: datetime, after: datetime) -> int:
    return 12 * (after.year - before.year) + after.month - before.month


def _on_wall(wall: datetime, like: datetime) -> datetime:
    """What clocks show, in the zone of another date; what they skip in spring is an hour later."""
    if like.tzinfo is None:
        return wall
    return wall.replace(tzinfo=like.tzinfo).astimezone(UTC).astimezone(like.tzinfo)


def _day_of(year: int, month: int, place: str) -> int:
    """The day of a month that a place is."""
    first, days = monthrange(year, month)  # the first one's weekday
    if place.isdigit():
        return min(int(place), days)
    which, _, name = place.partition(" ")
    last = (first + days - 1) % 7
    if which == "end":
        return days
    if name == "weekday":
        return (1, 1, 1, 1, 1, 3, 2)[first] if which == "first" else days - max(0, last - 4)
    weekday = NAMES.index(name)
    return days - (last - weekday) % 7 if which == "last" else 7 * int(which) - 6 + (weekday - first) % 7
