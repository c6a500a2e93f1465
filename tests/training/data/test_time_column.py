from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.dates import NoDate
from bptt.training.data.tables import rows_by
from bptt.training.data.time_column import read_label, read_timestamps
from bptt.training.data.timestamps import OFFSETS, Clock, Label, NumberForm, Timestamps


def read(cells, clock=None):
    stamps = read_timestamps(pl.Series("t", cells), "t.csv", clock)
    stamps.check_increasing("t.csv", "t")
    return stamps


def test_rows_keep_the_text_they_came_with():
    for cells in (["1", "1.50", "2e0"], [" 2020-01-01", "2020-01-02 12:00 "], ["1/31/2020", "2/1/2020"]):
        assert read(cells).texts == [cell.strip() for cell in cells]


def test_numbers_are_compared_and_counted_exactly():
    assert read(["0.1", "0.2", "0.30000000000000004"]).moments[1] == Decimal("0.2")
    assert read(["9223372036854775807", "9223372036854775808"]).moments[1] - 2**63 == 0
    assert read([0, 1, 2]).moments == [0, 1, 2]
    assert read([0.5, 1.0]).texts == ["0.5", "1.0"]
    assert read(pl.Series([0.1, 0.2], dtype=pl.Float32)).texts == ["0.1", "0.2"]
    assert read(["20190001", "20190002"]).moments[0] == 20190001


def test_a_number_is_written_as_the_others_are():
    assert NumberForm(2, trimmed=False).write(Decimal(1)) == "1.00"
    assert NumberForm(2, trimmed=True).write(Decimal("1.50")) == "1.5"
    assert NumberForm(0, trimmed=True).write(Decimal(100)) == "100"
    assert len(NumberForm().write(Decimal("1e999"))) < 10
    assert read(["0.1", "0.2", "0.30000000000000004"]).write(Decimal("0.4")) == "0.4"


def test_types_of_a_parquet_file():
    assert read([date(2020, 1, 31), date(2020, 2, 1)]).texts == ["2020-01-31", "2020-02-01"]
    hours = [datetime(2020, 1, 1) + timedelta(hours=i) for i in range(2)]
    for unit in ("ms", "us", "ns"):
        assert read(pl.Series(hours, dtype=pl.Datetime(unit))).texts == [
            "2020-01-01T00:00:00",
            "2020-01-01T01:00:00",
        ]
    zoned = read(pl.Series(hours).dt.replace_time_zone("Asia/Tokyo"))
    assert (zoned.texts[0], zoned.clock.zone) == ("2020-01-01T00:00:00+09:00", "Asia/Tokyo")
    assert read([timedelta(milliseconds=500), timedelta(seconds=1)]).texts == ["0.5", "1"]
    assert read(pl.Series(["2020-01", "2020-02"], dtype=pl.Categorical)).moments[1] == datetime(2020, 2, 1)
    finer = pl.Series([1_577_836_800_000_000_500, 1_577_836_800_000_001_750]).cast(pl.Datetime("ns"))
    assert read(finer).texts[1].endswith("00.000001750")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([time(1), time(2)], "holds times of day; a date and time is needed"),
        ([True, False], "is Boolean, but numbers or dates are needed"),
        ([[1], [2]], r"is List\(Int64\), but"),
        ([b"1", b"2"], "is Binary, but"),
        ([None, None], "no time in row 1"),
        ([1, None, 3], "no time in row 2; each row needs one"),
        (["2020-01-01", ""], "no time in row 2"),
        (["2020-01-01", "N/A"], "no time in row 2, 'N/A'"),
        ([1.0, float("nan")], "no time in row 2, 'NaN'; each row needs one"),
        ([1.0, float("inf")], "neither numbers nor dates throughout: 'inf' in row 2"),
        (["nan", "1"], "no time in row 1, 'nan'; each row needs one"),
        (["1" * 30, "x" * 500], "'x{30}…x{30}' in row 2"),
        (["1", "1_0"], "'1_0' in row 2, '1' in row 1"),
        (["1", "٢"], "neither numbers nor dates throughout: '٢' in row 2"),
        (["1", "2020-01-01"], "'2020-01-01' in row 2, '1' in row 1"),
        (["2020-01-01", "2"], "neither numbers nor dates throughout: row 2 has '2'"),
        (["2020-01-01", "2020-02-30"], "row 2 has '2020-02-30' \\(no date: day is out of range"),
        (["2020-01-01", "02.01.2020"], "'2020-01-01' in row 1 and '02.01.2020' in row 2; write all dates alike"),
        (
            ["2020-01-01T00:00", "2020-01-01T01:00Z"],
            "'2020-01-01T00:00' in row 1 has no offset from UTC, .* has one",
        ),
        (["2020-01-01T00:00Z", "2020-01-01T01:00"], "'2020-01-01T00:00Z' in row 1 has an offset .* has none"),
        (["13/01/2020", "01/13/2020"], "day first in row 1, 13/01/2020, and the month first in row 2, 01/13/2020"),
        (["01/02/2020", "02/02/2020"], "may have the day or the month first, and no row up to 2 shows which"),
        ([f"202001{day:02}" for day in range(1, 31)] + ["20200132"], "20200132 in row 31, no date as the others"),
        ([pl.date(2020, 1, 1)] * 2, "is Object"),
    ],
)
def test_what_labels_no_row(cells, words):
    with pytest.raises(UserError, match=words):
        read(cells)


