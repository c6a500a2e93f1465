"""The example finds what it says, on small grids."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "estimators.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("estimators", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_digits(example):
    assert example.digits(hidden=(16,), epochs=3) > 0.6


def test_next_year(example):
    assert example.next_year(hidden=(8,), epochs=20) > 0.7


def test_forecast(example, capsys):
    coming = example.forecast(hidden=(8,), epochs=20)
    assert coming.shape == (11,)
    assert (coming >= 0).all()
    assert capsys.readouterr().out.startswith("forecast: {'forecast__hidden': 8}")
