"""A run is trained, resumed and used on Windows, or where the system is as Windows is."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

import bptt
from bptt.errors import UserError
from bptt.files import read_regular
from bptt.runs.journal import Journal


@pytest.fixture
def windows(monkeypatch):
    """No flags of POSIX and no fcntl, folders are not opened, and open files neither renamed nor removed."""
    if sys.platform == "win32":
        return
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not say which files are open")
    import fcntl

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def is_open(path):
        numbers = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return os.path.realpath(path) in [os.path.realpath(number) for number in numbers]

    def guarded(act, *places):
        def acts(*paths, **options):
            return refuse(paths[0]) if any(is_open(paths[at]) for at in places) else act(*paths, **options)

        return acts

    def locking(descriptor, *_):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse(descriptor)

    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, *how: refuse(path) if os.path.isdir(path) else opened(path, *how))
    monkeypatch.setattr(os, "replace", guarded(os.replace, 0, 1))
    monkeypatch.setattr(os, "unlink", guarded(os.unlink, 0))
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "sysconf"):
        monkeypatch.delattr(os, name)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    monkeypatch.setattr(sys, "platform", "win32")


def test_a_run_is_trained_resumed_and_used(windows, unreported, tmp_path):
    table = {"y": [float(i % 7) for i in range(100)]}
    trained = bptt.train(table, target="y", epochs=1, snapshot=0, out=tmp_path / "run")
    resumed = bptt.train(table, resume=tmp_path / "run")
    assert resumed.metrics == trained.metrics
    assert bptt.load(tmp_path / "run").predict(table).equals(trained.predict(table))


def test_one_process_at_a_time(windows, tmp_path):
    with Journal(tmp_path), pytest.raises(UserError, match="is being written by another process"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


def test_no_link_is_read(windows, tmp_path):
    (tmp_path / "link").symlink_to(__file__)
    with pytest.raises(UserError, match="is a symbolic link"):
        read_regular(tmp_path / "link")
