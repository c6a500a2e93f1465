import numpy as np
import pytest

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
