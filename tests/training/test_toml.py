import math

import pytest

from bptt.errors import UserError
from bptt.training.data.scaling import Scaling
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.intervals import Intervals
from bptt.training.toml import made_of, read_toml


def test_what_fits_is_filled_in():
    assert made_of(Scaling, {"mean": [1], "std": [2.5]}) == Scaling([1.0], [2.5])
    assert made_of(ForecastOptions, {"horizon": [1, 2], "lr": 1}) == ForecastOptions(horizon=(1, 2), lr=1.0)
    wide = {"coverage": 0.9, "widths": [math.inf], "errors": 3, "source": "training"}
    assert made_of(Intervals, wide).widths == [math.inf]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "a table of mean, std is needed"),
        ({"mean": [1]}, "missing .* 'std'"),
        ({"mean": [1], "std": [1], "more": 1}, "more is not known"),
        ({"mean": ["a"], "std": [1]}, r"mean must be a list of: a number, got \['a'\]"),
        ({"mean": [True], "std": [1]}, r"got \[true\]"),
        ({"mean": {}, "std": [1]}, r"got \{\}"),
    ],
)
def test_what_does_not_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        made_of(Scaling, values)


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml is missing"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text("[train\n")
    with pytest.raises(UserError, match=r"a\.toml is damaged: "):
        read_toml(tmp_path / "a.toml")
