import numpy as np
import pytest

from bptt.sklearn.sequences import read_sequences, read_targets, side_by_side


def test_the_three_forms_of_x():
    assert [x.shape for x in read_sequences(np.zeros((2, 4, 3)), "it").each] == [(4, 3)] * 2
    assert [x.shape for x in read_sequences(np.zeros((2, 4)), "it").each] == [(4, 1)] * 2
    ragged = read_sequences([np.zeros((4, 3), np.float32), np.zeros((2, 3))], "it")
    assert [x.shape for x in ragged.each] == [(4, 3), (2, 3)]
    assert {x.dtype for x in ragged.each} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 3, 4, 5)), "X has 4 dimensions"),
        (np.zeros((2, 0, 3)), "every sequence needs a step"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"X\[0\] has 3 features a step and X\[1\] has 4"),
        ([np.zeros((2, 3)), np.full((2, 3), np.nan)], r"X\[1\].*NaN"),
    ],
)
def test_bad_x_is_named(X, message):
    with pytest.raises(ValueError, match=message):
        read_sequences(X, "it")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.zeros(3), "2 sequences and y has 3 targets"),
        (np.zeros((2, 5)), "the target of sequence 0 is"),
        (np.zeros((2, 4, 1, 1)), "the target of sequence 0 is"),
    ],
)
def test_bad_y_is_named(y, message):
    sequences = read_sequences(np.zeros((2, 4)), "it")
    with pytest.raises(ValueError, match=message):
        read_targets(y, sequences, np.asarray, outputs=True)


def test_a_target_a_sequence_stands_at_its_last_step():
    batch = side_by_side([np.ones((3, 1)), np.ones((2, 1))], [np.array([[5.0]]), np.array([[6.0]])])
    assert batch.desired.nonzero().tolist() == [[1, 1], [2, 0]]
    assert batch.d[2, 0] == 5
    assert batch.d[1, 1] == 6
    assert batch.x[2, 1] == 0
