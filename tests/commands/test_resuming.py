"""A run that was killed, interrupted or restarted continues to the same end; one that cannot is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bptt.commands.launch import launch_id
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.journal import Journal
from bptt.training.loop import Training
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.options.text import TextOptions
from bptt.training.snapshot import Snapshots
from killing import Killed, killed_at
from small_data import a_table, a_text, contents, vowels


def lasting(folder):
    """What a run leaves that no clock decides."""
    files = contents(folder)
    lines = [json.loads(line) for line in files[Path("metrics.jsonl")].splitlines()]
    lines[-1].pop("seconds")
    report = files[Path("report.html")].split(b"All options")[0]
    return lines, files[Path("model.safetensors")], files[Path("forecast.csv")], report.replace(b"seen", b"run")


WAYS = {
    "full": {"noise": 0.1, "validation": 0.2},
    "checkpointed": {"reach": "checkpointed", "memory": "200kB", "cell": "gru"},
    "truncated": {"reach": "truncated", "k1": 30, "k2": 70, "noise": 0.1, "validation": 0.1},
    "streamed": {"reach": "truncated", "k1": 30, "k2": 70, "batch": 2, "memory": "1kB", "noise": 0.1},
    "beside a linear part": {"hidden": 4},
}


# After so many updates; a truncated epoch has several.
KILLED = {
    "full": (0, 1, 3),
    "checkpointed": (1,),
    "truncated": (0, 1, 7),
    "streamed": (1, 7),
    "beside a linear part": (3,),
}


@pytest.mark.parametrize(
    ("way", "snapshot"),
    [
        *((way, 0.0) for way in WAYS),
        ("full", 1000.0),
        *(pytest.param(way, 1000.0, marks=pytest.mark.slow) for way in WAYS if way != "full"),
    ],
)
def test_a_run_goes_on_bit_for_bit_wherever_it_ended(here, monkeypatch, request, capsys, way, snapshot):
    if way != "full":
        request.getfixturevalue("undiagnosed")
    choices, options = {"epochs": 4, "snapshot": snapshot, **WAYS[way]}, SunspotOptions
    if way in ("streamed", "beside a linear part"):
        choices |= {"data": a_table(here / "d.csv", 300), "target": "wind"}
        options = ForecastOptions
    train(options(out=here / "seen", **choices))
    wanted = lasting(here / "seen")
    for update in KILLED[way]:
        folder = here / f"killed-{update}" / "seen"
        killed_at(monkeypatch, options(out=folder, **choices), update)
        assert train(ForecastOptions(resume=folder)) == 0
        assert lasting(folder) == wanted, f"killed after {update} updates"
    capsys.readouterr()
    assert train(ForecastOptions(resume=folder)) == 0
    assert "is finished: there is nothing left to continue" in capsys.readouterr().out
    assert lasting(folder) == wanted


@pytest.mark.usefixtures("unreported")
def test_a_damaged_snapshot_is_said_and_the_one_before_it_used(here, monkeypatch, capsys):
    train(SunspotOptions(epochs=4, out=here / "seen"))
    folder = here / "other" / "seen"
    killed_at(monkeypatch, SunspotOptions(epochs=4, snapshot=0, out=folder), 3)
    newest = sorted((folder / "snapshots").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    capsys.readouterr()
    assert train(ForecastOptions(resume=folder)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "is damaged" in shown
    assert "the snapshot before it is used" in shown
    assert lasting(folder)[0] == lasting(here / "seen")[0]


@pytest.mark.usefixtures("unreported")
def test_a_run_killed_before_its_first_snapshot_begins_anew(here, monkeypatch):
    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Snapshots, "save", killed)
        with pytest.raises(Killed):
            train(SunspotOptions(epochs=2, out=here / "run"))
    assert train(ForecastOptions(resume=here / "run")) == 0
    assert len((here / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_trained_run_without_its_snapshots_is_refused_and_left_as_it_is(here, monkeypatch):
    killed_at(monkeypatch, SunspotOptions(epochs=4, snapshot=0, out=here / "run"), 3)
    shutil.rmtree(here / "run" / "snapshots")
    before = contents(here / "run")
    assert before[Path("metrics.jsonl")] or Path("model.safetensors") in before
    with pytest.raises(UserError, match=r"has been trained, but there is no snapshot in .*begin a new run"):
        train(ForecastOptions(resume=here / "run"))
    assert contents(here / "run") == before


def test_a_file_in_the_place_of_the_snapshots_is_refused_before_anything_changes(here, monkeypatch):
    killed_at(monkeypatch, SunspotOptions(epochs=4, snapshot=0, out=here / "run"), 3)
    shutil.rmtree(here / "run" / "snapshots")
    (here / "run" / "snapshots").write_text("mine")
    before = contents(here / "run")
    with pytest.raises(UserError, match="snapshots is no folder, where a folder is needed; remove it"):
        train(ForecastOptions(resume=here / "run"))
    assert contents(here / "run") == before


def test_weights_alone_show_that_a_run_was_trained(tmp_path):
    with Journal(tmp_path) as journal:
        journal.check_untrained()
        (tmp_path / "model.safetensors").touch()
        with pytest.raises(UserError, match="has been trained"):
            journal.check_untrained()


@pytest.mark.usefixtures("unreported")
def test_what_cannot_be_gone_on_with_is_refused(here):
    with pytest.raises(UserError, match="there is no such folder"):
        train(ForecastOptions(resume=here / "none"))
    data = a_table(here / "d.csv")
    config = ForecastOptions(data=data, target="wind", epochs=2, out=here / "run")
    train(config)
    with pytest.raises(UserError, match="--epochs was given as well"):
        train(ForecastOptions(resume=here / "run", epochs=5))
    (here / "run" / "metrics.jsonl").unlink()
    a_table(data, 90)
    with pytest.raises(UserError, match=r"d\.csv has changed since"):
        train(ForecastOptions(resume=here / "run"))
    (here / "run" / "config.toml").unlink()
    with pytest.raises(UserError, match=r"ended before its config\.toml was written.*begin a new run"):
        train(ForecastOptions(resume=here / "run"))


@pytest.mark.usefixtures("unreported")
def test_workers_started_again_before_there_was_a_config_begin_anew(here, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    folder = here / "run"
    folder.mkdir()
    (folder / ".lock").write_text(launch_id())
    assert train(SunspotOptions(epochs=1, out=folder)) == 0
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize("task", ["forecast", "text"])
def test_workers_started_again_go_on_where_the_last_snapshot_stands(here, monkeypatch, task):
    own = {"out": here / "run"} if task == "forecast" else {"data": a_text(here / "cats.txt"), "hidden": 6}
    config = (SunspotOptions if task == "forecast" else TextOptions)(epochs=3, snapshot=0.0, **own)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    killed_at(monkeypatch, config, 2)
    [folder] = [*here.glob("run"), *here.glob("runs/*")]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train(config) == 0
    assert [*here.glob("run"), *here.glob("runs/*")] == [folder]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 4
    assert Snapshots(folder / "snapshots").load()[0]["training"]["epochs"][-1][0] == 3


@pytest.mark.usefixtures("unreported")
def test_a_second_process_in_the_same_folder_is_refused(here):
    train(SunspotOptions(epochs=1, out=here / "run"))
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(here / "run" / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="is being written by another process"):
            train(ForecastOptions(resume=here / "run"))
        other.communicate(b"\n")


@pytest.mark.usefixtures("unreported")
def test_interrupted_it_saves_and_goes_on_to_the_same_end(here, monkeypatch):
    train(SunspotOptions(epochs=6, out=here / "seen", validation=0.2))
    own, calls = Training._finish_epoch, []

    def interrupting(self):
        own(self)
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_finish_epoch", interrupting)
        folder = here / "other" / "seen"
        assert train(SunspotOptions(epochs=6, out=folder, validation=0.2)) == 130
    assert (folder / "report.html").exists()
    assert train(ForecastOptions(resume=folder)) == 0
    assert lasting(folder)[:3] == lasting(here / "seen")[:3]


@pytest.mark.usefixtures("unreported")
def test_a_run_that_chose_its_options_goes_on_with_them_bit_for_bit(here, monkeypatch, capsys):
    choices = {"data": vowels(here / "v.ts"), "epochs": 3, "hidden": 3, "batch": 8}
    train(ClassifyOptions(out=here / "seen", **choices))
    folder = here / "killed" / "seen"
    tried = 3 * 5 * 3 * 3  # calls for three read-outs, five folds and three epochs, of two updates and an end
    killed_at(monkeypatch, ClassifyOptions(out=folder, snapshot=0, **choices), tried + 4)
    capsys.readouterr()
    assert train(ClassifyOptions(resume=folder)) == 0
    assert "cross-validation" not in capsys.readouterr().out
    for name in ("model.safetensors", "predictions.csv"):
        assert (folder / name).read_bytes() == (here / "seen" / name).read_bytes()


def test_the_samples_of_a_text_are_kept_where_its_run_goes_on(here, monkeypatch, undiagnosed):
    folder = here / "run"
    choices = {"data": a_text(here / "t.txt"), "epochs": 4, "hidden": 3, "batch": 2, "k1": 250}
    killed_at(monkeypatch, TextOptions(out=folder, snapshot=0, **choices), 7)
    before = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert 0 < len(before) < 4, "it ended between the first and the last sample"
    assert train(TextOptions(resume=folder)) == 0
    data = (folder / "report.html").read_text().partition('id="data">')[2].partition("</script>")[0]
    samples = json.loads(data)["run"]["samples"]
    assert [sample["epoch"] for sample in samples] == [1, 2, 4]
    assert samples[0]["text"] == before[0]["sample"]
