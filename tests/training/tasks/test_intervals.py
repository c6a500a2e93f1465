import math

import numpy as np
import pytest

from bptt.training.tasks.intervals import RECENT, AdaptiveWidth, Intervals, half_width, in_turn


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


def adapted(width, sizes):
    found = width.along(sizes)
    width.settle()
    return found


def after(sizes, coverage, later=(), ahead=1):
    width = AdaptiveWidth(sizes, coverage, ahead)
    return width, adapted(width, np.asarray(later, dtype=float))


def test_missing_errors_change_nothing():
    width, found = after([3.0, 1.0, 2.0], 0.75, [math.nan, math.nan])
    assert (width.width, width.missed, found.tolist()) == (3.0, 0.25, [3.0, 3.0])


def test_too_few_errors_give_no_interval_and_say_how_many_are_needed():
    found = Intervals.of([[AdaptiveWidth([1.0] * 8, 0.9)]], [8], 0.9, "training")
    assert found.widths == [math.inf]
    assert found.note == (
        "90% intervals need at least 9 errors, and there are 8 training errors, so there are none."
    )
    assert found.going_on(0, 1).width == math.inf
    enough = Intervals.of([[AdaptiveWidth([1.0] * 9, 0.9)]], [9], 0.9, "training")
    assert enough.widths == [1.0]
    assert "too narrow; --validation 0.2" in enough.note


def test_errors_that_all_series_share_are_counted_once():
    ends = [AdaptiveWidth([1.0] * 5, 0.9) for _ in range(3)]
    found = Intervals.of([ends], [5], 0.9, "validation")
    assert (found.widths, found.recent) == ([math.inf], [[1.0] * 5])
    width = found.going_on(0, 1)
    assert adapted(width, np.ones(6)).tolist() == [math.inf] * 4 + [1.0, 1.0]


def test_a_coverage_near_one_keeps_as_many_errors_as_it_needs():
    sizes = np.arange(1.0, 1200.0)
    width = AdaptiveWidth(sizes.tolist(), 0.999)
    assert width.width == 1199.0 == Intervals.of([[width]], [1199], 0.999, "validation").widths[0]
    assert AdaptiveWidth(sizes[:998].tolist(), 0.999).width == math.inf


def test_the_note_says_where_intervals_without_validation_errors_begin():
    width = AdaptiveWidth([], 0.9)
    adapted(width, np.ones(9))
    found = Intervals.of([[width]], [0], 0.9, "validation")
    assert found.note == (
        "90% intervals need at least 9 errors, and there are no validation errors, so they begin with the first "
        "errors of the test set."
    )


def test_intervals_begin_where_later_errors_make_them_enough():
    _, found = after([1.0] * 7, 0.9, [1.0] * 4)
    assert found.tolist() == [math.inf, math.inf, 1.0, 1.0]


def test_a_width_is_adapted_to_errors_a_horizon_before_and_to_no_later_ones():
    sizes, later = np.random.default_rng(0).exponential(size=(2, 60))
    _, found = after(sizes, 0.9, later, ahead=5)
    changed = later.copy()
    changed[30:] = 100
    _, other = after(sizes, 0.9, changed, ahead=5)
    assert found[:35].tolist() == other[:35].tolist()
    assert other[35] > found[35]


@pytest.mark.parametrize("grown", [1.0, 3.0, 0.3])
def test_errors_that_grow_or_shrink_are_held_nearly_as_often_as_asked(grown):
    rng = np.random.default_rng(0)
    later = np.abs(rng.normal(size=400)) * np.linspace(1, grown, 400)
    _, found = after(np.abs(rng.normal(size=60)), 0.9, later)
    assert 0.86 < np.mean(later <= found) < 0.96
    fixed = np.mean(later <= half_width(np.abs(rng.normal(size=60)), 0.9))
    assert grown == 1.0 or abs(np.mean(later <= found) - 0.9) < abs(fixed - 0.9)


def test_a_width_goes_on_where_it_ended():
    sizes = np.random.default_rng(0).exponential(size=700)
    whole, _ = after(sizes[:100], 0.9, sizes[100:])
    part, _ = after(sizes[:100], 0.9, sizes[100:400])
    ended = Intervals.of([[part]], [100], 0.9, "validation")
    again = ended.going_on(0, 1)
    assert again.width == ended.widths[0] == part.width
    adapted(again, sizes[400:])
    assert (again.width, again.missed) == (whole.width, pytest.approx(whole.missed))


def test_widths_of_many_series_come_from_the_last_errors_of_all():
    rng = np.random.default_rng(0)
    small, large = rng.uniform(0, 1, 2 * RECENT), rng.uniform(10, 11, 2 * RECENT)
    whole = in_turn([small, large])
    assert sorted(whole) == sorted([*small, *large])
    assert [size for size in whole if size < 5] == small.tolist()
    ended = Intervals.of([[AdaptiveWidth(own.tolist(), 0.75) for own in (small, large)]], [1], 0.75, "validation")
    for recent in (whole[-RECENT:], ended.recent[0]):
        assert sum(size > 5 for size in recent) == RECENT // 2
    assert 10 < ended.widths[0] < 11


def test_a_far_horizon_is_corrected_more_slowly():
    near, far = (after([1.0] * 20, 0.9, [2.0], ahead)[0] for ahead in (1, 4))
    assert 0.1 - near.missed == pytest.approx(2 * (0.1 - far.missed))
