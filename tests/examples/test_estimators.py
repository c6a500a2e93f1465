"""The example finds what it says, on small grids."""

from pathlib import Path

import pytest

from support import loaded

PATH = Path(__file__).parents[2] / "examples" / "estimators.py"


@pytest.fixture(scope="module")
def example():
    return loaded(PATH)


def test_digits(example):
    assert example.digits(hidden=(16,), epochs=3) > 0.6


def test_next_year(example):
    assert example.next_year(hidden=(8,), epochs=20) > 0.7


def test_forecast(example, capsys):
    coming = example.forecast(lags=(4,), epochs=2)
    assert coming.shape == (11,)
    assert (coming >= 0).all()
    assert capsys.readouterr().out.startswith("forecast: {'forecast__lags': 4}")
