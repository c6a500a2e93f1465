import numpy as np
import pytest

from bptt.training.tasks.extrapolation import beyond

LEARNED = np.array([[0.0, 5.0], [10.0, 5.0], [4.0, np.nan]])


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (
            [[11.0, 5], [3, 5], [14, 5], [9, 5]],
            "'a' lies outside it in 2 of 4 later rows (50%), by up to 4 above its la",
        ),
        (
            [[-3.0, 5], [3, 5]],
            "'a' lies outside it in 1 of 2 later rows (50%), by up to 3 below its least training value",
        ),
        (
            [[1.0, 5], [3, 7]],
            "'b' lies outside it in 1 of 2 later rows (50%), by up to 2 above",
        ),  # constant before
        ([[12.0, np.nan], [np.nan, 5]], "'a' lies outside it in 1 of 2"),
    ],
)
def test_the_column_that_leaves_its_range_furthest_is_named(later, words):
    found = beyond(LEARNED, [np.array(later)], ["a", "b"])
    assert words in found
    assert beyond(LEARNED, [np.array(row)[None] for row in later], ["a", "b"]) == found
    assert "which is 40% of that range" in beyond(LEARNED, [np.array([[14.0, 5]])], ["a", "b"])


@pytest.mark.parametrize("later", [[[0.0, 5], [10, 5]], [[10.4, 5]], [[np.nan, np.nan]]])
def test_within_it_or_a_little_beyond_is_not_worth_a_word(later):
    assert beyond(LEARNED, [np.array(later)], ["a", "b"]) is None


def test_without_later_rows_nothing_is_said():
    assert beyond(LEARNED, [], ["a", "b"]) is None
    assert beyond(LEARNED, [np.empty((0, 2))], ["a", "b"]) is None
