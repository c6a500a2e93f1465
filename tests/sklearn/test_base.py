import pickle
import random
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from bptt.sklearn import RecurrentClassifier, RecurrentRegressor

STEPS = "a column of a 2-D X is a step, so that sequences may have others; a feature is an axis of a 3-D X"
EXPECTED = {
    "check_n_features_in": STEPS,
    "check_n_features_in_after_fitting": STEPS,
    "check_estimators_partial_fit_n_features": STEPS,
    "check_classifiers_train": STEPS,
}
QUICK = {"cell": "elman", "hidden": 8, "epochs": 10, "lr": 0.02, "random_state": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [RecurrentRegressor(**QUICK), RecurrentClassifier(**QUICK | {"epochs": 10})],
    expected_failed_checks=lambda estimator: {
        name: reason
        for name, reason in EXPECTED.items()
        if name != "check_classifiers_train" or isinstance(estimator, RecurrentClassifier)
    },
)
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def wave(N=12, T=9, I=2):
    X = np.random.RandomState(0).randn(N, T, I)
    return X, X[:, -1, 0] - X[:, -2, 1]


@pytest.mark.parametrize("kind", [RecurrentRegressor, RecurrentClassifier])
def test_a_clone_fits_to_the_same_numbers_and_a_pickle_predicts_them(kind):
    X, y = wave()
    fit = (X, y > 0 if kind is RecurrentClassifier else y)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = kind(hidden=4, epochs=2, cell="lstm", random_state=3).fit(*fit)
    again = clone(first).fit(*fit)
    np.testing.assert_array_equal(first.predict(X), again.predict(X))
    np.testing.assert_array_equal(first.predict(X), pickle.loads(pickle.dumps(first)).predict(X))
    assert first.loss_curve_ == again.loss_curve_
    assert len(first.loss_curve_) == first.n_iter_ == 2
    other = clone(first).set_params(random_state=4).fit(*fit)
    assert other.loss_curve_ != first.loss_curve_
    unseeded = clone(first).set_params(random_state=None)
    assert unseeded.fit(*fit).loss_curve_ != unseeded.fit(*fit).loss_curve_
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"cell": "rnn"}, ValueError, "cell must be one of 'elman', 'gru', 'lstm', got"),
        ({"hidden": 0}, ValueError, "hidden"),
        ({"hidden": 1.5}, TypeError, "hidden"),
        ({"epochs": None}, TypeError, "epochs"),
        ({"lr": 0}, ValueError, "lr"),
        ({"clip": -1.0}, ValueError, "clip"),
        ({"leak": 2.0}, ValueError, "leak must lie"),
        ({"leak": 0.5}, ValueError, "choices of cell='elman'"),
        ({"k2": 3}, ValueError, "needs k1"),
        ({"k1": 4, "k2": 3}, ValueError, "k2=3 is less than k1=4"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction"),
        ({"validation_fraction": 0.99}, ValueError, "leaves none of 12"),
        ({"activation": "sin"}, ValueError, "activation must be one of"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    X, y = wave()
    with pytest.raises(error, match=message):
        RecurrentRegressor(**parameters).fit(X, y)


def test_numbers_of_numpy_are_taken_as_those_of_a_grid():
    X, y = wave()
    grid = {
        "hidden": np.int64(3),
        "epochs": np.int64(1),
        "k1": np.int64(3),
        "k2": np.int64(5),
        "lr": np.float64(0.1),
    }
    assert RecurrentRegressor(**grid).fit(X, y).n_iter_ == 1


def test_the_best_epoch_is_kept_and_patience_ends_the_training():
    X, y = wave(N=40)
    regressor = RecurrentRegressor(
        hidden=4, epochs=200, lr=0.3, validation_fraction=0.25, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    curve = regressor.validation_curve_
    assert regressor.n_iter_ == len(curve) == int(np.argmin(curve)) + 4 < 200


def test_epochs_are_told_where_it_is_asked_for(capsys):
    X, y = wave()
    RecurrentRegressor(hidden=2, epochs=2, validation_fraction=0.25, verbose=True).fit(X, y)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1: loss ")
    assert "validation" in second


def test_without_scikit_learn_the_extra_is_named():
    program = "import sys; sys.modules['sklearn'] = None; import bptt.sklearn"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install bptt[sklearn]" in found.stderr.splitlines()[-1]


def test_threads_fit_what_each_fits_alone_and_leave_the_process_as_it_was():
    X, y = wave()

    def fitted(seed):
        return (
            RecurrentRegressor(hidden=4, epochs=5, validation_fraction=0.25, random_state=seed)
            .fit(X, y)
            .predict(X)
        )

    before = (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())
    alone = [fitted(seed) for seed in range(3)]
    together = Parallel(n_jobs=4, backend="threading")(delayed(fitted)(place % 3) for place in range(18))
    for place, found in enumerate(together):
        np.testing.assert_array_equal(found, alone[place % 3])
    assert before == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())


def test_columns_are_known_by_their_names():
    X, y = wave()
    frames = [pl.DataFrame(x, ["a", "b"], orient="row") for x in X]
    regressor = RecurrentRegressor(hidden=3, epochs=1, random_state=0).fit(frames, y)
    assert regressor.feature_names_in_.tolist() == ["a", "b"]
    assert regressor.n_features_in_ == 2
    np.testing.assert_array_equal(
        regressor.predict(frames), RecurrentRegressor(**regressor.get_params()).fit(X, y).predict(X)
    )
    with pytest.raises(ValueError, match="same order as they were in fit"):
        regressor.predict([frame.select("b", "a") for frame in frames])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        regressor.predict(list(X))
    steps = pl.DataFrame(X[:, :, 0], [f"t{step}" for step in range(9)], orient="row")
    named = RecurrentRegressor(hidden=3, epochs=1).fit(steps, y)
    with pytest.raises(ValueError, match="same order as they were in fit"):
        named.score(steps.select(reversed(steps.columns)), y)
    assert not hasattr(named.fit(X, y), "feature_names_in_")


def test_sequences_and_their_weights_are_split_by_searches_and_cross_validation():
    X, y = wave(N=18)
    ragged = [x[place % 4 :] for place, x in enumerate(X)]
    regressor = RecurrentRegressor(hidden=3, epochs=2, random_state=0)
    with parallel_config("threading"):
        search = GridSearchCV(regressor, {"hidden": [2, 3], "k1": [None, 4]}, cv=3, n_jobs=2, error_score="raise")
        search.fit(ragged, y, sample_weight=np.arange(18))
        scores = cross_val_score(make_pipeline("passthrough", regressor), ragged, y, cv=3, n_jobs=2)
    assert search.best_estimator_.predict(ragged).shape == (18,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", [RecurrentRegressor, RecurrentClassifier])
@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
def test_a_network_larger_than_the_memory_is_refused_by_its_parameters(kind, learn):
    X, y = wave()
    data = (X, y > 0 if kind is RecurrentClassifier else y)
    classes = {"classes": [False, True]} if kind is RecurrentClassifier and learn == "partial_fit" else {}
    estimator = kind(hidden=10**6, layers=2, epochs=1)
    with pytest.raises(ValueError, match=r"^hidden=1000000 and layers=2 with \d features make .* smaller$"):
        getattr(estimator, learn)(*data, **classes)
