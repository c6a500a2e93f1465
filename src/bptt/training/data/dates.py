"""Dates as text: the usual ways to write them, each read as a datetime and written back in the same way."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from ...printable import shortened

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
YEARS = range(1800, 2200)  # in which digits alone, such as 20200131, are a date
FIRST_YEAR, LAST_YEAR = 2, 9998  # a zone or a step may lead into the next year, which must be a date too
BEYOND = f"beyond the years {FIRST_YEAR} to {LAST_YEAR}, which are all that can be read"

# Letters as in strftime: Y year, m month, d day, b the month's name, G V u ISO year, week and weekday, q quarter;
# one and two are day and month, in an order that the whole column shows; s is a separator.
_TIME = (
    r"(?:(?:[Tt]|,? +)(?P<H>\d\d|\d(?=:| ?[AaPp]))(?::?(?P<M>\d\d)(?::?(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?)?"
    r"(?: ?(?P<p>[AaPp][Mm]))?(?: ?(?P<z>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?))?(?:\[(?P<N>[\w/+-]+)\])?)?"
)
_DAYS = {
    "year-month-day": r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})",
    "day and month before the year": r"(?P<one>\d{1,2})(?P<s>[-/.])(?P<two>\d{1,2})(?P=s)(?P<Y>\d{4})",
    "yearmonthday": r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
    "day month's name year": r"(?P<d>\d{1,2})(?P<s>[-/. ]|\. )(?P<b>[A-Za-z]{3,9})(?P=s)(?P<Y>\d{4})",
    "month's name day, year": r"(?P<b>[A-Za-z]{3,9}) (?P<d>\d{1,2}),? (?P<Y>\d{4})",
    "year-week-weekday": r"(?P<G>\d{4})-?W(?P<V>\d\d)-?(?P<u>[1-7])",
}
_LONGER = {
    "year-month": r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})",
    "month/year": r"(?P<m>\d{1,2})[-/](?P<Y>\d{4})",
    "yearmonth": r"(?P<Y>\d{4})(?P<m>\d\d)",
    "month's name year": r"(?P<b>[A-Za-z]{3,9})[- ](?P<Y>\d{4})",
    "year month's name": r"(?P<Y>\d{4})[- ](?P<b>[A-Za-z]{3,9})",
    "year-week": r"(?P<G>\d{4})-?W(?P<V>\d\d)",
    "year quarter": r"(?P<Y>\d{4})[- ]?[Qq](?P<q>[1-4])",
    "quarter year": r"[Qq](?P<q>[1-4])[- /]?(?P<Y>\d{4})",
}
PATTERNS = {name: re.compile(day + _TIME, re.ASCII) for name, day in _DAYS.items()} | {
    name: re.compile(longer, re.ASCII) for name, longer in _LONGER.items()
}
ISO = "year-month-day"
ORDERLESS = "day and month before the year"
DIGITS = re.compile(r"\d{8}|\d{6}|\d{4}\.\d\d", re.ASCII)  # dates that could be numbers too


class NoDate(ValueError):
    """A text is no date; the message says why, if that is known."""


class OtherYears(NoDate):
    """A date outside the years that can be read."""


class OtherOrder(NoDate):
    """A date with the month where those before it have the day, or the other way round."""


def read_date(text: str, day_first: bool | None = None, pattern: str | None = None) -> tuple[datetime, str]:
    """A date and the name of its pattern; a month, week or quarter is its first day.

    Args:
        text: without blanks around it.
        day_first: whether 02/03/2020 is in March; None refuses it.
        pattern: is tried first.

    Raises:
        NoDate: the text is no date.
    """
    moment, name = _any_year(text, day_first, pattern)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise OtherYears(f"{shortened(text)!r} is {BEYOND}")
    return moment, name


def _any_year(text: str, day_first: bool | None, pattern: str | None = None) -> tuple[datetime, str]:
    """`read_date` without the check of the year."""
    if pattern == ISO and (moment := _iso(text)) is not None:
        return moment, ISO
    name, match = _matched(text, pattern)
    try:
        return _moment(name, match, day_first), name
    except OtherOrder:
        raise
    except OverflowError as error:
        raise OtherYears(f"{shortened(text)!r} is {BEYOND}") from error
    except (ValueError, KeyError, OSError) as error:  # the last two of names that are no zone
        raise NoDate(f"{shortened(text)!r} (no date: {error})") from error


def first_numbers(text: str) -> tuple[int, int] | None:
    """The two numbers before the year in a text like 02/03/2020, where either may be the month."""
    name, match = _matched(text, ORDERLESS)
    return (int(match["one"]), int(match["two"])) if name == ORDERLESS else None


def are_alike(one: str, other: str) -> bool:
    """Whether two texts have one pattern, or one of them has none."""
    names = {next((name for name in PATTERNS if PATTERNS[name].fullmatch(text)), None) for text in (one, other)}
    return len(names) == 1 or None in names


def is_date_of_digits(text: str) -> bool:
    """Whether digits alone, such as 20200131, 202001 or 2020.01, are a date of the recent centuries."""
    if DIGITS.fullmatch(text) is None or int(text[:4]) not in YEARS:
        return False
    try:
        read_date(text)
    except NoDate:
        return False
    return True


def _matched(text: str, first: str | None) -> tuple[str, re.Match[str]]:
    for name in PATTERNS if first is None else (first, *PATTERNS):
        if match := PATTERNS[name].fullmatch(text):
            return name, match
    hint = ""
    if re.fullmatch(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}\b.*", text, re.ASCII):
        hint = "; write the year with four digits"
    elif re.fullmatch(r"\d{1,2}:\d\d.*", text, re.ASCII):
        hint = "; write the day before the time of day"
    raise NoDate(f"{shortened(text)!r}{hint}")


def _iso(text: str) -> datetime | None:
    """A fast `_moment` for most dates of the ISO pattern."""
    if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in ("", "T", " ") or "[" in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


def _moment(name: str, match: re.Match[str], day_first: bool | None) -> datetime:
    found = match.groupdict()
    day = _day(name, found, day_first)
    if found.get("H") is None:
        return datetime(day.year, day.month, day.day)
    hour, minute, second = (int(found[letter] or 0) for letter in "HMS")
    if found["p"]:
        if not 1 <= hour <= 12:
            raise NoDate(f"hour {hour} with {found['p']}")
        hour = hour % 12 + (12 if found["p"] in ("PM", "pm", "Pm", "pM") else 0)
    next_day = timedelta(days=1) if (hour, minute, second) == (24, 0, 0) else timedelta(0)
    micro = int(f"{found['f'] or 0:0<6}"[:6])
    zone = _zone(found["z"]) if found["z"] else None
    moment = datetime(day.year, day.month, day.day, hour % 24 if next_day else hour, minute, second, micro, zone)
    moment += next_day  # before the zone, as a sum does not say which of an hour that clocks show twice it is in
    if found["N"]:
        moment = moment.astimezone(ZoneInfo(found["N"])) if zone else moment.replace(tzinfo=ZoneInfo(found["N"]))
    if moment.tzinfo is not None:
        moment.astimezone(UTC)  # which must be a date as well
    return moment


def _day(name: str, found: dict[str, str], day_first: bool | None) -> date:
    if "G" in found:
        return date.fromisocalendar(int(found["G"]), int(found["V"]), int(found.get("u", 1)))
    if name == ORDERLESS:
        if day_first is None:
            raise NoDate("the day or the month may come first")
        month, day = (found["two"], found["one"]) if day_first else (found["one"], found["two"])
        if int(day) <= 12 < int(month):
            here, before = ("month", "day") if day_first else ("day", "month")
            text = found["s"].join((found["one"], found["two"], found["Y"]))
            raise OtherOrder(f"{text!r} has the {here} first, and the dates before it the {before}")
        return date(int(found["Y"]), int(month), int(day))
    month = 3 * int(found["q"]) - 2 if "q" in found else int(found["m"]) if "m" in found else _month(found["b"])
    return date(int(found["Y"]), month, int(found.get("d", 1)))


def _month(name: str) -> int:
    word = name.lower()
    for number, month in enumerate(MONTHS, start=1):
        if word in (month, month[:3]) or (word == "sept" and number == 9):
            return number
    raise NoDate(f"no month is called {name!r}")


def _zone(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    return timezone(-offset if text[0] == "-" else offset) if offset else UTC


def template_of(text: str, pattern: str, day_first: bool | None) -> str:
    """The text of a date with its parts replaced by fields such as {Y:04d}, for `written`."""
    _, match = _matched(text, pattern)
    parts, begin, twelve = [], 0, bool(match.groupdict().get("p"))
    spans = sorted((match.span(name), name) for name, found in match.groupdict().items() if found is not None)
    for (start, stop), name in spans:
        if name != "s":
            parts += [text[begin:start], _field(name, text[start:stop], twelve, day_first)]
            begin = stop
    return "".join([*parts, text[begin:]])


def _field(name: str, found: str, twelve: bool, day_first: bool | None) -> str:
    """One part of a date as a field of its template."""
    if name in ("one", "two"):
        name = "d" if (name == "one") == day_first else "m"
    if name == "H" and twelve:
        name = "I"
    if name == "b":
        full = "b" if len(found) == 3 or found.lower() == "sept" else "B"
        return f"{{{full}{'_upper' if found.isupper() else '_lower' if found.islower() else ''}}}"
    if name == "f":
        return f"{{f:.{len(found)}}}"
    if name == "z":
        return "{z" + str(len(found.replace(":", "-"))) + "}" if found[0] in "+-" else found
    if name == "p":
        return "{p}" if found.isupper() else "{p_lower}"
    if name == "N":
        return "{N}"
    return f"{{{name}:0{len(found)}d}}" if len(found) > 1 else f"{{{name}:d}}"


def written(moment: datetime, template: str) -> str:
    """A date written by a template."""
    year, week, weekday = moment.isocalendar()
    month = MONTHS[moment.month - 1].capitalize()
    offset = moment.strftime("%z")[:5]
    half = "AM" if moment.hour < 12 else "PM"
    return template.format(
        Y=moment.year, m=moment.month, d=moment.day, G=year, V=week, u=weekday, q=(moment.month + 2) // 3,
        H=moment.hour, I=(moment.hour + 11) % 12 + 1, M=moment.minute, S=moment.second,
        f=f"{moment.microsecond:06d}".ljust(30, "0"), p=half, p_lower=half.lower(),
        B=month, B_upper=month.upper(), B_lower=month.lower(),
        b=month[:3], b_upper=month[:3].upper(), b_lower=month[:3].lower(),
        z3=offset[:3], z5=offset, z6=f"{offset[:3]}:{offset[3:]}", N=str(moment.tzinfo),
    )  # fmt: skip


@dataclass(frozen=True)
class DateForm:
    """How the dates of a column are written."""

    templates: tuple[str, ...] = ()  # for `written`, the most frequent first
    day_first: bool | None = None  # whether 02/03/2020 is in March; None where no such date was read

    def joined(self, other: DateForm) -> DateForm:
        """The form of both their dates."""
        return replace(self, templates=tuple(dict.fromkeys(self.templates + other.templates)))

    def write(self, moment: datetime) -> str:
        """A date by the first template that loses nothing of it, else in ISO format."""
        for template in self.templates:
            text = written(moment, template)
            try:
                if instant(_any_year(text, self.day_first)[0]) == instant(moment):
                    return text
            except NoDate:
                continue
        return moment.isoformat()


def unpadded(templates: list[str]) -> list[str]:
    """Templates without leading zeros in a part, where one of them shows that the column writes none."""
    for letters in ("md", "HI"):
        if any(f"{{{letter}:d}}" in template for letter in letters for template in templates):
            templates = [re.sub(rf"\{{([{letters}]):02d\}}", r"{\1:d}", template) for template in templates]
    return templates


def is_zoned(moment: Any) -> bool:
    """Whether a date has a zone or an offset from UTC."""
    return isinstance(moment, datetime) and moment.tzinfo is not None


def instant(moment: Any) -> Any:
    """A time as it is compared: a zoned date in UTC, anything else unchanged."""
    return moment.astimezone(UTC) if is_zoned(moment) else moment
