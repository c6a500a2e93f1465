import math

import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.table_cells import MISSING_WORDS, as_numbers, is_number_like, number_of, text_in, why_wrong


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1", 1), (" 1 ", 1), ("+1", 1), ("-1", -1), ("1.", 1), (".5", 0.5), ("-.5", -0.5), ("007", 7)),
        *(("1e5", 1e5), ("1E5", 1e5), ("1e+5", 1e5), ("1.25e-3", 0.00125), ("1e100", 1e100), ("1e-400", 0)),
        *(("True", 1), ("false", 0), (" TRUE ", 1)),
    ],
)
def test_numbers(text, value):
    assert as_numbers(pl.Series([text]), str).tolist() == [value]


@pytest.mark.parametrize(
    "word", [*MISSING_WORDS, "NA", "NaN", "-NaN", "+nan", "-NAN", "NULL", "None", " ? ", "#N/A"]
)
def test_missing_words(word):
    assert np.isnan(as_numbers(pl.Series(["1", word, "2"]), str)).tolist() == [False, True, False]
    assert number_of(word) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        *(("1,000", "thousands separators: 1000"), ("-1,234,567.5", "thousands"), ("1 000", "thousands")),
        *(("1'000", "thousands"), ("1_000", "thousands"), ("1\u202f000,5", "thousands")),
        *(("1,5", "decimal point as '.'"), ("1.000,5", "decimal point"), ("-0,25e3", "decimal point")),
        *(("1_0", "plain decimal number"), ("0x10", "plain decimal number"), ("1d3", "plain decimal number")),
        *(("5%", "plain decimal number"), ("$5", "plain decimal number"), ("12 km", "plain decimal number")),
        *(("inf", "only finite"), ("-Infinity", "only finite"), ("1e400", "only finite"), ("9" * 400, "only")),
        *(("2020-01-31", "--time"), ("31.01.2020", "--time"), ("2020-01-31 12:00", "--time")),
        *(("1e160", "beyond 1e100"), ("-1e155", "beyond 1e100")),
        *(("\u0661\u0662", ""), ("abc", ""), ("nan(1)", "plain"), ("--1", "plain"), ("1\u00b2", "plain")),
    ],
)
def test_what_is_neither_is_refused_with_a_hint(text, hint):
    said = why_wrong(text)
    assert hint in said
    assert len(said) < 200
    with pytest.raises(UserError) as error:
        as_numbers(pl.Series(["1", "NA", text]), lambda row: f"cell {row}")
    assert str(error.value) == f"cell 2: {said}"


def test_typed_columns_are_read_as_they_are_written():
    for values, wanted in (
        ([1, None], [1, math.nan]),
        ([True, None], [1, math.nan]),
        ([math.nan, 2.5], [math.nan, 2.5]),
        ([None, None], [math.nan, math.nan]),
        (pl.Series(["1", "x"][:1], dtype=pl.Categorical), [1]),
        (pl.Series(["1.5"]).cast(pl.Decimal(10, 2)), [1.5]),
        (pl.Series([2**63], dtype=pl.UInt64), [2.0**63]),
    ):
        column = pl.Series(values)
        assert is_number_like(column)
        np.testing.assert_array_equal(as_numbers(column, str), wanted)
    for value in (math.inf, -math.inf, 1e101):
        with pytest.raises(UserError, match=r"^0: "):
            as_numbers(pl.Series([value]), str)
    assert not is_number_like(pl.Series([[1.0]]))


def test_columns_of_text_are_told_from_numbers_with_a_wrong_cell():
    assert text_in(pl.Series(["NA", "red", "blue"])) == "red"
    for cells in (["1", "red"], ["NA"], ["1,5", "2,5"], ["2020-01-01"], []):
        assert text_in(pl.Series(cells, dtype=pl.String)) is None
    assert text_in(pl.Series([1.5])) is None
