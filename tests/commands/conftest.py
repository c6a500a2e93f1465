import math

import polars as pl
import pytest

from bptt.commands.train import train
from bptt.training.options.forecast import ForecastOptions


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = range(100, 160)
    pl.DataFrame({"t": rows, "y": [math.sin(i / 3) for i in rows], "a": [i % 5 for i in rows]}).write_csv("d.csv")
    config = ForecastOptions(
        data=tmp_path / "d.csv", target="y", input=(("a",),), time="t", lags=2, epochs=2, out=tmp_path / "run"
    )
    train(config)
    return tmp_path
