"""The labels of rows that come one at a time: each is of the form of the one before it, and later."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ...errors import UserError
from .dates import BEYOND, NoDate, OtherYears, are_alike, first_numbers, is_zoned, read_date
from .stamps import NUMBER, Clock, why_not_later
from .values import MISSING_WORDS, shortened


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
