from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bptt.training.data.dates import (
    PATTERNS,
    DateForm,
    NoDate,
    first_numbers,
    instant,
    is_date_of_digits,
    is_zoned,
    read_date,
    template_of,
    unpadded,
    written,
)

TWO = timezone(timedelta(hours=2))
READ = {
    "2020-01-31": datetime(2020, 1, 31),
    "2020-1-5": datetime(2020, 1, 5),
    "2020/01/31": datetime(2020, 1, 31),
    "2020.01.31": datetime(2020, 1, 31),
    "2020-01-31T12": datetime(2020, 1, 31, 12),
    "2020-01-31T12:05": datetime(2020, 1, 31, 12, 5),
    "2020-01-31 12:05:06.250": datetime(2020, 1, 31, 12, 5, 6, 250_000),
    "2020-01-31 12:05:06,5": datetime(2020, 1, 31, 12, 5, 6, 500_000),
    "2020-01-31T12:05:06.123456789": datetime(2020, 1, 31, 12, 5, 6, 123_456),
    "2020-01-31T12:05Z": datetime(2020, 1, 31, 12, 5, tzinfo=UTC),
    "2020-01-31 12:05:00 UTC": datetime(2020, 1, 31, 12, 5, tzinfo=UTC),
    "2020-01-31T12:05+02:00": datetime(2020, 1, 31, 12, 5, tzinfo=TWO),
    "2020-01-31 12:05+0200": datetime(2020, 1, 31, 12, 5, tzinfo=TWO),
    "2020-01-31T12:05+02": datetime(2020, 1, 31, 12, 5, tzinfo=TWO),
    "2020-01-31T12:05-02:30": datetime(2020, 1, 31, 14, 35, tzinfo=UTC),
    "2020-07-31T12:05+02:00[Europe/Berlin]": datetime(2020, 7, 31, 12, 5, tzinfo=ZoneInfo("Europe/Berlin")),
    "31.01.2020": datetime(2020, 1, 31),
    "31.1.2020 7:05": datetime(2020, 1, 31, 7, 5),
    "31/01/2020": datetime(2020, 1, 31),
    "31-01-2020 12:05": datetime(2020, 1, 31, 12, 5),
    "31/01/2020, 12:05:00 AM": datetime(2020, 1, 31, 0, 5),
    "31/01/2020 12:05 pm": datetime(2020, 1, 31, 12, 5),
    "20200131": datetime(2020, 1, 31),
    "20200131T120506": datetime(2020, 1, 31, 12, 5, 6),
    "31 Jan 2020": datetime(2020, 1, 31),
    "5-SEP-2020": datetime(2020, 9, 5),
    "January 31, 2020": datetime(2020, 1, 31),
    "2020-01": datetime(2020, 1, 1),
    "2020/1": datetime(2020, 1, 1),
    "01/2020": datetime(2020, 1, 1),
    "202001": datetime(2020, 1, 1),
    "january 2020": datetime(2020, 1, 1),
    "2020 Jan": datetime(2020, 1, 1),
    "2020-W53": datetime(2020, 12, 28),
    "2021W01": datetime(2021, 1, 4),
    "2020-W53-5": datetime(2021, 1, 1),
    "2020Q1": datetime(2020, 1, 1),
    "2020-q4": datetime(2020, 10, 1),
    "Q3 2020": datetime(2020, 7, 1),
}


@pytest.mark.parametrize("text", READ)
def test_the_usual_ways_to_write_a_date_are_read_and_written_again(text):
    moment, pattern = read_date(text, day_first=True)
    assert instant(moment) == instant(READ[text])
    template = template_of(text, pattern, True)
    form = DateForm((template,), True)
    assert form.write(moment) == text.replace("123456789", "123456000")  # to the microsecond
    assert read_date(text, True, pattern) == (moment, pattern)


def test_hour_24_is_the_next_midnight():
    assert read_date("2020-12-31T24:00")[0] == datetime(2021, 1, 1)
    assert read_date("2020-12-31 24:00:00Z")[0] == datetime(2021, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soon", "^'soon'$"),
        ("", "^''$"),
        ("2020-02-30", "day is out of range for month"),
        ("2021-W53", "nvalid week: 53"),
        ("2020-13", "month must be in 1..12"),
        ("2020Q5", "'2020Q5'"),
        ("31 Foo 2020", "no month is called 'Foo'"),
        ("2020-01-01T25:00", "hour must be in 0..23"),
        ("2020-01-01 13:00 PM", "hour 13 with PM"),
        ("2020-01-01T12:00:60", "second must be in 0..59"),
        ("2020-01-01T12:00+25:00", "must be a timedelta strictly between"),
        ("2020-01-01T12:00[Middle/Earth]", "No time zone found"),
        ("2020-01-01T12:00[/etc/passwd]", "no date"),
        ("2020-01-01T12:00[Europe]", "no date"),
        ("2020-01-01T12:00[../passwd]", "../passwd"),
        ("0001-01-01T00:00+02:00", "beyond the years 2 to 9998"),
        ("0001-12-31", "beyond the years 2 to 9998"),
        ("1 Jan 9999", "beyond the years 2 to 9998"),
        ("9998-12-31T24:00", "beyond the years 2 to 9998"),
        ("9999-12-31T24:00", "beyond the years 2 to 9998"),
        ("0000-01-01", "year 0 is out of range"),
        ("12020-01-01", "'12020-01-01'"),
        ("1.2.20", "write the year with four digits"),
        ("01/31/20 12:00", "write the year with four digits"),
        ("12:30", "write the day before the time of day"),
        ("02/03/2020", "the day or the month may come first"),
        ("٢٠٢٠-٠١-٠١", "'٢"),  # digits of another script
        ("2020-01-01T12:00 CET", "CET"),
    ],
)
def test_what_is_no_date(text, words):
    with pytest.raises(NoDate, match=words):
        read_date(text)


