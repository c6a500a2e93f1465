import numpy as np
import polars as pl
import pytest

from bptt.errors import UserError
from bptt.training.data.streamed_tables import is_streamed
from bptt.training.options.forecast import ForecastOptions


@pytest.fixture(params=["csv", "parquet", "npy"])
def path(tmp_path, request):
    file, values = tmp_path / f"series.{request.param}", np.sin(np.arange(400.0))
    if request.param == "npy":
        np.save(file, values)
    else:
        frame = pl.DataFrame({"1": values})
        frame.write_csv(file) if request.param == "csv" else frame.write_parquet(file)
    return file


def configured(path, **choices):
    return ForecastOptions(**{"data": path, "target": "1", "reach": "truncated", **choices})


def test_it_is_streamed_where_it_would_take_more_than_it_may(path, monkeypatch):
    assert not is_streamed(configured(path))
    assert is_streamed(configured(path, memory="1kB"))
    assert not is_streamed(configured(path, memory="1GB"))
    assert not is_streamed(ForecastOptions())
    monkeypatch.setattr("bptt.training.data.streamed_tables.machine_memory", lambda: 2000)
    assert is_streamed(configured(path))
    for reach in ("full", "checkpointed"):
        with pytest.raises(UserError, match=rf"half of this machine's; --reach {reach}.*--reach truncated"):
            is_streamed(configured(path, reach=reach))