def test_dates_beyond_those_of_the_calendar():
    days = pl.Series("t", [10, 3_000_000], dtype=pl.Int32).cast(pl.Date)
    with pytest.raises(UserError, match="beyond the years 2 to 9998"):
        read_timestamps(days, "t.pq")


@pytest.mark.parametrize(
    "cells",
    [
        [f"{year:04}-06-01" for year in range(1, 9)],
        [f"{year}-12-31" for year in range(9990, 10_000)],
        ["01/02/0001", "01/03/0001"],
        ["Q1 9999", "Q2 9999"],
    ],
)
def test_dates_as_text_beyond_those_of_the_calendar(cells):
    with pytest.raises(UserError, match="column 't' has dates beyond the years 2 to 9998"):
        read(cells)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["2", "1"], "row 2, column 't': 1 is out of order, after 2 in row 1; sort the rows by time"),
        (["1", "2", "2.0"], "row 3, column 't': 2.0 is the same as 2 "),
        (["2020-01-01", "2020-01-01"], "row 2, .* is there twice, in row 1 too; each row needs its own"),
        (["2024-10-27 02:30", "2024-10-27 02:00"], "out of order.*if a clock was set back there, write .* offset"),
        (["2024-01-01T00:00:00.0000001", "2024-01-01T00:00:00.0000002"], "the same as .* to the microsecond"),
        (["2024-10-27T02:30+01:00", "2024-10-27T02:30+02:00"], "row 2.*out of order"),
        (["2024-01-01T01:00+01:00", "2024-01-01T00:00Z"], "row 2.*the same as"),
    ],
)
def test_rows_out_of_order(cells, words):
    with pytest.raises(UserError, match=words):
        read(cells)


def test_the_hour_that_clocks_show_twice_is_two_instants():
    read(["2024-10-27T02:30+02:00", "2024-10-27T02:00+01:00"])
    hours = pl.Series("t", [datetime(2024, 10, 27, hour, tzinfo=UTC) for hour in (0, 1)])
    assert read(hours.dt.convert_time_zone("Europe/Berlin")).texts == [
        "2024-10-27T02:00:00+02:00",
        "2024-10-27T02:00:00+01:00",
    ]


def test_day_and_month_are_told_apart_by_the_column():
    assert read(["01/12/2020", "13/12/2020"]).moments[0] == datetime(2020, 12, 1)
    assert read(["12/01/2020", "12/13/2020"]).moments[0] == datetime(2020, 12, 1)
    assert read(["02/01/2020", "01/02/2020"]).moments[0] == datetime(2020, 1, 2)  # the only order that increases
    assert read(["01.02.2020", "01.03.2020"]).moments[0] == datetime(2020, 2, 1)
    months = [f"{month:02}/01/{year}" for year in (2020, 2021) for month in range(1, 13)]
    assert read(months).moments[1] == datetime(2020, 2, 1)  # the only order that is even
    assert read(["01/02/2020", "02/02/2020"], Clock(day_first=True)).moments[0] == datetime(2020, 2, 1)


