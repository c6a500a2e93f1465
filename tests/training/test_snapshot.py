import errno
import os

import pytest
import torch

from bptt.training.errors import UserError
from bptt.training.snapshot import Snapshots


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_and_the_newest_comes_back(tmp_path):
    store = Snapshots(tmp_path / "snapshots")
    assert store.load() == (None, [])
    for number in range(12):
        store.save({"number": number, "w": torch.full((3,), float(number))})
    assert names(store.folder) == ["000000011.safetensors", "000000012.safetensors"]
    tree, wrong = store.load()
    assert tree["number"] == 11
    assert wrong == []


def test_where_the_newest_is_damaged_the_one_before_is_used(tmp_path):
    store = Snapshots(tmp_path)
    store.save(1)
    store.save(2)
    newest = tmp_path / "000000002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    tree, (said,) = store.load()
    assert tree == 1
    assert "000000002.safetensors is damaged" in said
    store.save(3)
    assert store.load() == (3, [])
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"no snapshot in .* can be used"):
        store.load()


def test_a_full_disk_leaves_those_before(tmp_path, monkeypatch):
    store = Snapshots(tmp_path)
    store.save(1)
    store.save(2)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(3)
    assert store.load() == (2, [])
    assert names(tmp_path) == ["000000001.safetensors", "000000002.safetensors"]
