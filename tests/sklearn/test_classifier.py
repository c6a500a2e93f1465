import numpy as np
import pytest
from sklearn.base import clone

from bptt.sklearn import RecurrentClassifier


def labelled(N=60, T=6):
    X = np.random.RandomState(0).randn(N, T, 2)
    return X, np.where(X[:, :, 0] > 0, "up", "down")


def test_a_class_a_step():
    X, y = labelled()
    classifier = RecurrentClassifier(hidden=8, epochs=10, lr=0.1, random_state=0).fit(X, y)
    assert classifier.predict(X).shape == (60, 6)
    assert classifier.score(X, y) > 0.9
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(-1), 1)
    assert [part.shape for part in classifier.fit(list(X), list(y)).predict(list(X[:2]))] == [(6,), (6,)]


def test_partial_fit_knows_classes_that_have_not_come_yet():
    X, y = labelled()
    down = y[:, -1] == "down"
    classifier = RecurrentClassifier(hidden=4, random_state=0)
    classifier.partial_fit(X[down], y[down, -1], classes=["up", "down"])
    classifier.partial_fit(X, y[:, -1])
    assert classifier.classes_.tolist() == ["down", "up"]
    with pytest.raises(ValueError, match=r"none of the classes \['down', 'up'\]"):
        classifier.partial_fit(X, np.full(60, "left"))
    with pytest.raises(ValueError, match="those of the calls before"):
        classifier.partial_fit(X, y[:, -1], classes=["left", "up"])


def test_class_weights_are_those_of_the_samples():
    X, y = labelled(N=24)
    y = np.where(np.arange(24) < 6, "rare", "usual")
    classifier = RecurrentClassifier(hidden=4, epochs=3, random_state=0)
    for class_weight, weights in (
        ({"rare": 5}, np.where(y == "rare", 5, 1)),
        ("balanced", np.where(y == "rare", 24 / 12, 24 / 36)),
    ):
        by_class = clone(classifier).set_params(class_weight=class_weight).fit(X, y)
        by_sample = clone(classifier).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(by_class.loss_curve_, by_sample.loss_curve_)
        assert by_class.loss_curve_ != clone(classifier).fit(X, y).loss_curve_
    twice = np.r_[np.arange(24), np.arange(4)]
    balanced = clone(classifier).set_params(class_weight="balanced")
    weighed = clone(balanced).fit(X, y, sample_weight=np.where(np.arange(24) < 4, 2, 1))
    np.testing.assert_allclose(weighed.loss_curve_, balanced.fit(X[twice], y[twice]).loss_curve_)


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ({"left": 1}, ValueError, r"class_weight has \['left'\]"),
        ({"up": -1}, ValueError, "at least 0"),
        ({"up": "much"}, TypeError, "numbers for weights"),
        ("equal", ValueError, "None, 'balanced' or a dict"),
        ({"up": 0, "down": 0}, ValueError, "nothing to train on"),
    ],
)
def test_bad_class_weights_are_named(class_weight, error, message):
    X, y = labelled()
    with pytest.raises(error, match=message):
        RecurrentClassifier(class_weight=class_weight).fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None], r"y\[1\] is None"),
        (["a", 1], "mixes text with other labels"),
        (np.array(["a", 1], object), "mixes text with other labels"),
        (np.array([1, 2j]), "Complex data not supported"),
        ([0.0, np.nan], "NaN"),
    ],
)
def test_bad_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        RecurrentClassifier().fit(np.zeros((2, 3)), y)


def test_a_piece_of_which_nothing_weighs_is_refused():
    X, _ = labelled()
    classifier = RecurrentClassifier(class_weight={"up": 0})
    with pytest.raises(ValueError, match="nothing to train on"):
        classifier.partial_fit(X, ["up"] * 60, classes=["up", "down"])
    assert not hasattr(classifier, "model_")


def test_balanced_needs_all_of_y():
    X, y = labelled()
    with pytest.raises(ValueError, match="pass a dict"):
        RecurrentClassifier(class_weight="balanced").partial_fit(X, y)