@pytest.mark.parametrize("is_day_first", [True, False])
def test_day_and_month_are_told_apart_by_the_order_within_each_series(is_day_first):
    dates = [(month, year) for year in (2000, 2001) for month in range(1, 13)]
    months = [f"01/{month:02}/{year}" if is_day_first else f"{month:02}/01/{year}" for month, year in dates]
    for who in (["A"] * 24 + ["B"] * 24 + ["C"], ["A", "B"] * 24 + ["C"]):
        times = months * 2 if who[1] == "A" else [month for month in months for _ in "AB"]
        frame = pl.DataFrame({"who": who, "t": [*times, "01/01/2000"]})
        rows = rows_by(frame["who"])
        found = read_timestamps(frame["t"], "t.csv", parts=rows.values())
        assert [found.take(rows[who]).moments for who in "AB"] == [
            [datetime(year, month, 1) for month, year in dates]
        ] * 2
    alone = pl.DataFrame({"who": ["A", "B"], "t": ["01/02/2000", "01/03/2000"]})
    with pytest.raises(UserError, match="may have the day or the month first"):
        read_timestamps(alone["t"], "t.csv", parts=rows_by(alone["who"]).values())


def test_further_dates_are_read_by_the_clock_of_the_training_rows():
    clock = read(["30/01/2020", "31/01/2020"]).clock
    assert clock == Clock(day_first=True)
    assert clock.read("01/02/2020") == datetime(2020, 2, 1)
    with pytest.raises(NoDate, match="an offset from UTC, and the dates of the training rows have none"):
        clock.read("2020-01-01T00:00Z")
    with pytest.raises(NoDate, match="no offset from UTC, and the dates of the training rows have one"):
        Clock(zone="+01:00").read("2020-01-01")
    with pytest.raises(NoDate, match="'7' is no date, which this run reads"):
        clock.local(Decimal(7), "7")
    assert Clock(zone="Europe/Berlin").read("2020-06-30T23:00Z").isoformat() == "2020-07-01T01:00:00+02:00"
    assert Clock(zone="+01:00").read("2020-06-30T23:00Z").isoformat() == "2020-07-01T00:00:00+01:00"
    assert read(["2020-03-28T00:00+01:00", "2020-03-30T00:00+02:00"]).clock.zone == OFFSETS
    assert Clock(zone=OFFSETS).read("2020-06-30T23:00Z").hour == 23
    for zone in ("Middle/Earth", "+99:00", "+x"):
        with pytest.raises((KeyError, ValueError)):
            Clock(zone=zone)


def test_a_further_date_is_written_in_the_zone_of_the_rows():
    stamps = read(["2020-06-30T22:00Z", "2020-06-30T23:00Z"])
    assert stamps.write(Clock(zone="Europe/Berlin").read("2020-07-01T02:00+02:00")) == "2020-07-01T00:00Z"


def test_the_labels_of_some_rows():
    assert read(["1", "2", "3"]).take([0, 2]).texts == ["1", "3"]
    assert Timestamps.of([1, 1.5]).texts == ["1", "1.5"]
    assert Timestamps.of([datetime(2020, 1, 2), datetime(2020, 1, 2, 3)]).texts[0] == "2020-01-02T00:00:00"
    assert Timestamps.of([datetime(2020, 1, 2)]).texts == ["2020-01-02"]


def test_labels_one_after_another():
    first = read_label("20200131", None, Clock(), "line 2")
    assert first == Label("20200131", Decimal(20200131))
    assert read_label("20200201", first, Clock(), "line 3").moment == 20200201
    day = read_label("03/02/2020", None, Clock(day_first=True), "line 2")
    assert day.moment == datetime(2020, 2, 3)
    assert read_label("01/03/2020", day, Clock(day_first=True), "line 3").moment == datetime(2020, 3, 1)
    with pytest.raises(UserError, match="line 3: 02/02/2020 is out of order, after 03/02/2020 in the row before"):
        read_label("02/02/2020", day, Clock(day_first=True), "line 3")


def test_an_order_of_day_and_month_that_is_not_known_is_not_checked():
    first = read_label("03/02/2020", None, Clock(), "line 2")
    assert first.moment is None
    assert read_label("02/02/2020", first, Clock(), "line 3").moment is None
