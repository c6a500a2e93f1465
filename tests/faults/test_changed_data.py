"""A run is not resumed on data other than it began with, of whatever kind and however small the change."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions
from bptt.training.options.text import TextOptions

ROWS = "".join(f"{i % 7},{i % 5},s{i % 2}\n" for i in range(60))
LONG = "".join(f"{s},{i},{i * s % 5},{'ab'[s % 2]}\n" for s in range(8) for i in range(4))
TS = "@univariate true\n@classLabel true a b\n@data\n" + "".join(
    f"{i % 3},{i % 4},1:{'ab'[i % 2]}\n" for i in range(8)
)
PIECES = {"reach": "truncated", "k1": 5, "memory": "100B"}
KINDS = {
    "table": ("d.csv", ForecastOptions(target="y")),
    "panel": ("d.csv", ForecastOptions(target="y", series="s")),
    "parquet": ("d.parquet", ForecastOptions(target="y")),
    "stream": ("d.csv", ForecastOptions(target="y", **PIECES)),
    "stream of Parquet": ("d.parquet", ForecastOptions(target="y", **PIECES)),
    "stream of numbers": ("d.npy", ForecastOptions(target="0", **PIECES)),
    "text": ("d.txt", TextOptions(k1=5, batch=2)),
    "labelled": ("long.csv", ClassifyOptions(series="s", label="l")),
    "test file": ("d_TEST.ts", ClassifyOptions()),
    "training file": ("d_TRAIN.ts", ClassifyOptions()),
}


@pytest.fixture
def here(tmp_path, monkeypatch, unreported):
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("y,a,s\n" + ROWS)
    pl.read_csv("d.csv").write_parquet("d.parquet")
    np.save("d.npy", pl.read_csv("d.csv")["y"].to_numpy())
    Path("d.txt").write_text("the cat sat on the mat. " * 20)
    Path("long.csv").write_text("s,t,x,l\n" + LONG)
    Path("d_TRAIN.ts").write_text(TS)
    Path("d_TEST.ts").write_text(TS)


def changed(path):
    """One row, or letter, at the end of the test set, or two of them swapped."""
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        return frame[[1, 0, *range(2, len(frame))]].write_parquet(path)
    if path.suffix == ".npy":
        return np.save(path, np.load(path)[[1, 0, *range(2, 60)]])
    before, comma, after = path.read_text().rpartition("," if path.suffix != ".txt" else "c")
    return path.write_text(f"{before[:-1]}{'9' if before[-1] != '9' else '8'}{comma}{after}")


@pytest.mark.parametrize(("name", "config"), KINDS.values(), ids=KINDS)
def test_changed_data_are_refused_by_the_files_name(here, name, config):
    data, folder = Path(name.replace("_TEST", "_TRAIN")), Path("run")
    train(replace(config, data=data, hidden=2, epochs=1, out=folder))
    (folder / "metrics.jsonl").write_text("")
    assert train(ForecastOptions(resume=folder)) == 0
    (folder / "metrics.jsonl").write_text("")
    changed(Path(name))
    with pytest.raises(
        UserError, match=rf"^run cannot be resumed: {name} has changed since run .*--resume continues"
    ):
        train(ForecastOptions(resume=folder))


def test_a_run_whose_digests_were_removed_is_not_resumed(here):
    train(ForecastOptions(data=Path("d.csv"), target="y", hidden=2, epochs=1, out=Path("run")))
    before, _, after = Path("run/config.toml").read_text().partition("[digests]\n")
    Path("run/config.toml").write_text(before + after.partition("\n")[2])
    Path("run/metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"d\.csv may have changed since run was begun \(config.toml has no"):
        train(ForecastOptions(resume=Path("run")))


def test_a_run_resumed_elsewhere_says_where_its_data_are_looked_for(here, tmp_path, monkeypatch):
    train(ForecastOptions(data=Path("d.csv"), target="y", hidden=2, epochs=1, out=Path("run")))
    (Path("run") / "metrics.jsonl").write_text("")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    wanted = rf"d\.csv: there is no such file in {tmp_path}/elsewhere, from where it is looked for; "
    wanted += r"start where \.\./run was made, or put the file back$"
    with pytest.raises(UserError, match=rf"^\.\./run cannot be resumed: {wanted}"):
        train(ForecastOptions(resume=Path("../run")))
    with pytest.raises(UserError, match=f"^{wanted}"):
        load("../run").task  # noqa: B018
