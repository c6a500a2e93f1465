import math

import numpy as np
import pytest

from bptt.training.tasks.intervals import Intervals, half_width


@pytest.mark.parametrize("coverage", [0.5, 0.7, 0.9, 0.95])
@pytest.mark.parametrize("n", [40, 99])
def test_exchangeable_errors_are_held_as_often_as_asked_for(n, coverage):
    """The conformal guarantee: between coverage and coverage + 1/(n + 1)."""
    sizes = np.random.default_rng(0).exponential(size=(20_000, n + 1))
    place = math.ceil((n + 1) * coverage - 1e-9)
    widths = np.sort(sizes[:, :n], axis=1)[:, place - 1]
    assert widths[0] == half_width(sizes[0, :n], coverage)
    held = np.mean(sizes[:, n] <= widths)
    assert coverage - 0.01 < held < coverage + 1 / (n + 1) + 0.01


def test_missing_errors_are_left_out_and_signs_do_not_matter():
    errors = np.array([-3.0, np.nan, 1.0, 2.0, np.nan])
    found = Intervals.of([errors, -2 * errors], 0.75, "validation")
    assert (found.widths, found.errors) == ([3.0, 6.0], 3)
    assert found.note == "The 75% intervals come from 3 validation errors."


def test_too_few_errors_give_no_interval_and_say_how_many_are_needed():
    found = Intervals.of([np.ones(8)], 0.9, "training")
    assert found.widths == [math.inf]
    assert "at least 9 are needed" in found.note
    enough = Intervals.of([np.ones(9)], 0.9, "training")
    assert enough.widths == [1.0]
    assert "too narrow; --validation 0.2" in enough.note
