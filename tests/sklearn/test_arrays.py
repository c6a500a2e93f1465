import datetime

import numpy as np
import polars as pl
import pytest
import scipy.sparse
import torch

from bptt.sklearn.arrays import check_numbers, parts_of

PLAIN = np.arange(12.0).reshape(4, 3)


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    "same",
    [
        PLAIN[::-1].copy()[::-1],
        np.flip(np.flip(PLAIN).copy()),
        np.asfortranarray(PLAIN),
        np.repeat(PLAIN, 2, 0)[::2],
        read_only(PLAIN),
        PLAIN.astype(">f8"),
        PLAIN.astype(">i4"),
        PLAIN.astype(np.float16),
        PLAIN.astype(np.longdouble),
        PLAIN.astype(np.uint8),
        PLAIN.astype(object),
        PLAIN.tolist(),
        pl.DataFrame(PLAIN),
        torch.tensor(PLAIN, requires_grad=True),
        torch.tensor(PLAIN).bfloat16(),
    ],
    ids=lambda same: type(same).__name__ + str(getattr(same, "dtype", "")),
)
def test_numbers_of_any_layout_and_type(same):
    found = check_numbers(same, "X")
    np.testing.assert_array_equal(found, PLAIN)
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    torch.from_numpy(found.copy())


def test_float32_stays_and_booleans_are_numbers():
    assert check_numbers(PLAIN.astype(np.float32), "X").dtype == np.float32
    np.testing.assert_array_equal(check_numbers(PLAIN > 3, "X"), PLAIN > 3)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (None, ValueError, "X is None"),
        ("abc", TypeError, "got str"),
        ({"a": [1]}, TypeError, "got dict"),
        ((x for x in [1]), TypeError, "got generator"),
        ({1, 2}, TypeError, "got set"),
        (5, TypeError, "got int"),
        (np.array(5.0), TypeError, "a single number"),
        ([["1", "2"]], ValueError, "X holds text"),
        (pl.DataFrame({"a": ["x"], "b": [1]}), ValueError, "X holds text"),
        (np.array([["x", "y"]], object), ValueError, "X: could not convert string"),
        (np.zeros((2, 3), "M8[D]"), ValueError, "X holds dates"),
        (pl.DataFrame({"a": [datetime.date(2020, 1, 1)], "b": [1]}), ValueError, "X holds dates"),
        (PLAIN + 1j, ValueError, "X is complex"),
        (np.ma.masked_array(PLAIN, PLAIN > 8), ValueError, "X has 3 masked values"),
        (scipy.sparse.csr_matrix(PLAIN), TypeError, "Sparse data"),
        ([[1, 2], [3]], ValueError, "X is ragged"),
    ],
)
def test_what_is_no_number_is_said(values, error, message):
    with pytest.raises(error, match=message):
        check_numbers(values, "X", ensure_2d=False)


@pytest.mark.parametrize(
    ("value", "axes", "message"),
    [
        (np.nan, ("", "step"), r"X\[2\] has NaN at step 2 \(1 such"),
        (-np.inf, ("step", "feature"), r"X has infinity \(inf\) at step 3, feature 2"),
        (np.nan, (), r"X\[2\]\[1\] has NaN \(1 such"),
    ],
)
def test_what_is_not_finite_is_named_by_its_place(value, axes, message):
    values = PLAIN.copy()
    values[2, 1] = value
    with pytest.raises(ValueError, match=message):
        check_numbers(values, "X", axes)


def test_lists_of_arrays_are_told_from_nested_numbers():
    several = np.empty(2, object)
    several[:] = [np.zeros(3), np.zeros(2)]
    for parts in ([np.zeros(3), np.zeros(2)], (np.zeros(3), np.zeros(3)), [[1, 2], [3]], several):
        assert len(parts_of(parts, "X")) == 2
    for one in ([[1, 2], [3, 4]], [1, 2], PLAIN, [], ["a", "b"], PLAIN.astype(object)):
        assert parts_of(one, "X") is None
    with pytest.raises(ValueError, match=r"X\[1\] is a list whose rows have different lengths"):
        parts_of([[[1, 2]], [[1, 2], [3]]], "X")
