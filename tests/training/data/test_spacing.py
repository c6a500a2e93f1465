import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.training.data.find_spacing import follows, is_regular, rows_skipped, spacing_of
from bptt.training.data.spacing import Days, Fixed, Months, read_spacing, seconds_of, to_toml
from bptt.training.data.time_column import read_timestamps


def days(first, last, *weekdays, without=()):
    """The dates from the first to the last, on weekdays (all of them where none is named), as text."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    every = [begin + timedelta(days=i) for i in range((end - begin).days + 1)]
    found = [day.isoformat() for day in every if not weekdays or day.weekday() in weekdays]
    return [day for day in found if day not in without]


def month_ends(first, count):
    """The last days of so many months."""
    year, month = first
    firsts = [date(year + (month + i) // 12, (month + i) % 12 + 1, 1) for i in range(count)]
    return [(day - timedelta(days=1)).isoformat() for day in firsts]


def steps(first, count, shape="{:%Y-%m-%dT%H:%M}", **step):
    """So many dates, a step apart."""
    begin = datetime.fromisoformat(first)
    return [shape.format(begin + i * timedelta(**step)) for i in range(count)]


def zoned(first, count, zone, **step):
    """Instants a step apart from one in UTC, as a Parquet file has them of a zone."""
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return pl.Series([begin + i * timedelta(**step) for i in range(count)]).dt.convert_time_zone(zone)


def local(first, count, zone, **step):
    """What clocks of a zone show a step apart."""
    begin = datetime.fromisoformat(first)
    return pl.Series([begin + i * timedelta(**step) for i in range(count)]).dt.replace_time_zone(zone)


HOLIDAYS = ("2024-03-29", "2024-04-01", "2024-05-01")
FRIDAYS = [f"2024-{month:02}-{day}" for month, day in enumerate((19, 16, 15, 19, 17, 21, 19, 16, 20, 18), start=1)]
SALARIES = ["2023-12-29", "2024-01-31", "2024-02-29", "2024-03-29", "2024-04-30", "2024-05-31", "2024-06-28"]
FIRST_WORKDAYS = [
    "2024-01-01",
    "2024-02-01",
    "2024-03-01",
    "2024-04-01",
    "2024-05-01",
    "2024-06-03",
    "2024-07-01",
    "2024-08-01",
    "2024-09-02",
]
TWICE_A_MONTH = [f"2023-{month:02}-{day}" for month in range(1, 7) for day in ("01", "15")]
MARKET = [f"2024-01-{day:02} {hour:02}:30" for day in (2, 3, 4, 5, 8, 9, 10, 11, 12) for hour in range(9, 16)]
SHIFTS = [f"2024-01-{day:02} {hour}" for day in range(1, 6) for hour in ("06:00", "14:00", "17:00")]
OFFSETS = ["2024-10-26T00:00+02:00", "2024-10-27T00:00+02:00", "2024-10-28T00:00+01:00", "2024-10-29T00:00+01:00"]
YEAR_OFFSETS = [
    f"2024-10-27T{hour:02}:00+0{offset}:00" for hour, offset in ((0, 2), (1, 2), (2, 2), (2, 1), (3, 1))
]
NAMED = [f"{text}[Europe/Berlin]" for text in OFFSETS[:2]]

NEXT = {  # a column, and those that a person would write below it
    "days over a leap day": (days("2024-02-20", "2024-02-27"), ["2024-02-28", "2024-02-29", "2024-03-01"]),
    "days, no leap year": (days("2023-02-20", "2023-02-27"), ["2023-02-28", "2023-03-01", "2023-03-02"]),
    "1900 is no leap year": (days("1900-02-20", "1900-02-27"), ["1900-02-28", "1900-03-01", "1900-03-02"]),
    "days over a year's end": (days("2020-12-20", "2020-12-30"), ["2020-12-31", "2021-01-01", "2021-01-02"]),
    "two days": (["2020-01-30", "2020-01-31"], ["2020-02-01", "2020-02-02", "2020-02-03"]),
    "days with rows missing": (
        days("2024-01-01", "2024-02-10", without=("2024-01-06", "2024-01-20", "2024-01-21", "2024-02-09")),
        ["2024-02-11", "2024-02-12", "2024-02-13"],
    ),
    "the last gap is another": (
        [*days("2024-01-01", "2024-01-10"), "2024-01-15"],
        ["2024-01-16", "2024-01-17", "2024-01-18"],
    ),
    "every second day": (
        steps("2024-02-01", 9, "{:%Y-%m-%d}", days=2),
        ["2024-02-19", "2024-02-21", "2024-02-23"],
    ),
    "weeks": (steps("2024-12-02", 4, "{:%Y-%m-%d}", weeks=1), ["2024-12-30", "2025-01-06", "2025-01-13"]),
    "two weeks": (["2020-01-27", "2020-02-03"], ["2020-02-10", "2020-02-17", "2020-02-24"]),
    "working days": (days("2024-01-01", "2024-01-11", 0, 1, 2, 3, 4), ["2024-01-12", "2024-01-15", "2024-01-16"]),
    "working days end on a Friday": (
        days("2024-01-01", "2024-01-12", 0, 1, 2, 3, 4),
        ["2024-01-15", "2024-01-16", "2024-01-17"],
    ),
    "working days without holidays": (
        days("2024-03-01", "2024-05-09", 0, 1, 2, 3, 4, without=HOLIDAYS),
        ["2024-05-10", "2024-05-13", "2024-05-14"],
    ),
    "working days end before a holiday": (
        days("2024-01-02", "2024-03-28", 0, 1, 2, 3, 4),
        ["2024-03-29", "2024-04-01", "2024-04-02"],
    ),
    "Sunday to Thursday": (
        days("2024-01-01", "2024-01-25", 6, 0, 1, 2, 3),
        ["2024-01-28", "2024-01-29", "2024-01-30"],
    ),
    "shut on Sundays": (
        days("2024-01-01", "2024-01-26", 0, 1, 2, 3, 4, 5),
        ["2024-01-27", "2024-01-29", "2024-01-30"],
    ),
    "Mondays, Wednesdays, Fridays": (
        days("2024-01-01", "2024-01-26", 0, 2, 4),
        ["2024-01-29", "2024-01-31", "2024-02-02"],
    ),
    "month ends": (month_ends((2020, 9), 4), ["2021-01-31", "2021-02-28", "2021-03-31"]),
    "month ends, leap year": (month_ends((2023, 10), 3), ["2024-01-31", "2024-02-29", "2024-03-31"]),
    "two month ends": (["2020-11-30", "2020-12-31"], ["2021-01-31", "2021-02-28", "2021-03-31"]),
    "month ends after February": (["2021-01-31", "2021-02-28"], ["2021-03-31", "2021-04-30", "2021-05-31"]),
    "month ends, one missing": (
        [*month_ends((2019, 1), 8), *month_ends((2019, 10), 6)],
        ["2020-04-30", "2020-05-31", "2020-06-30"],
    ),
    "month starts": (["2020-10-01", "2020-11-01", "2020-12-01"], ["2021-01-01", "2021-02-01", "2021-03-01"]),
    "the 15th": (["2020-10-15", "2020-11-15", "2020-12-15"], ["2021-01-15", "2021-02-15", "2021-03-15"]),
    "the 30th": (["2020-10-30", "2020-11-30", "2020-12-30"], ["2021-01-30", "2021-02-28", "2021-03-30"]),
    "the 30th, seen after February": (
        ["2023-01-30", "2023-02-28", "2023-03-30"],
        ["2023-04-30", "2023-05-30", "2023-06-30"],
    ),
    "the 29th": (["2022-12-29", "2023-01-29", "2023-02-28"], ["2023-03-29", "2023-04-29", "2023-05-29"]),
    "two months": (["2024-08-31", "2024-10-31"], ["2024-12-31", "2025-02-28", "2025-04-30"]),
    "quarter ends": (["2020-03-31", "2020-06-30", "2020-09-30"], ["2020-12-31", "2021-03-31", "2021-06-30"]),
    "quarter starts": (["2020-04-01", "2020-07-01"], ["2020-10-01", "2021-01-01", "2021-04-01"]),
    "years' ends": (["2018-12-31", "2019-12-31", "2020-12-31"], ["2021-12-31", "2022-12-31", "2023-12-31"]),
    "years' starts": (["2019-01-01", "2020-01-01"], ["2021-01-01", "2022-01-01", "2023-01-01"]),
    "the ends of February": (["2021-02-28", "2022-02-28"], ["2023-02-28", "2024-02-29", "2025-02-28"]),
    "leap days": (["2012-02-29", "2016-02-29", "2020-02-29"], ["2024-02-29", "2028-02-29", "2032-02-29"]),
    "third Fridays": (FRIDAYS, ["2024-11-15", "2024-12-20", "2025-01-17"]),
    "last working days of months": (SALARIES, ["2024-07-31", "2024-08-30", "2024-09-30"]),
    "first working days of months": (FIRST_WORKDAYS, ["2024-10-01", "2024-11-01", "2024-12-02"]),
    "the 1st and the 15th": (TWICE_A_MONTH, ["2023-07-01", "2023-07-15", "2023-08-01"]),
    "the 1st, 11th and 21st": (
        [f"2023-{month:02}-{day}" for month in range(1, 5) for day in ("01", "11", "21")],
        ["2023-05-01", "2023-05-11", "2023-05-21", "2023-06-01"],
    ),
    "the 10th, the 20th and the end": (
        [
            f"2023-{month:02}-{day}"
            for month, end in enumerate((31, 28, 31, 30, 31), start=1)
            for day in (10, 20, end)
        ],
        ["2023-06-10", "2023-06-20", "2023-06-30", "2023-07-10"],
    ),
    "the 1st, 8th, 15th and 22nd": (
        [f"2023-{month:02}-{day:02}" for month in range(1, 5) for day in (1, 8, 15, 22)],
        ["2023-05-01", "2023-05-08", "2023-05-15", "2023-05-22", "2023-06-01"],
    ),
    "hours": (steps("2024-02-28T20:00", 5, hours=1), ["2024-02-29T01:00", "2024-02-29T02:00", "2024-02-29T03:00"]),
    "hours with rows missing": (
        [time for i, time in enumerate(steps("2024-01-01T00:00", 200, hours=1)) if i % 7 < 5],
        ["2024-01-09T08:00", "2024-01-09T09:00", "2024-01-09T10:00"],
    ),
    "hours, most missing at random": (
        [*sorted(random.Random(0).sample(steps("2024-01-01T00:00", 200, hours=1), 90)), "2024-01-09T08:00"],
        ["2024-01-09T09:00", "2024-01-09T10:00", "2024-01-09T11:00"],
    ),
    "minutes": (
        ["2024-12-31 23:57", "2024-12-31 23:58"],
        ["2024-12-31 23:59", "2025-01-01 00:00", "2025-01-01 00:01"],
    ),
    "quarter hours": (
        ["2024-01-01 23:15:00", "2024-01-01 23:30:00"],
        ["2024-01-01 23:45:00", "2024-01-02 00:00:00", "2024-01-02 00:15:00"],
    ),
    "tenths of a second": (
        ["2024-01-01T00:00:59.8Z", "2024-01-01T00:00:59.9Z"],
        ["2024-01-01T00:01:00.0Z", "2024-01-01T00:01:00.1Z", "2024-01-01T00:01:00.2Z"],
    ),
    "milliseconds": (
        ["2024-01-01T00:00:00.998", "2024-01-01T00:00:00.999"],
        ["2024-01-01T00:00:01.000", "2024-01-01T00:00:01.001", "2024-01-01T00:00:01.002"],
    ),
    "a market's hours": (MARKET[:40], ["2024-01-09 14:30", "2024-01-09 15:30", "2024-01-10 09:30"]),
    "a market's hours on a Friday": (MARKET, ["2024-01-15 09:30", "2024-01-15 10:30", "2024-01-15 11:30"]),
    "three times a day": (SHIFTS, ["2024-01-06 06:00", "2024-01-06 14:00", "2024-01-06 17:00"]),
    "hours, Berlin in spring": (
        zoned("2024-03-30T21:00", 4, "Europe/Berlin", hours=1),
        ["2024-03-31T03:00:00+02:00", "2024-03-31T04:00:00+02:00", "2024-03-31T05:00:00+02:00"],
    ),
    "hours, Berlin in autumn": (
        zoned("2024-10-26T20:00", 4, "Europe/Berlin", hours=1),
        ["2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00"],
    ),
    "half hours, New York in spring": (
        zoned("2024-03-10T05:00", 4, "America/New_York", minutes=30),
        ["2024-03-10T03:00:00-04:00", "2024-03-10T03:30:00-04:00", "2024-03-10T04:00:00-04:00"],
    ),
    "half hours, New York in autumn": (
        zoned("2024-11-03T04:00", 4, "America/New_York", minutes=30),
        ["2024-11-03T01:00:00-05:00", "2024-11-03T01:30:00-05:00", "2024-11-03T02:00:00-05:00"],
    ),
    "days, Berlin in spring": (
        local("2024-03-28T00:00", 3, "Europe/Berlin", days=1),
        ["2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00", "2024-04-02T00:00:00+02:00"],
    ),
    "days, Berlin in autumn": (
        local("2024-10-24T09:00", 3, "Europe/Berlin", days=1),
        ["2024-10-27T09:00:00+01:00", "2024-10-28T09:00:00+01:00", "2024-10-29T09:00:00+01:00"],
    ),
    "an hour that clocks skip": (
        local("2024-03-28T02:30", 3, "Europe/Berlin", days=1),
        ["2024-03-31T03:30:00+02:00", "2024-04-01T02:30:00+02:00", "2024-04-02T02:30:00+02:00"],
    ),
    "weeks, New York in spring": (
        local("2024-02-18T12:00", 3, "America/New_York", weeks=1),
        ["2024-03-10T12:00:00-04:00", "2024-03-17T12:00:00-04:00", "2024-03-24T12:00:00-04:00"],
    ),
    "days, New York in autumn": (
        local("2024-10-31T00:00", 3, "America/New_York", days=1),
        ["2024-11-03T00:00:00-04:00", "2024-11-04T00:00:00-05:00", "2024-11-05T00:00:00-05:00"],
    ),
    "days with offsets": (OFFSETS, ["2024-10-30T00:00+01:00", "2024-10-31T00:00+01:00", "2024-11-01T00:00+01:00"]),
    "hours with offsets": (
        YEAR_OFFSETS,
        ["2024-10-27T04:00+01:00", "2024-10-27T05:00+01:00", "2024-10-27T06:00+01:00"],
    ),
    "days with a zone's name": (
        NAMED,
        [f"{OFFSETS[2]}[Europe/Berlin]", f"{OFFSETS[3]}[Europe/Berlin]", "2024-10-30T00:00+01:00[Europe/Berlin]"],
    ),
    "hours with a zone's name in autumn": (
        [f"2020-11-01T0{hour}:00:00-0{offset}:00[America/New_York]" for hour, offset in ((0, 4), (1, 4), (1, 5))],
        [f"2020-11-01T0{hour}:00:00-05:00[America/New_York]" for hour in (2, 3, 4)],
    ),
    "months": (["2020-10", "2020-11"], ["2020-12", "2021-01", "2021-02"]),
    "months of digits": (["202010", "202011"], ["202012", "202101", "202102"]),
    "months with a point": (["2020.10", "2020.11"], ["2020.12", "2021.01", "2021.02"]),
    "days of digits": (["20200227", "20200228"], ["20200229", "20200301", "20200302"]),
    "months by name": (["Oct 2020", "Nov 2020"], ["Dec 2020", "Jan 2021", "Feb 2021"]),
    "quarters": (["2020Q2", "2020Q3"], ["2020Q4", "2021Q1", "2021Q2"]),
    "quarters with a dash": (["2020-Q2", "2020-Q3"], ["2020-Q4", "2021-Q1", "2021-Q2"]),
    "weeks of 53 in a year": (["2020-W51", "2020-W52"], ["2020-W53", "2021-W01", "2021-W02"]),
    "weeks of 52 in a year": (["2021-W50", "2021-W51"], ["2021-W52", "2022-W01", "2022-W02"]),
    "years": (["1699", "1700"], ["1701", "1702", "1703"]),
    "halves of years": (["1700.5", "1701.5"], ["1702.5", "1703.5", "1704.5"]),
    "halves": (["0", "0.5", "1"], ["1.5", "2", "2.5"]),
    "hundredths": (["0.10", "0.20", "0.30"], ["0.40", "0.50", "0.60"]),
    "rounded thirds": (["0.333", "0.667", "1.000", "1.333"], ["1.666", "2.000", "2.333"]),
    "twelfths of years, to hundredths": (
        [f"{1980 + i / 12:.2f}" for i in range(40)],
        [f"{1980 + i / 12:.2f}" for i in range(40, 56)],
    ),
    "twelfths of years, to thousandths": (
        [f"{1980 + i / 12:.3f}" for i in range(40)],
        [f"{1980 + i / 12:.3f}" for i in range(40, 56)],
    ),
    "rounded to whole numbers": (["2", "4", "6", "9", "11"], ["13", "16", "18"]),
    "twelfths of years, some missing": (
        [f"{1980 + i / 12:.2f}" for i in range(40) if i % 9 != 4],
        ["1983.33", "1983.42", "1983.50"],
    ),
    "epoch seconds": (["1700000000", "1700000060"], ["1700000120", "1700000180", "1700000240"]),
    "numbers with one missing": (["1", "2", "3", "5", "6"], ["7", "8", "9"]),
    "large numbers": (
        ["9223372036854775807", "9223372036854775808"],
        ["9223372036854775809", "9223372036854775810", "9223372036854775811"],
    ),
    "negative numbers": (["-2", "-1"], ["0", "1", "2"]),
    "the day first": (["30/01/2020", "31/01/2020"], ["01/02/2020", "02/02/2020", "03/02/2020"]),
    "the month first": (["1/30/2020", "1/31/2020"], ["2/1/2020", "2/2/2020", "2/3/2020"]),
    "points": (["30.12.2020", "31.12.2020"], ["01.01.2021", "02.01.2021", "03.01.2021"]),
    "half a day": (
        ["1/31/2020 1:00 AM", "1/31/2020 1:00 PM"],
        ["2/1/2020 1:00 AM", "2/1/2020 1:00 PM", "2/2/2020 1:00 AM"],
    ),
}


@pytest.mark.parametrize("name", NEXT)
def test_times_go_on_as_a_person_would_write_them(name):
    column, wanted = NEXT[name]
    stamps = read_timestamps(pl.Series("t", column), "t.csv")
    stamps.check_increasing("t.csv", "t")
    spacing = spacing_of(stamps.moments)
    assert spacing is not None
    assert spacing.usual
    found = [stamps.write(spacing.after(stamps.moments[-1], i)) for i in range(1, len(wanted) + 1)]
    assert found == wanted, spacing
    assert read_spacing(to_toml(spacing)) == spacing
    assert follows(spacing, stamps.moments)


def test_what_no_rule_explains_goes_on_by_the_median():
    irregular = [datetime(2024, 1, 1) + timedelta(days=day) for day in (0, 1, 5, 7, 14, 16, 27, 30)]
    assert spacing_of(irregular) == Fixed("259200", True, usual=False)
    assert spacing_of([Decimal(n) for n in (1, 2, 4, 8, 16, 32)]) == Fixed("4", False, usual=False)
    assert not follows(Fixed("259200", True, usual=False), irregular)
    assert str(spacing_of(irregular)) == "every 3 days"


def test_a_usual_step_that_is_far_from_the_mean_is_no_rule():
    def at(*seconds):
        return [datetime(2024, 1, 1) + timedelta(seconds=second) for second in accumulate(seconds, initial=0)]

    assert spacing_of(at(*(61, 61, 58) * 10)) == Fixed("61", True, usual=False)
    assert spacing_of(at(*(60, 60, 61, 60, 59) * 10)) == Fixed("60", True)
    assert spacing_of(at(*(60, 60, 180, 60) * 10)) == Fixed("60", True)  # rows are missing
    dekads = [datetime(2023, month, day) for month in (2, 3) for day in (1, 11, 21)]
    assert spacing_of(dekads) == Fixed("864000", True, usual=False)  # too few to name their days


def test_a_rule_is_seen_of_many_rows_as_well():
    hours = [datetime(2000, 1, 1) + timedelta(hours=i) for i in range(20_000) if i % 1000]
    assert spacing_of(hours) == Fixed("3600", True)


def test_few_rows_may_follow_a_rule_that_they_do_not_show():
    assert spacing_of([datetime(2024, 1, 1)]) is None
    assert follows(Months(1, ("end",)), [datetime(2024, 1, 31)])
    assert follows(Days(1), [datetime(2024, 1, 1), datetime(2024, 1, 3)])
    assert not follows(Days(1), [datetime(2024, 1, 1), datetime(2024, 1, 1, 12)])
    assert not follows(Days(1), [Decimal(1)])
    assert not follows(Fixed("1", False), [datetime(2024, 1, 1)])
    assert not follows(Days(1), [datetime(2024, 1, day) for day in (1, 3, 5, 7)])
    assert follows(Fixed("0.083333", False), [Decimal("1980.08"), Decimal("1980.25")])
    assert not follows(Fixed("0.083333", False), [Decimal("1980.08"), Decimal("1980.21")])


def test_a_rule_that_would_count_back_beyond_the_first_year_is_not_followed():
    times = [datetime(year, 6, day) for year, day in ((2, 1), (7, 2), (12, 2), (17, 2))]
    assert spacing_of(times) == Months(60, ("2",))
    assert not is_regular(times)


def test_regular_times_have_no_gap():
    assert is_regular([datetime(2024, 1, day) for day in (1, 2, 3)])
    assert not is_regular([datetime(2024, 1, day) for day in (1, 2, 4)])
    assert not is_regular([datetime(2024, 1, 1)])


RULES = [
    Fixed("5400", True),
    Days(3),
    Days(1, (0, 1, 2, 3, 4)),
    Days(1, (1, 6), ("06:00:00", "18:30:00")),
    Months(1, ("end",)),
    Months(3, ("30",)),
    Months(12, ("29",)),
    Months(1, ("1", "15")),
    Months(1, ("3 fri",)),
    Months(1, ("last mon",)),
    Months(1, ("first weekday",)),
    Months(2, ("last weekday",)),
]


@given(st.sampled_from(RULES), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(1, 60))
def test_so_many_steps_are_one_after_another(rule, moment, count):
    start = rule.after(moment, 0)
    assert start <= moment or start == moment
    times = [rule.after(start, i) for i in range(count + 1)]
    assert all(before < after for before, after in pairwise(times))
    if not isinstance(rule, Months) or rule.places[0] not in ("30", "29"):  # these lose their day in February
        assert rule.after(rule.after(start, 1), count) == rule.after(start, count + 1)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"kind": "moons"},
        {"kind": "days", "every": "x"},
        {"kind": "days", "weekdays": []},
        {"kind": "days", "weekdays": [4, 3, 2, 1, 0]},
        {"kind": "days", "weekdays": [0, 0, 1]},
        {"kind": "days", "weekdays": [9]},
        {"kind": "days", "weekdays": [-1, 0]},
        {"kind": "days", "weekdays": ["0"]},
        {"kind": "days", "times": ["noon"], "weekdays": [0]},
        {"kind": "months", "places": ["7 xyz"]},
        {"kind": "months", "nights": 2},
        {"kind": "fixed", "step": "x", "dated": True},
        {"kind": "fixed", "step": "0", "dated": False},
        {"kind": "days", "every": 0},
        {"kind": "months", "every": -1},
        {"kind": "fixed", "step": "x", "dated": False},
    ],
)
def test_a_rule_that_is_none(found):
    with pytest.raises(ValueError, match="is no spacing of rows"):
        read_spacing(found)


def test_a_span_in_seconds_is_written_without_an_exponent():
    spans = [timedelta(microseconds=1), timedelta(days=1), timedelta(seconds=-1.5), timedelta(days=10**8)]
    assert [seconds_of(span) for span in spans] == ["0.000001", "86400", "-1.5", "8640000000000"]


@pytest.mark.parametrize(
    ("times", "skipped"),
    [
        (steps("2024-01-01", 9, hours=1)[:5] + steps("2024-01-01", 20, hours=1)[8:], [(4, 3)]),
        (days("2024-01-01", "2024-02-01", without=["2024-01-09", "2024-01-20"]), [(7, 1), (17, 1)]),
        (zoned("2024-03-25", 240, "Europe/Berlin", hours=1), []),  # over a change of the clocks
        ([1700, 1701, 1702, 1705, 1706], [(2, 2)]),
        (["0", "0.33", "0.67", "1", "1.33"], []),  # rounded
        (days("2024-01-01", "2024-03-01", *range(5), without=["2024-01-09"]), []),  # a holiday
        (month_ends((2024, 1), 12)[::2], []),
    ],
)
def test_rows_that_a_fixed_step_skips(times, skipped):
    moments = read_timestamps(pl.Series(times), "d.csv").moments
    assert rows_skipped(spacing_of(moments), moments) == skipped
