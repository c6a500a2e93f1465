import numpy as np
import polars as pl
import pytest

from bptt.sklearn.samples import read_samples


def test_the_three_forms_of_x():
    assert [x.shape for x in read_samples(np.zeros((2, 4, 3)), "it").each] == [(4, 3)] * 2
    assert [x.shape for x in read_samples(np.zeros((2, 4)), "it").each] == [(4, 1)] * 2
    ragged = read_samples([np.zeros((4, 3), np.float32), np.zeros((2, 3))], "it")
    assert [x.shape for x in ragged.each] == [(4, 3), (2, 3)]
    assert {x.dtype for x in ragged.each} == {np.dtype(np.float64)}


def test_lists_may_hold_one_feature_or_frames_or_stand_in_an_object_array():
    arrays = [np.arange(4.0), np.arange(2.0)]
    several = np.empty(2, object)
    several[:] = arrays
    for X in (arrays, several, [x.tolist() for x in arrays], [x[:, None] for x in arrays]):
        read = read_samples(X, "it")
        assert read.ragged
        assert [x[:, 0].tolist() for x in read.each] == [[0, 1, 2, 3], [0, 1]]
    frames = [pl.DataFrame({"a": x, "b": -x}) for x in arrays]
    assert [x[-1].tolist() for x in read_samples(frames, "it").each] == [[3, -3], [1, -1]]
    with pytest.raises(ValueError, match=r"X\[0\] has the columns .* and X\[1\] has \['b', 'a'\]"):
        read_samples([frames[0], frames[1].select("b", "a")], "it")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 3, 4, 5)), "X has 4 dimensions"),
        (np.zeros((2, 0, 3)), "every sequence needs a step"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"X\[0\] has 3 features a step and X\[1\] has 4"),
        ([np.zeros((2, 3)), np.full((2, 3), np.nan)], r"X\[1\] has NaN at step 1, feature 1"),
        (
            np.where(np.arange(12).reshape(2, 3, 2) == 9, np.inf, 0),
            r"X\[1\] has infinity \(inf\) at step 2, feature 2",
        ),
        (np.where(np.arange(6).reshape(2, 3) == 4, np.nan, 0), r"X\[1\] has NaN at step 2 "),
        ([], "it has no sequences"),
        (np.zeros((0, 3, 2)), "it has no sequences"),
        ([np.zeros((2, 3)), np.zeros((0, 3))], r"X\[1\] is \(0, 3\): every sequence needs a step"),
        (np.zeros(5), "Reshape your data"),
        ([np.zeros((2, 3)), np.zeros(3)], r"X\[1\] has 1 dimensions and X\[0\] has 2; .*reshape\(-1, 1\)"),
        ([np.zeros((2, 3)), None], r"X\[1\] has 0 dimensions"),
        ([np.zeros((2, 3, 1))], r"X\[0\] has 3 dimensions"),
        ([[[1, 2], [3]], [[1, 2]]], r"X\[0\] is a list whose rows"),
    ],
)
def test_bad_x_is_named(X, message):
    with pytest.raises(ValueError, match=message):
        read_samples(X, "it")
