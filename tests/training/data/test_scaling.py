import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.scaling import Moments, Scaling, as_input


def test_scaled_columns_have_mean_0_and_deviation_1_and_go_back():
    values = np.random.default_rng(0).normal(5, 3, (50, 2))
    scaling = Scaling.of(values, ["y", "a"])
    scaled = scaling.apply(values)
    assert np.allclose(scaled.mean(0), 0)
    assert np.allclose(scaled.std(0), 1)
    assert np.allclose(scaling.undo_target(scaled[:, 0]), values[:, 0])


def test_a_constant_column_warns_and_divides_by_nothing():
    values = np.ones((5, 2))
    with pytest.warns(UserWarning, match="'a' is constant"):
        scaling = Scaling.of(np.array([[1.0, 2.0], [2.0, 2.0]]), ["y", "a"])
    assert np.isfinite(scaling.apply(values)).all()


def test_missing_values_are_left_out_and_marked():
    values = np.array([[1.0, 4.0], [np.nan, 6.0], [3.0, np.nan]])
    scaling = Scaling.of(values, ["y", "a"])
    assert (scaling.mean, scaling.std) == ([2.0, 5.0], [1.0, 1.0])
    rows = as_input(scaling.apply(values), "mask")
    assert rows.tolist() == [[-1, -1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    assert as_input(scaling.apply(values[:1]), "error").tolist() == [[-1, -1]]
    assert scaling.undo_target(np.array([1.0]), 1).tolist() == [6.0]


@pytest.mark.parametrize("rows", [2, 7, 1000, 100_000])
@pytest.mark.parametrize("value", [0.1, 0.0, 1 / 3, -1e9 - 0.1, 1e-90, 1e100, 7])
def test_a_column_whose_values_are_one_is_constant_whatever_its_sums_round_to(rows, value):
    moments = Moments.of(np.full((rows, 1), value))
    assert moments.is_constant.tolist() == [True]
    assert moments.unit.tolist() == [1.0]
    assert moments.mean == pytest.approx([value], rel=1e-15)


@pytest.mark.parametrize(
    ("values", "is_constant"),
    [
        *(([0.3, 0.1 + 0.2], True), ([1e17, 1e17 + 16], True), ([0.0, 1e-120], True), ([np.nan, 5.0], True)),
        *(
            ([1e9, 1e9 + 1e-3], False),
            ([0.0, 1e-90], False),
            ([1.0, 1.0 + 1e-12], False),
            ([-1e100, 1e100], False),
        ),
        ([1.7e18, 1.7e18 + 10_000], False),
    ],
)
def test_constant_is_within_rounding(values, is_constant):
    assert Moments.of(np.array(values)[:, None]).is_constant.tolist() == [is_constant]


def test_a_small_variation_on_a_large_level_is_kept():
    signal = np.sin(np.arange(100_000) / 7)
    moments = Moments.of((1e9 + 1e-3 * signal)[:, None])
    assert moments.unit == pytest.approx([1e-3 * signal.std()], rel=1e-3)
    scaling = Scaling.of((1e9 + 1e-3 * signal)[:, None], ["y"])
    assert np.allclose(scaling.apply((1e9 + 1e-3 * signal)[:, None])[:, 0], signal / signal.std(), atol=1e-3)


@pytest.mark.parametrize("parts", [1, 2, 7, 60])
def test_moments_of_parts_join_to_those_of_the_whole(parts):
    values = 1e6 + np.random.default_rng(0).normal(size=(60, 2))
    values[0] = [0, np.nan]  # far from the rest, and missing
    first, *others = (Moments.of(part) for part in np.array_split(values, parts))
    for other in others:
        first = first.joined(other)
    whole = Moments.of(values)
    for name in ("count", "mean", "variance", "low", "high", "is_constant"):
        np.testing.assert_allclose(getattr(first, name), getattr(whole, name), rtol=1e-9, err_msg=name)


def test_columns_without_values_have_no_moments_and_warn_of_nothing():
    moments = Moments.of(np.full((3, 1), np.nan))
    assert (moments.mean.tolist(), moments.unit.tolist(), moments.count.tolist()) == ([0], [1], [0])
    Scaling([0.0], [1.0]).check(moments, ["y"], "t")


def test_what_float32_cannot_square_is_refused():
    scaling = Scaling([1.0], [1e-3])
    with pytest.raises(UserError, match=r"t: column 'y' holds -1e\+13, more than 1e\+15 standard deviations"):
        scaling.check(Moments.of(np.array([[0.0], [-1e13]])), ["y"], "t")
    scaling.check(Moments.of(np.array([[1e11]])), ["y"], "t")


def test_float32_is_judged_by_its_own_rounding():
    values = np.float32([[1e9], [1e9 + 64]])
    assert Moments.of(values).is_constant.tolist() == [True]
    assert Moments.of(values.astype(float)).is_constant.tolist() == [False]
