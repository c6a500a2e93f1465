import numpy as np
import pytest

from bptt.training.scaling import Scaling, as_input


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
