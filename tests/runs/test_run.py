from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.config_file import config_of, save_config
from bptt.training.data.timestamps import Clock
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.forecast import sunspot_forecast
from bptt.training.tensors import write_tensors

CONFIG = 'format = 2\ncolumns = ["y"]\n[train]\n[scaling]\nmean = [0]\nstd = [1]\n'


@pytest.fixture
def run(tmp_path):
    choices = {"cell": "lstm", "layers": 2, "input": (("a", "b"),), "lags": 2, "linear": False}
    config = ForecastOptions(data=Path("d.csv"), target="sunspots", **choices)
    model = build(config, config.lags)
    save_config(tmp_path, config_of(config, sunspot_forecast(config), {}))
    write_tensors(tmp_path / "model.safetensors", dict(model.state_dict()))
    return tmp_path, config, model


def test_a_run_comes_back_as_it_was(run):
    folder, config, model = run
    again = load(folder)
    assert again.config == config
    assert again.columns == ["sunspots"]
    assert (again.clock, again.spacings) == (Clock(), {})
    for a, b in zip(again.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_flipped_bit_is_found_wherever_it_is(run):
    folder, _, _ = run
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"model\.safetensors"):
            load(folder)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("config.toml", "format = 99", "this bptt reads format 2: update bptt"),
        ("config.toml", "format = ", "damaged"),
        ("config.toml", "format = 2", "damaged"),
        (
            "config.toml",
            'format = 2\ncolumns = ["y"]\n[train]\nhidden = "x"\n[scaling]\nmean=[0]\nstd=[1]',
            "hidden must be a whole number, got 'x'",
        ),
        ("config.toml", CONFIG + '[clock]\nzone = "Middle/Earth"', "damaged"),
        ("config.toml", CONFIG + '[clock]\nzone = "Europe"', "damaged"),
        ("config.toml", CONFIG + "[clock]\nnoon = 12", "damaged"),
        ("config.toml", CONFIG + '[spacings.""]\nkind = "moons"', "damaged: .* is no spacing of rows"),
        ("config.toml", CONFIG.replace("[train]", 'calendar = ["hour of day"]\n[train]'), "train it again"),
        ("model.safetensors", "", "damaged"),
    ],
)
def test_damaged_files_are_said(run, file, text, words):
    folder, _, _ = run
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=words):
        load(folder)


def test_what_is_missing_is_said(run, tmp_path_factory):
    folder, _, _ = run
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"is not finished: .*`bptt train --resume .*` continues it"):
        load(folder)
    (folder / "metrics.jsonl").write_text('{"event": "test", "interrupted": false}\n')
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        load(folder)
    (folder / "config.toml").unlink()
    with pytest.raises(UserError, match=r"config\.toml is missing"):
        load(folder)
    with pytest.raises(UserError, match="no such folder"):
        load(folder / "nowhere")


def test_another_architecture_is_told_apart(run):
    folder, _, _ = run
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("hidden = 32", "hidden = 9"))
    with pytest.raises(UserError, match=r"does not fit config.toml: readout.weight is \(1, 32\) in the file"):
        load(folder)


def test_damaged_metrics_are_said(run):
    folder, _, _ = run
    with pytest.raises(UserError, match=r"metrics\.jsonl is missing"):
        load(folder).metrics  # noqa: B018
    (folder / "metrics.jsonl").write_text('{"event": "epoch", "loss": 0.5}\n{"event": ')
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
        load(folder).losses  # noqa: B018
    (folder / "metrics.jsonl").write_text('{"event": "epoch", "loss": 0.5}\n5\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged: line 2 is no event"):
        load(folder).losses  # noqa: B018


def test_what_is_no_run_folder_is_refused_by_name(tmp_path, run):
    folder, _, _ = run
    with pytest.raises(TypeError, match="folder must be a str or a Path, got NoneType"):
        load(None)
    with pytest.raises(UserError, match=r"config\.toml is a file; pass a run folder"):
        load(folder / "config.toml")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="other is not a run folder"):
        load(tmp_path / "other")
    (tmp_path / "other" / "one").mkdir()
    (tmp_path / "other" / "one" / "config.toml").write_text("")
    with pytest.raises(UserError, match=r"run folders in it: .*other/one$"):
        load(tmp_path / "other")


def test_only_paths_and_known_choices_are_taken(run):
    opened = load(run[0])
    for ask in (opened.predict, opened.training_excerpt):
        with pytest.raises(
            TypeError, match=r"data must be the path of a file, a polars .* or a numpy array, got int"
        ):
            ask(3)
        with pytest.raises(UserError, match="missing must be one of 'error', 'interpolate', 'mask', got 'fill'"):
            ask("d.csv", missing="fill")
        with pytest.raises(UserError, match=r"d\.csv: there is no such file"):
            ask("d.csv")


def test_a_run_is_shown_in_a_line(run):
    folder, _, _ = run
    network = f"Run({str(folder)!r}, forecast, lstm network of 32 units"
    assert repr(load(folder)) == network + ")"
    (folder / "metrics.jsonl").write_text('{"event": "test", "arv": {"1700-1920": 0.123456}}\n')
    assert repr(load(folder)) == network + ", arv 0.1235 (1700-1920))"
    for score in ("null", '"low"', "9" * 400):
        (folder / "metrics.jsonl").write_text(f'{{"event": "test", "arv": {{"1700-1920": {score}}}}}\n')
        assert repr(load(folder)) == network + ")"


def test_only_a_forecast_has_its_options(run):
    opened = load(run[0])
    assert opened.forecast_options is opened.config
    with pytest.raises(UserError, match="trained with --task text and makes no forecasts"):
        replace(opened, config=TextOptions()).forecast_options  # noqa: B018
