"""Finding the rule by which a table's rows are spaced in time."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter, deque
from datetime import datetime, time, timedelta
from decimal import ROUND_HALF_DOWN, Decimal
from itertools import accumulate, pairwise
from statistics import median_low, mode
from typing import Any

from .dates import instant
from .spacing import DAY, WEEK, WEEKDAYS, Days, Fixed, Months, Spacing, as_decimal, seconds_of

WORKDAYS = WEEK[:5]
MOST_PAIRS = 5000  # neighbouring rows that a rule is tried on
MOST_DAYS = 4  # days of a month in one rule
MOST_TIMES = 1440  # times of day in one rule
MOST_HOURS = 2**17  # different times of day that are counted
RARE = 0.25  # a weekday or time of day with less than this part of the commonest one's rows is an exception
FAR = 0.01  # the part of its step by which the mean step of a rule may be off
MEAN_DIGITS = 6  # of a mean step, after the decimals of the numbers


class SpacingFinder:
    """Finds the rule that most of increasing times follow, which come piece by piece.

    Args:
        rows: how many times there are.
    """

    def __init__(self, rows: int) -> None:
        pairs = range(rows - 1)
        chosen = random.Random(0).sample(pairs, MOST_PAIRS) if len(pairs) > MOST_PAIRS else pairs
        self._places = {row: place for place, row in enumerate(chosen)}
        self.pairs: list[Any] = [None] * len(chosen)
        self.rows = 0
        self.last: deque[Any] = deque(maxlen=MOST_PAIRS)
        self.weekdays: Counter[int] = Counter()
        self.hours: Counter[time] = Counter()

    def add(self, times: list[Any]) -> None:
        """Further times, after those before."""
        if not self.rows:
            self.first = times[0]
        before = [*list(self.last)[-1:], *times]
        for row, pair in enumerate(pairwise(before), start=max(0, self.rows - 1)):
            if (place := self._places.get(row)) is not None:
                self.pairs[place] = pair
        self.rows += len(times)
        self.last.extend(times)
        if isinstance(self.first, datetime):
            self.weekdays.update(moment.weekday() for moment in times)
            if len(self.hours) <= MOST_HOURS:
                self.hours.update(moment.time() for moment in times)

    def found(self) -> Spacing | None:
        """The rule, else the median step; None of a single time."""
        if not self.pairs:
            return None
        gaps = [_gap(before, after) for before, after in self.pairs]
        if not isinstance(self.first, datetime):
            return _spacing_of_numbers(list(self.last), sorted(gaps))
        found = _rule_of_dates(self, Fixed(seconds_of(mode(sorted(gaps))), True))
        return found or Fixed(seconds_of(median_low(gaps)), True, usual=False)


def spacing_of(times: list[Any]) -> Spacing | None:
    """The rule that most of these increasing times follow, else their median step; None of a single one."""
    finder = SpacingFinder(len(times))
    finder.add(times)
    return finder.found()


def is_regular(times: list[Any]) -> bool:
    """Whether one rule leads from each time to the next."""
    rule, pairs = spacing_of(times), list(pairwise(times))
    return rule is not None and _followed(rule, pairs) == len(pairs)


def follows(spacing: Spacing, times: list[Any]) -> bool:
    """Whether most of these times are spaced by a known rule, or are too few to contradict it."""
    pairs = list(pairwise(times[-MOST_PAIRS:]))
    if isinstance(times[0], datetime) != (not isinstance(spacing, Fixed) or spacing.dated):
        return False
    if len(pairs) < 3:
        return all(_reaches(spacing, *pair) for pair in pairs)
    return spacing.usual and _is_usual(spacing, pairs)


def rows_skipped(spacing: Spacing | None, times: list[Any]) -> list[tuple[int, int]]:
    """Rows that increasing times at a fixed step leave out: after which row, from 0, and how many.

    Only steps of so many units, seconds or days are looked at: a market's holidays are no missing rows.
    """
    if isinstance(spacing, Fixed) and spacing.usual:
        step, moments = spacing._step, map(instant, times) if spacing.dated else map(as_decimal, times)
    elif isinstance(spacing, Days) and spacing.weekdays == WEEK and not spacing.times:
        step, moments = spacing.every * DAY, (moment.replace(tzinfo=None) for moment in times)
    else:
        return []
    gaps = ((row, after - before) for row, (before, after) in enumerate(pairwise(moments)))
    return [(row, round(gap / step) - 1) for row, gap in gaps if 2 * gap > 3 * step]


def _spacing_of_numbers(times: list[Any], gaps: list[Decimal]) -> Fixed:
    usual, rounded = mode(gaps), mode(Decimal(f"{gap:.6g}") for gap in gaps)

    def close(step: Decimal) -> int:
        """How many gaps are this step but for rounding."""
        return sum(abs(gap - step) <= abs(step) / 10**6 for gap in gaps)

    best = max(usual, rounded, key=close)
    if close(best) < len(gaps) and (mean := _mean_step(times, usual)) is not None:
        return mean
    return Fixed(str(best), False) if 2 * close(best) >= len(gaps) else Fixed(str(median_low(gaps)), False, False)


def _mean_step(times: list[Any], usual: Decimal) -> Fixed | None:
    """The mean step of increasing numbers, where it leads from the first to all others but for rounding.

    The commonest step, `usual`, says how many steps a longer gap is.
    """
    numbers = [as_decimal(moment) for moment in times]
    decimals = max(map(_decimals, numbers))
    counts = [int((_gap(*pair) / usual).to_integral_value(ROUND_HALF_DOWN)) for pair in pairwise(numbers)]
    places = list(accumulate((max(1, count) for count in counts), initial=0))
    step = round((numbers[-1] - numbers[0]) / places[-1], decimals + MEAN_DIGITS)

    def furthest(step: Decimal) -> Decimal:
        return max(abs(numbers[0] + place * step - number) for place, number in zip(places, numbers, strict=True))

    is_better = furthest(step) <= _last_digit(decimals) and furthest(step) < furthest(usual)
    return Fixed(f"{step.normalize():f}", False) if is_better else None


def _rule_of_dates(seen: SpacingFinder, fixed: Fixed) -> Spacing | None:
    """The rule that most dates follow; None where there is none."""
    pairs = seen.pairs

    def best_of(rules: list[Spacing]) -> tuple[Spacing, int]:
        return max(((rule, _followed(rule, pairs)) for rule in rules), key=lambda pair: pair[1])

    days = mode(sorted(after.toordinal() - before.toordinal() for before, after in pairs))
    best, followed = best_of([*_days_of_months(pairs), *([Days(days)] if days > 0 else []), fixed])
    particular = _weekdays_and_times(seen) + _places_in_months(pairs) if followed < len(pairs) else []
    if particular:
        rule, count = best_of(particular)
        is_common = rule == Days(1, WORKDAYS) or (isinstance(rule, Months) and count == len(pairs))
        if count >= followed + (1 if is_common else 2):  # a rule that says more must explain more
            best, followed = rule, count
    is_usual = _is_usual(best, pairs) and (followed == len(pairs) or not _drifts(best, pairs))
    return best if is_usual else None


def _days_of_months(pairs: list[tuple[datetime, datetime]]) -> list[Spacing]:
    """The same day of every so many months, the last day first."""
    every, days = _usual_months(pairs), [after.day for _, after in pairs]
    places = dict.fromkeys(("end", str(mode(sorted(days))), str(max(days))))
    return [Months(every, (place,)) for place in places] if every > 0 else []


def _weekdays_and_times(seen: SpacingFinder) -> list[Spacing]:
    """The weekdays and times of day that most rows are on, such as working days or opening hours."""
    span = range(seen.first.toordinal(), seen.last[-1].toordinal() + 1)
    skipped = {(day - 1) % 7 for day in span[:7]} - set(_frequent(seen.weekdays))
    weekdays = [weekday for weekday in WEEK if weekday not in skipped]
    hours = _frequent(seen.hours)
    if len(hours) > min(MOST_TIMES, seen.rows // 2) or (len(hours) == 1 and len(weekdays) == 7):
        return []
    return [Days(1, tuple(weekdays), tuple(hour.isoformat() for hour in hours) if len(hours) > 1 else ())]


def _places_in_months(pairs: list[tuple[datetime, datetime]]) -> list[Spacing]:
    """The first or last weekday of months, their third Friday and so on; or several days of each month."""
    every, dates = _usual_months(pairs), [after for _, after in pairs]
    found: list[Spacing] = []
    if every > 0:
        weekday, count = mode((date.weekday(), (date.day + 6) // 7) for date in dates)
        places = ("first weekday", "last weekday", f"{count} {WEEKDAYS[weekday]}", f"last {WEEKDAYS[weekday]}")
        found += [Months(every, (place,)) for place in places]
    common = Counter(date.day for date in dates).most_common(MOST_DAYS)
    days, repeated = [day for day, _ in common], [day for day, count in common if count > 1]
    if len(days) > 1:
        found += [Months(1, tuple(map(str, sorted(days[:2])))), Months(1, (str(min(days[:2])), "end"))]
    for count in range(3, MOST_DAYS + 1):  # days that are there only once would fit any rows
        if len(repeated) >= count:
            found.append(Months(1, tuple(map(str, sorted(repeated[:count])))))
        if len(repeated) >= count - 1:
            found.append(Months(1, (*map(str, sorted(repeated[: count - 1])), "end")))
    return found


def _usual_months(pairs: list[tuple[datetime, datetime]]) -> int:
    """The months from one row to the next, most often."""
    return mode(sorted(12 * (after.year - before.year) + after.month - before.month for before, after in pairs))


def _frequent(counts: Counter[Any]) -> list[Any]:
    return sorted(value for value, count in counts.items() if count >= RARE * max(counts.values()))


def _is_usual(rule: Spacing, pairs: list[tuple[Any, Any]]) -> bool:
    """Whether half of the rows follow a rule, or a third do and nearly all others skip rows of it."""
    followed = _followed(rule, pairs)
    if 2 * followed >= len(pairs) or 3 * followed < len(pairs):
        return 2 * followed >= len(pairs)
    return 20 * sum(_reaches(rule, *pair) for pair in pairs) >= 19 * len(pairs)


def _drifts(rule: Spacing, pairs: list[tuple[datetime, datetime]]) -> bool:
    """Whether rows, none of them missing, are on average far from the one step of a rule."""
    if isinstance(rule, Months) or (isinstance(rule, Days) and (rule.weekdays != WEEK or rule.times)):
        return False
    if isinstance(rule, Days):  # by local time
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
    """Whether so many steps lead from a time of the rule to another."""
    found = _after(rule, before, steps)
    return found is not None and _after(rule, before, 0) == before and _meets(rule, found, before, after)


def _after(rule: Spacing, moment: Any, steps: int) -> Any:
    """The time so many steps later; None beyond the last year."""
    try:
        return rule.after(moment, steps)
    except (OverflowError, ValueError):
        return None


def _meets(rule: Spacing, found: Any, before: Any, after: Any) -> bool:
    """Whether the time that a rule leads to is another; numbers may be rounded to fewer decimals than the step."""
    if not isinstance(rule, Fixed):
        return found.replace(tzinfo=None) == after.replace(tzinfo=None) or instant(found) == instant(after)
    if rule.dated or found == after:
        return instant(found) == instant(after)
    decimals = max(_decimals(as_decimal(before)), _decimals(as_decimal(after)))
    return _decimals(Decimal(rule.step)) > decimals and abs(found - as_decimal(after)) <= _last_digit(decimals)


def _gap(before: Any, after: Any) -> Any:
    if isinstance(after, datetime):
        return instant(after) - instant(before)
    return as_decimal(after) - as_decimal(before)


def _decimals(number: Decimal) -> int:
    return max(0, -int(number.as_tuple().exponent))


def _last_digit(decimals: int) -> Decimal:
    """One unit of the last decimal."""
    return Decimal(1).scaleb(-decimals)