def test_the_order_of_day_and_month_is_asked_for():
    assert read_date("02/03/2020", day_first=True)[0] == datetime(2020, 3, 2)
    assert read_date("02/03/2020", day_first=False)[0] == datetime(2020, 2, 3)
    assert (first_numbers("02/03/2020"), first_numbers("2020-02-03")) == ((2, 3), None)


def test_digits_alone_may_be_a_date():
    dates = [text for text in ("20200131", "20200231", "202012", "202013", "2020.01", "2020.1", "17000101", "2020")
             if is_date_of_digits(text)]  # fmt: skip
    assert dates == ["20200131", "202012", "2020.01"]


def test_a_form_writes_what_loses_nothing_of_the_date():
    form = DateForm(("{Y:04d}-{m:02d}-{d:02d}", "{Y:04d}-{m:02d}-{d:02d} {H:02d}:{M:02d}"))
    assert form.write(datetime(2020, 1, 31)) == "2020-01-31"
    assert form.write(datetime(2020, 1, 31, 12)) == "2020-01-31 12:00"
    assert form.write(datetime(2020, 1, 31, 12, 0, 1)) == "2020-01-31T12:00:01"
    assert (
        DateForm(("{Y:04d}-{m:02d}-{d:02d}T{H:02d}Z",))
        .write(datetime(2020, 1, 1, 12, tzinfo=TWO))
        .endswith("+02:00")
    )


def test_a_date_that_is_too_late_to_read_is_written_in_its_form():
    assert DateForm(("{Y:04d}-{m:02d}",)).write(datetime(9999, 1, 1)) == "9999-01"


def test_parts_without_zeros_in_front_show_in_short_ones_only():
    assert unpadded(["{m:02d}/{d:02d}/{Y:04d}", "{m:d}/{d:02d}/{Y:04d}"]) == ["{m:d}/{d:d}/{Y:04d}"] * 2
    assert unpadded(["{m:02d}/{d:02d}"]) == ["{m:02d}/{d:02d}"]
    assert written(datetime(2020, 5, 1, 0, 5), "{I:d}:{M:02d} {p_lower} {B} {b_upper}") == "12:05 am May MAY"


@pytest.mark.parametrize(
    ("hour", "first", "second", "zone"),
    [
        ("2020-11-01T01:00:00", "-04:00", "-05:00", "America/New_York"),
        ("2020-10-25T02:30", "+02:00", "+01:00", "Europe/Berlin"),
        ("2020-10-31T24:00", "-04:00", "-05:00", "America/Havana"),
    ],
)
def test_an_hour_that_a_named_zone_shows_twice_is_told_apart_by_its_offset(hour, first, second, zone):
    texts = [f"{hour}{offset}[{zone}]" for offset in (first, second)]
    moments = [read_date(text)[0] for text in texts]
    assert instant(moments[1]) - instant(moments[0]) == timedelta(hours=1)
    if "T24" not in hour:
        form = DateForm((template_of(texts[0], "year-month-day", None),))
        assert [form.write(moment) for moment in moments] == texts


def test_zoned_dates_are_compared_as_instants():
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    assert first == second  # by what clocks show
    assert instant(second) - instant(first) == timedelta(hours=1)
    assert (is_zoned(first), is_zoned(datetime(2024, 1, 1)), is_zoned(1)) == (True, False, False)


@given(st.datetimes(datetime(1800, 1, 1), datetime(2199, 1, 1)), st.sampled_from([None, UTC, TWO]))
def test_iso_is_read_as_python_writes_it(moment, zone):
    moment = moment.replace(tzinfo=zone)
    assert read_date(moment.isoformat())[0] == moment
    assert read_date(moment.isoformat(sep=" ", timespec="microseconds"))[0] == moment


@given(st.text(max_size=30))
def test_a_text_of_no_pattern_is_no_date(text):
    assume(not any(pattern.fullmatch(text) for pattern in PATTERNS.values()))
    with pytest.raises(NoDate):
        read_date(text, True)


def read_or_none(text, pattern):
    """A date by a pattern; None where its day, time or zone is none."""
    with suppress(NoDate):
        return read_date(text, True, pattern)[0]


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=20)
@given(data=st.data())
def test_no_text_of_a_pattern_breaks_it(name, data):
    text = data.draw(st.from_regex(PATTERNS[name], fullmatch=True))
    template = template_of(text, name, True)
    noon = datetime(2020, 1, 31, 12, 5, 6, 123_456, ZoneInfo("Europe/Berlin"))
    assert PATTERNS[name].fullmatch(written(noon, template))
    if (moment := read_or_none(text, name)) is not None:
        assert instant(read_date(DateForm((template,), True).write(moment), True)[0]) == instant(moment)
