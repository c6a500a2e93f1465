"""Recurrent networks as scikit-learn estimators (`pip install bptt[sklearn]`).

Arrays, frames and lists of sequences come in; `fit`, `predict` and `score` work as scikit-learn's do. `forecaster`
and `sequence_classifier` are `bptt.train` as estimators, from `run_estimator`; the others train with the
parameters they are given. Start with `regressor`, then read `sequences`, which it shares with the classifier.
`base` has the parameters and the training, `samples` and `targets` check X and y, `batch` puts sequences side by
side, `learning` makes the updates.
"""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ImportError("bptt.sklearn needs scikit-learn; install it with: pip install bptt[sklearn]")

from .classifier import RecurrentClassifier as RecurrentClassifier
from .forecaster import RecurrentForecaster as RecurrentForecaster
from .regressor import RecurrentRegressor as RecurrentRegressor
from .sequence_classifier import SequenceClassifier as SequenceClassifier
