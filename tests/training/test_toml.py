import math

import pytest

from bptt.errors import UserError
from bptt.training.config_file import ConfigFile
from bptt.training.data.scaling import Scaling
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.intervals import Intervals
from bptt.training.toml import made_of, read_toml


def test_what_fits_is_filled_in():
    assert made_of(Scaling, {"mean": [1], "std": [2.5]}) == Scaling([1.0], [2.5])
    assert made_of(ForecastOptions, {"horizon": [1, 2], "lr": 1}) == ForecastOptions(horizon=(1, 2), lr=1.0)
    wide = {"coverage": 0.9, "widths": [math.inf], "errors": 3, "source": "training"}
    assert made_of(Intervals, wide).widths == [math.inf]


def test_tables_within_a_table_become_dataclasses():
    options, scaling = ForecastOptions(lr=0.1), Scaling([0.0], [1.0])
    table = {"config": options, "scaling": {"mean": [0], "std": [1]}, "series": {"a": {"mean": [0], "std": [1]}}}
    assert made_of(ConfigFile, table) == ConfigFile(options, scaling=scaling, series={"a": scaling})
    with pytest.raises(ValueError, match=r"^\[series\.a\] has 'mena', .* is 'mean' meant\?$"):
        made_of(ConfigFile, table | {"series": {"a": {"mena": [0], "std": [1]}}})
    with pytest.raises(ValueError, match=r"^series must be a table, each .* a table of mean, std, got \{a = 3\}"):
        made_of(ConfigFile, table | {"series": {"a": 3}})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], r"it must be a table of mean, std, got \[\]"),
        ({"mean": [1]}, "missing .* 'std'"),
        ({"mean": [1], "std": [1], "more": 1}, "it has 'more', which is not known there"),
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
