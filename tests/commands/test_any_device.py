"""Training and the other commands on a device that is not the CPU, and from one device to another."""

import json
import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from bptt.cli import main
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.choosing import OPTIONS
from bptt.training.snapshot import Snapshots
from bptt.training.tasks import text
from bptt.training.tasks.factory import made_task
from bptt.training.tensors import read_tensors
from devices import Waits
from killing import killed_at

WINDOWS = {"reach": "truncated", "k1": 10, "k2": 25, "batch": 2, "epochs": 2, "noise": 0.1}
TASKS = {
    "full": ("forecast", {"data": "d.csv", "target": "y", "epochs": 3, "noise": 0.1, "validation": 0.2}),
    "checkpointed": (
        "forecast",
        {
            "data": "d.csv",
            "target": "y",
            "epochs": 2,
            "reach": "checkpointed",
            "memory": "60kB",
        },
    ),
    "truncated": ("forecast", {"data": "d.csv", "target": "y", **WINDOWS, "validation": 0.2}),
    "streamed": ("forecast", {"data": "d.csv", "target": "y", **WINDOWS, "memory": "1kB"}),
    "panel": ("forecast", {"data": "d.csv", "target": "y", "series": "s", "missing": "mask", "epochs": 2}),
    "classify": (
        "classify",
        {
            "data": "v.ts",
            "epochs": 2,
            "hidden": 6,
            "batch": 4,
            "class_weights": "balanced",
            "validation": 0.2,
            "readout": "both",
            "stride": 1,
        },
    ),
    "text": ("text", {"data": "cats.txt", "epochs": 1, "hidden": 6, "batch": 3, "validation": 0.1}),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(text, "WRITTEN", 30)
    write_series(60)
    write_text(6)
    lines = [f"{i % 2},{i % 2 + 1},{i}:{i % 2}" for i in range(20)]
    (tmp_path / "v.ts").write_text("@problemName p\n@classLabel true 0 1\n@data\n" + "\n".join(lines) + "\n")
    return tmp_path


def write_series(rows):
    table = [("ab"[i % 2], math.sin(i / 3), i % 7) for i in range(rows)]
    pl.DataFrame(table, schema=["s", "y", "a"], orient="row").write_csv("d.csv")


def write_text(sentences):
    Path("cats.txt").write_text("the cat sat on the mat. " * sentences)


def config_of(name, folder, **choices):
    task, own = TASKS[name]
    own = {"out": folder, **own, **choices}
    return OPTIONS[task](**({"data": folder.parent / own.pop("data")} if "data" in own else {}), **own)


def weights(folder):
    return read_tensors(folder / "model.safetensors")


def assert_close(found, wanted):
    for name, weight in wanted.items():
        torch.testing.assert_close(
            found[name], weight, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("name", TASKS)
def test_it_learns_on_any_device_what_it_learns_on_the_cpu(here, other_device, request, capsys, name):
    if name != "full":
        request.getfixturevalue("undiagnosed")
    train(config_of(name, here / "cpu"))
    assert "device: cpu, since " in capsys.readouterr().out
    train(config_of(name, here / "other", device=other_device.type))
    assert ", as --device asks" in capsys.readouterr().out
    assert_close(weights(here / "other"), weights(here / "cpu"))
    document = tomllib.loads((here / "other" / "config.toml").read_text())
    used = document["device"]
    assert used.startswith(other_device.type)
    assert document["train"]["device"] == other_device.type
    last = json.loads((here / "other" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["device"] == used == load(here / "other").device
    assert used in (here / "other" / "report.html").read_text()


@pytest.mark.parametrize("name", ["truncated", "streamed", "classify", "text"])
def test_an_update_does_not_wait_for_the_device(here, other_device, name):
    write_series(120)  # three updates within an epoch
    write_text(20)
    config = config_of(name, here / "run", epochs=1)
    task = made_task(config)
    model = network_of(config, task).to(other_device)
    training, waits, done = Training(model, task.updates(model), config), Waits(), []
    with waits:
        training.run(on_update=lambda: done.append(None), should_stop=lambda: len(done) == 3)
    assert len(done) == 3
    assert waits.count == 0


@pytest.mark.usefixtures("undiagnosed")
@pytest.mark.parametrize("name", ["truncated", "classify"])
def test_a_run_continues_on_another_device_and_bit_for_bit_on_its_own(
    here, other_device, monkeypatch, capsys, name
):
    train(config_of(name, here / "cpu"))
    kind, wanted = other_device.type, weights(here / "cpu")
    train(config_of(name, here / "other", device=kind))
    for begun, then in (("cpu", kind), (kind, "cpu"), (kind, None)):
        folder = here / f"from-{begun}-to-{then}"
        config = config_of(name, folder, snapshot=0.0)
        killed_at(monkeypatch, replace(config, device=begun), 2)
        saved, _ = Snapshots(folder / "snapshots").load()
        assert {weight.device.type for weight in saved["training"]["weights"].values()} == {"cpu"}
        train(type(config)(resume=folder, device=then))
        if then is None:
            wanted_here = weights(here / "other")
            assert all(torch.equal(weight, wanted_here[key]) for key, weight in weights(folder).items())
        assert_close(weights(folder), wanted)
        used = tomllib.loads((folder / "config.toml").read_text())["device"]
        assert used.startswith(then or begun)


def test_a_run_whose_device_is_not_here_continues_only_if_asked(here, monkeypatch, capsys):
    killed_at(monkeypatch, config_of("full", here / "run", snapshot=0.0), 2)
    path = here / "run" / "config.toml"
    kept = path.read_text()
    path.write_text(
        kept.replace('device = "cpu"', 'device = "cuda:0"').replace("[train]", '[train]\ndevice = "cuda"')
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        UserError, match=r"cannot be resumed: --device cuda: .*; pass --device cpu, or auto to use"
    ):
        train(OPTIONS["forecast"](resume=here / "run"))
    capsys.readouterr()
    assert train(OPTIONS["forecast"](resume=here / "run", device="auto")) == 0
    assert "device: cpu, since the run was trained on cuda:0 and " in capsys.readouterr().out
    assert tomllib.loads(path.read_text())["device"] == "cpu"


@pytest.mark.usefixtures("undiagnosed")
def test_every_command_takes_the_runs_device_or_the_one_asked_for(here, other_device, capsys):
    kind = other_device.type
    for name in ("full", "truncated", "classify", "text"):
        train(config_of(name, here / name, device=kind))
    capsys.readouterr()
    commands = [
        ["predict", "truncated", "d.csv"],
        ["predict", "classify", "v.ts"],
        ["sample", "text", "--length", "20"],
        ["check", "full", "--steps", "5", "--looks", "3"],
    ]
    for command in commands:
        printed = {}
        for device in (None, "cpu"):
            with pytest.raises(SystemExit) as ended:
                main(command + ([] if device is None else ["--device", device]))
            assert ended.value.code == 0, capsys.readouterr()
            printed[device] = capsys.readouterr()
        used = f"bptt {command[0]}: device: {kind}"
        assert printed[None].err.startswith(used)
        assert "as the run was trained" in printed[None].err
        assert printed["cpu"].err == f"bptt {command[0]}: device: cpu, as --device asks\n"
        assert printed[None].out
    for command in (["diagnose", "full"], ["explain", "full", "--steps", "5"]):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0


def test_a_device_that_is_none_is_refused_before_anything_is_read(here, capsys):
    for command in (["train", "--device", "GPU"], ["predict", "nowhere", "d.csv", "--device", "GPU"]):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 2
        wanted = f"bptt {command[0]}: --device must be auto, cpu, cuda, cuda:N or mps, got GPU\n"
        assert capsys.readouterr().err == wanted


@pytest.mark.usefixtures("undiagnosed")
def test_out_of_memory_is_said_and_the_last_snapshot_stays(here, other_device, monkeypatch, capsys):
    if other_device.type != "emulated":
        pytest.skip("only the emulated device can be made smaller")
    own, calls = Training._update, []

    def limited(self):
        calls.append(None)
        if len(calls) == 3:
            monkeypatch.setattr(torch.emulated, "limit", torch.emulated.memory_allocated())
        return own(self)

    command = [
        "train",
        "d.csv",
        "--target",
        "y",
        "--device",
        "emulated",
        "--epochs",
        "3",
        "--snapshot",
        "0",
        "--out",
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Training, "_update", limited)
        with pytest.raises(SystemExit) as ended:
            main([*command, "run"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    wanted = (
        r"GPU 0 is out of memory: \d+ bytes more were needed, and 0 bytes of \d+ bytes are free; pass a smaller"
    )
    assert re.match(f"bptt train: {wanted}", line), line
    monkeypatch.setattr(torch.emulated, "limit", None)
    assert train(OPTIONS["forecast"](resume=here / "run")) == 0
    with pytest.raises(SystemExit):
        main([*command, "whole"])
    assert all(
        torch.equal(weight, weights(here / "run")[name]) for name, weight in weights(here / "whole").items()
    )
