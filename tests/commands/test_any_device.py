"""Training and the other commands on a device that is not the CPU, and from one device to another."""

import contextlib
import functools
import io
import json
import math
import re
import tomllib
from dataclasses import replace

import polars as pl
import pytest
import torch

from bptt.cli import main
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs import training_run
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
    monkeypatch.setattr(text, "WRITTEN", 10)
    write_data(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a task's run on a device, None for the default one, and its output; each is trained once."""
    place = tmp_path_factory.mktemp("trained")
    write_data(place)

    @functools.cache
    def run(name, device):
        folder, printed = place / f"{name}-{device}", io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setattr(text, "WRITTEN", 10)
            if name != "full":
                patch.setattr(training_run, "diagnosis_of", lambda *run, **choices: None)
            train(config_of(name, folder, device=device))
        return folder, printed.getvalue()

    return run


def write_data(folder):
    write_series(folder, 40)
    write_text(folder, 6)
    lines = [f"{i % 2},{i % 2 + 1},{i}:{i % 2}" for i in range(20)]
    (folder / "v.ts").write_text("@problemName p\n@classLabel true 0 1\n@data\n" + "\n".join(lines) + "\n")


def write_series(folder, rows):
    table = [("ab"[i % 2], math.sin(i / 3), i % 7) for i in range(rows)]
    pl.DataFrame(table, schema=["s", "y", "a"], orient="row").write_csv(folder / "d.csv")


def write_text(folder, sentences):
    (folder / "cats.txt").write_text("the cat sat on the mat. " * sentences)


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
def test_it_learns_on_any_device_what_it_learns_on_the_cpu(trained, other_device, name):
    cpu, printed = trained(name, None)
    assert "device: cpu, since " in printed
    other, printed = trained(name, other_device.type)
    assert ", as --device asks" in printed
    assert_close(weights(other), weights(cpu))
    document = tomllib.loads((other / "config.toml").read_text())
    used = document["device"]
    assert used.startswith(other_device.type)
    assert document["train"]["device"] == other_device.type
    last = json.loads((other / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["device"] == used == load(other).device
    assert used in (other / "report.html").read_text()


@pytest.mark.parametrize("name", ["truncated", "streamed", "classify", "text"])
def test_an_update_does_not_wait_for_the_device(here, other_device, name):
    write_series(here, 120)  # three updates within an epoch
    write_text(here, 20)
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
    here, trained, other_device, monkeypatch, name
):
    kind = other_device.type
    wanted, wanted_there = (weights(trained(name, device)[0]) for device in (None, kind))
    for begun, then in (("cpu", kind), (kind, "cpu"), (kind, None)):
        folder = here / f"from-{begun}-to-{then}"
        config = config_of(name, folder, snapshot=0.0)
        killed_at(monkeypatch, replace(config, device=begun), 2)
        saved, _ = Snapshots(folder / "snapshots").load()
        assert {weight.device.type for weight in saved["training"]["weights"].values()} == {"cpu"}
        train(type(config)(resume=folder, device=then))
        if then is None:
            assert all(torch.equal(weight, wanted_there[key]) for key, weight in weights(folder).items())
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


def test_every_command_takes_the_runs_device_or_the_one_asked_for(here, trained, other_device, capsys):
    kind = other_device.type
    run = {name: str(trained(name, kind)[0]) for name in ("full", "truncated", "classify", "text")}
    commands = [
        ["predict", run["truncated"], "d.csv"],
        ["predict", run["classify"], "v.ts"],
        ["sample", run["text"], "--length", "20"],
        ["check", run["full"], "--steps", "5", "--looks", "3"],
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
    for command in (["diagnose", run["full"]], ["explain", run["full"], "--steps", "5"]):
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
def test_out_of_memory_is_said_and_the_last_snapshot_stays(here, trained, other_device, monkeypatch, capsys):
    if other_device.type != "emulated":
        pytest.skip("only the emulated device can be made smaller")
    own, calls = Training._update, []

    def limited(self):
        calls.append(None)
        if len(calls) == 3:
            monkeypatch.setattr(torch.emulated, "limit", torch.emulated.memory_allocated())
        return own(self)

    command = "train d.csv --target y --epochs 3 --noise 0.1 --validation 0.2 --snapshot 0 --device emulated"
    with monkeypatch.context() as patched:
        patched.setattr(Training, "_update", limited)
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--out", "run"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    wanted = (
        r"GPU 0 is out of memory: \d+ bytes more were needed, and 0 bytes of \d+ bytes are free; pass a smaller"
    )
    assert re.match(f"bptt train: {wanted}", line), line
    monkeypatch.setattr(torch.emulated, "limit", None)
    assert train(OPTIONS["forecast"](resume=here / "run")) == 0
    whole = weights(trained("full", "emulated")[0])
    assert all(torch.equal(weight, whole[name]) for name, weight in weights(here / "run").items())
