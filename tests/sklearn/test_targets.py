import numpy as np
import pytest

from bptt.sklearn.samples import read_samples
from bptt.sklearn.targets import read_targets, read_weights

FOUR = read_samples(np.zeros((2, 4, 1)), "it")
RAGGED = read_samples([np.zeros((4, 1)), np.zeros((3, 1))], "it")
ONE = read_samples(np.zeros((2, 1, 1)), "it")


def read(y, sequences=FOUR, outputs=True, **choices):
    return read_targets(y, sequences, lambda values, name: np.asarray(values), outputs, **choices)


@pytest.mark.parametrize(
    ("y", "sequences", "choice", "per_step", "several", "first"),
    [
        (np.zeros(2), FOUR, "auto", False, False, (1,)),
        (np.zeros((2, 3)), FOUR, "auto", False, True, (1, 3)),
        (np.zeros((2, 1)), FOUR, "auto", False, True, (1, 1)),
        (np.zeros((2, 4)), FOUR, "sequence", False, True, (1, 4)),
        (np.zeros((2, 4)), FOUR, "step", True, False, (4,)),
        (np.zeros((2, 4, 4)), FOUR, "auto", True, True, (4, 4)),
        (np.zeros((2, 1)), ONE, "step", True, False, (1,)),
        (np.zeros((2, 4)), RAGGED, "auto", False, True, (1, 4)),
        ([np.zeros(4), np.zeros(3)], RAGGED, "auto", True, False, (4,)),
        ([[0, 0, 0, 0], [0, 0, 0]], RAGGED, "auto", True, False, (4,)),
        ([np.zeros((4, 2)), np.zeros((3, 2))], RAGGED, "step", True, True, (4, 2)),
        ([[1, 2], [3, 4]], RAGGED, "auto", False, True, (1, 2)),
    ],
)
def test_what_y_has_a_target_for(y, sequences, choice, per_step, several, first):
    targets = read(y, sequences, choice=choice)
    assert (targets.per_step, targets.several, targets.each[0].shape) == (per_step, several, first)
    assert [len(w) for w in targets.weights] == [len(part) for part in targets.each]


def test_classes_have_one_form_only():
    assert read(np.zeros((2, 4)), outputs=False).per_step
    with pytest.warns(UserWarning, match="column-vector"):
        assert not read(np.zeros((2, 1)), outputs=False).per_step
    with pytest.raises(ValueError, match="the target of sequence 0 is"):
        read(np.zeros((2, 3)), outputs=False)


@pytest.mark.parametrize(
    ("y", "sequences", "choice", "message"),
    [
        (None, FOUR, "auto", "requires y to be passed"),
        (np.zeros(3), FOUR, "auto", "2 sequences and y has 3 targets"),
        (np.zeros((2, 4)), FOUR, "auto", r"pass targets='step' or targets='sequence'"),
        (np.zeros((2, 1)), ONE, "auto", r"pass targets='step' or targets='sequence'"),
        (np.zeros((2, 3)), FOUR, "step", r"sequence 0 is \(3,\), but the sequence has 4 steps and targets='step'"),
        (np.zeros(2), FOUR, "step", "targets='step'"),
        (np.zeros((2, 4, 2)), FOUR, "sequence", "targets='sequence'"),
        (np.zeros((2, 5, 2)), FOUR, "auto", "the target of sequence 0 is"),
        (np.zeros((2, 4, 1, 1)), FOUR, "auto", "the target of sequence 0 is"),
        ([np.zeros(4), np.zeros(2)], RAGGED, "auto", r"sequence 1 is \(2,\), but the sequence has 3 steps"),
    ],
)
def test_bad_y_is_named(y, sequences, choice, message):
    with pytest.raises(ValueError, match=message):
        read(y, sequences, choice=choice)


def test_weights_are_those_of_each_target():
    weights = read([np.zeros(4), np.zeros(3)], RAGGED, sample_weight=[2, 0]).weights
    assert [w.tolist() for w in weights] == [[2, 2, 2, 2], [0, 0, 0]]
    assert read_weights(None, 2).tolist() == [1, 1]
    assert read_weights(3, 2).tolist() == [3, 3]
    assert read_weights([True, False], 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 1)), r"sample_weight is \(2, 1\), but \(2,\) is needed"),
        ([1, 2, 3], r"sample_weight is \(3,\)"),
        ([1, -1], r"sample_weight\[1\] is -1"),
        ([1, np.nan], r"sample_weight\[1\] has NaN"),
        ([1, np.inf], r"sample_weight\[1\] has infinity"),
        ([0, 0], "zero for every sample"),
        (["a", "b"], "sample_weight holds text"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        read_weights(weights, 2)
