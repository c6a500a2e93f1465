"""Labels of a time axis: at round times, none over another, by every way to write a date."""

from datetime import datetime, timedelta

import pytest

from bptt.page.modules import bundled

ANSWER = """([texts, first, stop, pixels]) => {
  const times = timesOf(texts);
  const X = (i) => 40 + (pixels * (i - first)) / (stop - first);
  const found = times && roundTicks(times, { first, stop, X, left: 0, right: 50 + pixels, letter: 6.4 });
  return found && found.map(({ text }) => text);
}"""


@pytest.fixture(scope="module")
def ticks(browser):
    page = browser.new_page()

    def answer(texts, first=0, stop=None, pixels=600):
        asked = [texts, first, len(texts) if stop is None else stop, pixels]
        return page.evaluate(f"(asked) => {{ {bundled('results/times.js')} return ({ANSWER})(asked); }}", asked)

    yield answer
    page.close()


def every(step, count, start=datetime(2024, 1, 30, 5), form="%Y-%m-%d %H:%M"):
    return [(start + i * step).strftime(form) for i in range(count)]


HOURS = every(timedelta(hours=1), 900)
DAYS = every(timedelta(days=1), 900, form="%Y-%m-%d")
YEARS = [str(year) for year in range(1703, 2009)]
AXES = {
    "rows": (HOURS[:3], ["2024-01-30 06:00", "07:00"]),
    "hours": (HOURS[:20], ["2024-01-30 06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "01-31"]),
    "days": (HOURS[:120], ["2024-01-31", "02-01", "02-02", "02-03", "02-04"]),
    "Mondays": (HOURS, ["2024-02-05", "02-12", "02-19", "02-26", "03-04"]),
    "months": (DAYS[:180], ["2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07"]),
    "half years": (DAYS, ["2024-07", "2025-01", "2025-07", "2026-01"]),
    "numbers": (YEARS, ["1750", "1800", "1850", "1900", "1950", "2000"]),
    "quarters": ([f"{2001 + n // 4}Q{n % 4 + 1}" for n in range(40)], [str(year) for year in range(2001, 2011)]),
    "names": (
        every(timedelta(days=1), 120, form="%d %b %Y"),
        ["01 Feb 2024", "01 Mar 2024", "01 Apr 2024", "01 May 2024"],
    ),
    "day first": (
        every(timedelta(days=1), 120, form="%d/%m/%Y"),
        ["01/02/2024", "01/03/2024", "01/04/2024", "01/05/2024"],
    ),
    "month first": (
        every(timedelta(days=1), 120, form="%m/%d/%Y"),
        ["02/01/2024", "03/01/2024", "04/01/2024", "05/01/2024"],
    ),
    "points": (
        every(timedelta(days=1), 120, form="%d.%m.%Y"),
        ["01.02.2024", "01.03.2024", "01.04.2024", "01.05.2024"],
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_the_labels_are_at_round_times(ticks, name):
    texts, wanted = AXES[name]
    assert ticks(texts) == wanted


def test_fewer_stand_in_less_space_and_smaller_units_in_a_part(ticks):
    assert ticks(DAYS, pixels=200) == ["2025", "2026"]
    assert ticks(DAYS, 100, 160, pixels=300) == ["2024-05-13", "05-27", "06-10", "06-24"]


def test_a_quarter_is_labelled_at_its_first_row(ticks):
    ends = [f"2024-{month:02d}-28" for month in range(1, 13)]
    assert ticks(ends, pixels=400) == ["2024-01", "2024-04", "2024-07", "2024-10"]


@pytest.mark.parametrize(
    "texts", [["<b>1900", "<b>1901"], ["week 3", "week 4"], ["31/31/2020", "32/31/2020"], ["5"], ["3"] * 4]
)
def test_other_texts_have_no_round_times(ticks, texts):
    assert ticks(texts) is None
