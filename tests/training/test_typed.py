import math

import pytest

from bptt.training.config import TrainConfig
from bptt.training.data.scaling import Scaling
from bptt.training.tasks.intervals import Intervals
from bptt.training.typed import filled


def test_what_fits_is_filled_in():
    assert filled(Scaling, {"mean": [1], "std": [2.5]}) == Scaling([1.0], [2.5])
    assert filled(TrainConfig, {"horizon": [1, 2], "lr": 1}) == TrainConfig(horizon=(1, 2), lr=1.0)
    wide = {"coverage": 0.9, "widths": [math.inf], "errors": 3, "source": "training"}
    assert filled(Intervals, wide).widths == [math.inf]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "a table of mean, std is needed"),
        ({"mean": [1]}, "missing .* 'std'"),
        ({"mean": [1], "std": [1], "more": 1}, "more is not known"),
        ({"mean": ["a"], "std": [1]}, r"mean = \['a'\] is not what it takes, a list of: a number"),
        ({"mean": [True], "std": [1]}, r"mean = \[True\]"),
        ({"mean": {}, "std": [1]}, r"mean = \{\}"),
    ],
)
def test_what_does_not_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        filled(Scaling, values)
