import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from bptt.errors import UserError
from bptt.runs.journal import LOCK, Journal, owned
from bptt.runs.run import load
from bptt.training.config_file import config_of
from bptt.training.loop import Epoch
from bptt.training.network import build
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.forecast import sunspot_forecast
from bptt.training.workers import Workers
from disk import FAULTS, Disk

EPOCH = Epoch(1, 0.5, None, 0.1, 2.0, 1.0)


def test_what_a_run_writes(tmp_path):
    config = SunspotOptions(epochs=2)
    with Journal(tmp_path) as journal:
        journal.config(config_of(config, sunspot_forecast(config), {}))
        journal.begin([EPOCH])
        journal.epoch(EPOCH._replace(epoch=2))
        journal.snapshot({"a": 1})
        journal.model(build(config, 2))
        assert not journal.is_finished()
        journal.line({"event": "test", "interrupted": False})
        assert journal.is_finished()
        assert journal.last_snapshot() == ({"a": 1}, [])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [1, 2, None]
    assert load(tmp_path).config == config


def test_of_several_one_writes(tmp_path):
    with Journal(tmp_path, Workers(1, 2)) as journal:
        config = SunspotOptions()
        journal.config(config_of(config, sunspot_forecast(config), {}))
        journal.begin([])
        journal.epoch(EPOCH)
        journal.model(build(config, 2))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"worker 1 sees no .*; let the run be on a disk that all workers share"):
        Journal(tmp_path / "none", Workers(1, 2))


def test_one_process_at_a_time_and_who_it_was(tmp_path):
    with Journal(tmp_path, owner="me"):
        with pytest.raises(UserError, match="is being written by another process"):
            Journal(tmp_path, owner="you")
        assert (tmp_path / LOCK).read_text() == "me"
    assert owned([tmp_path / "none", tmp_path], "me") == tmp_path
    assert owned([tmp_path], "you") is None


def test_a_lock_that_cannot_be_had_is_told_from_one_that_is_held(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="No locks available") as error:
        Journal(tmp_path)
    assert error.value.filename == str(tmp_path / LOCK)


def test_metrics_that_cannot_be_kept_name_their_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(tmp_path)
    journal.begin([EPOCH])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        journal.__exit__(None)
    assert error.value.filename == str(tmp_path / "metrics.jsonl")


def a_journal(folder):
    with Journal(folder, owner="me") as journal:
        journal.begin([EPOCH])
        journal.snapshot({"a": 1})
        journal.epoch(EPOCH._replace(epoch=2))


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_cannot_be_written_is_named(tmp_path, name):
    disk = Disk(tmp_path)
    with disk.watched():
        a_journal(tmp_path)
    for at in range(1, len(disk.operations) + 1):
        folder = tmp_path / f"broken-{at}"
        folder.mkdir()
        broken = Disk(folder, FAULTS[name](at))
        with broken.watched(), pytest.raises(OSError, match=r"No space|Input/output") as error:
            a_journal(folder)
        assert folder in Path(error.value.filename, "it").parents, disk.operations[at - 1]


@pytest.mark.parametrize("name", ["metrics.jsonl", "report.html.part", "forecast.csv", ".lock", "snapshots/1"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_run_is_not_begun_where_something_else_stands_in_a_files_place(tmp_path, name, kind):
    (tmp_path / "run" / "snapshots").mkdir(parents=True)
    (tmp_path / "theirs").write_text("mine")
    path = tmp_path / "run" / name
    path.symlink_to(tmp_path / "theirs") if kind == "link" else os.mkfifo(path)
    with pytest.raises(UserError, match=f"{name} is a .*remove it"):
        Journal(tmp_path / "run")
    assert (tmp_path / "theirs").read_text() == "mine"


@pytest.mark.parametrize("last", ["5", "[]", "null", '"test"', "{}", "[" * 20_000, '{"event": "test"}', "\xff"])
def test_a_last_line_that_is_none_of_ours_finishes_nothing(tmp_path, last):
    (tmp_path / "metrics.jsonl").write_text(last, encoding="latin-1")
    with Journal(tmp_path) as journal:
        assert not journal.is_finished()
