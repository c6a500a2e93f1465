"""Floor 4: recurrent networks as scikit-learn estimators (`pip install bptt[sklearn]`)."""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ImportError("bptt.sklearn needs scikit-learn; install it with: pip install bptt[sklearn]")

from .classifier import RecurrentClassifier as RecurrentClassifier
from .forecaster import RecurrentForecaster as RecurrentForecaster
from .regressor import RecurrentRegressor as RecurrentRegressor
