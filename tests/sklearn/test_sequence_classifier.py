import pickle

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import bptt
from bptt.sklearn import SequenceClassifier

QUICK = {"cell": "elman", "hidden": 4, "epochs": 2, "stride": 1, "readout": "last"}
STEPS = "a column of a 2-D X is a step, so that sequences may have others; a feature is an axis of a 3-D X"
EXPECTED = dict.fromkeys(
    ("check_n_features_in", "check_n_features_in_after_fitting", "check_classifiers_train"), STEPS
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([SequenceClassifier(**QUICK)], expected_failed_checks=lambda estimator: EXPECTED)
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def waves(count=24, seed=0):
    """Waves of two speeds, 9 to 12 steps of 2 columns each."""
    draw = np.random.RandomState(seed)
    y = np.arange(count) % 2
    X = [np.sin((0.4 + fast) * np.arange(9 + number % 4)[:, None] + draw.rand(2)) for number, fast in enumerate(y)]
    return X, y


def ts_file(path, X, y):
    head = "@problemName p\n@timeStamps false\n@univariate false\n@dimensions 2\n@classLabel true 0 1\n@data\n"
    lines = (
        ":".join(",".join(map(repr, x.tolist())) for x in one.T) + f":{label}"
        for one, label in zip(X, y, strict=True)
    )
    path.write_text(head + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("choices", [{"readout": None}, {"validation": 0.3, "seed": 3}])
def test_it_gives_the_probabilities_of_train_to_the_last_digit(tmp_path, choices):
    X, y = waves()
    later, truth = waves(10, seed=1)
    ts_file(tmp_path / "p_TEST.ts", later, truth)
    choices = QUICK | choices
    run = bptt.train(ts_file(tmp_path / "p_TRAIN.ts", X, y), out=tmp_path / "run", **choices)
    found = pl.read_csv(tmp_path / "run" / "predictions.csv").filter(pl.col("split") == "test")
    seed = choices.pop("seed", 0)
    classifier = SequenceClassifier(**choices, random_state=seed).fit(X, y)
    assert classifier.loss_curve_ == run.losses
    probabilities = found.select(pl.selectors.starts_with("probability")).to_numpy().astype(np.float32)
    np.testing.assert_array_equal(classifier.predict_proba(later), probabilities)
    assert classifier.score(later, truth) == run.metrics[-1]["accuracy"]["test"]


def test_the_defaults_are_those_of_the_command_and_choose_by_cross_validation(capsys):
    X, y = waves()
    classifier = SequenceClassifier(hidden=4, epochs=1, verbose=True).fit(X, np.where(y, "fast", "slow"))
    config = classifier.run_.config
    assert (config.cell, config.batch, config.noise) == ("gru", 4, 0.3)
    assert "chosen by cross-validation: --readout" in capsys.readouterr().out
    assert set(classifier.predict(X)) <= {"fast", "slow"}


def test_a_pickle_and_a_clone_predict_the_same_and_the_run_diagnoses():
    X, y = waves()
    classifier = SequenceClassifier(**QUICK).fit(X, y > 0)
    assert classifier.predict(X).dtype == bool
    for other in (pickle.loads(pickle.dumps(classifier)), clone(classifier).fit(X, y > 0)):
        np.testing.assert_array_equal(other.predict_proba(X), classifier.predict_proba(X))
    assert classifier.run_.diagnose().steps == 12


@pytest.mark.parametrize(
    ("choices", "y", "words"),
    [
        ({}, [0] * 24, "y has one class"),
        ({}, [0, 1], "X has 24 sequences and y has 2 labels"),
        ({"hidden": 0}, None, "hidden must be at least 1"),
        ({"options": {"class_weight": "balanced"}}, None, "class_weights"),
        ({"options": {"device": "cuda"}}, None, "options has 'device', which SequenceClassifier does not take"),
        ({"options": {"test": 0.5, "out": "run"}}, None, "options has 'out'"),
    ],
)
def test_what_cannot_be_used_is_refused(choices, y, words):
    X, labels = waves()
    with pytest.raises((ValueError, TypeError), match=words):
        SequenceClassifier(**QUICK | choices).fit(X, labels if y is None else y)


def test_a_fit_that_fails_leaves_the_classes_of_the_one_before():
    X, y = waves()
    classifier = SequenceClassifier(**QUICK).fit(X, y)
    before = classifier.predict(X)
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        classifier.set_params(hidden=0).fit(X, np.array(["a", "b", "c"] * 8))
    np.testing.assert_array_equal(classifier.predict(X), before)
