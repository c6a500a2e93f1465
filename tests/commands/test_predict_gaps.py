"""`bptt predict` on new data with missing values."""

import io

import polars as pl
import pytest

import bptt
from bptt.commands.command_line import answered
from bptt.commands.follow import follow
from bptt.commands.options import PredictOptions
from bptt.commands.predict import predict
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.forecast import ForecastOptions

pytestmark = pytest.mark.usefixtures("unreported")


def test_gaps_in_new_data_are_masked_by_a_run_that_masks_and_no_other(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,2\n,3\n0.5,1\n0.2,\n")
    with pytest.raises(UserError, match="missing='mask' needs a run that was trained with it"):
        load(run / "run").predict(run / "gap.csv", missing="mask")
    capsys.readouterr()
    assert answered(["predict", str(run / "run"), str(run / "gap.csv"), "--missing", "mask"]) == 2
    assert "--missing mask needs a run that was trained with it" in capsys.readouterr().err
    masked = ForecastOptions(
        data=run / "d.csv", target="y", input=(("a",),), missing="mask", lags=2, epochs=2, out=run / "masked"
    )
    train(masked)
    capsys.readouterr()
    assert predict(PredictOptions(run / "masked", run / "gap.csv")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())
    assert rows["truth"].to_list() == [0.5, 0.2, None]
    assert rows["forecast"].null_count() == 0
    follow(load(run / "masked"), None, io.BytesIO((run / "gap.csv").read_bytes()))
    followed = pl.read_csv(capsys.readouterr().out.encode())
    assert followed["forecast"].to_list()[1:] == pytest.approx(rows["forecast"].to_list(), rel=1e-5)


def test_gaps_are_filled_alike_in_a_file_and_row_by_row(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,\n,3\n0.5,1\n0.2,\n,4\n")
    assert predict(PredictOptions(run / "run", run / "gap.csv", missing="interpolate")) == 0
    rows = pl.read_csv(capsys.readouterr().out.encode())["forecast"]
    follow(load(run / "run"), None, io.BytesIO((run / "gap.csv").read_bytes()), "interpolate")
    followed = pl.read_csv(capsys.readouterr().out.encode())["forecast"].drop_nulls()
    assert followed.to_list() == pytest.approx(rows.to_list(), rel=1e-5)


def test_gaps_are_treated_as_in_training_unless_asked_otherwise(run, capsys):
    (run / "gap.csv").write_text("y,a\n1,\n,3\n0.5,1\n0.2,\n,4\n")
    filling = ForecastOptions(
        data=run / "d.csv", target="y", input=(("a",),), missing="interpolate", lags=2, epochs=1, out=run / "fills"
    )
    train(filling)
    opened = load(run / "fills")
    found = opened.predict(run / "gap.csv")
    assert found.equals(opened.predict(run / "gap.csv", missing="interpolate"))
    follow(opened, None, io.BytesIO((run / "gap.csv").read_bytes()))
    assert "0.2" in capsys.readouterr().out
    for refused in (opened, load(run / "run")):
        with pytest.raises(UserError, match="has 2 missing of 5 values"):
            refused.predict(run / "gap.csv", missing="error")


@pytest.mark.parametrize("missing", ["error", "interpolate", "mask"])
def test_no_forecast_reads_a_later_row_to_fill_a_gap(run, missing):
    gaps = {"y": [None, 0.5, 0.2, None, None, 0.9, 0.1], "a": [1, None, 3, 4, None, 2, 1]}
    frame = pl.DataFrame(gaps, schema_overrides={"y": pl.Float64})
    trained = bptt.train("d.csv", target="y", input="a", lags=2, epochs=1, missing=missing, test=0.3)
    whole = trained.predict(frame, missing="interpolate")
    assert whole["forecast"].is_finite().all()
    assert whole["truth"].null_count() == 3  # two gaps and the row to come
    x = trained.training_excerpt(frame, missing="interpolate").x
    assert x.isfinite().all()
    for known in range(2, len(frame)):
        part = trained.predict(frame[:known], missing="interpolate")
        assert part["forecast"].to_list() == pytest.approx(whole["forecast"][: known - 1].to_list())
