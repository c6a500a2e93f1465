import contextlib
import errno
import os
import sys
from pathlib import Path

import pytest
import torch

from bptt.errors import UserError
from bptt.training.snapshot import Snapshots
from bptt.training.workers import ALONE, Workers, workers
from disk import FAULTS, Disk, lay_out
from support import run_workers


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


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
    assert names(tmp_path) == ["000000001.safetensors", "000000003.safetensors"], "those that are whole"
    assert store.load() == (3, [])
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"no snapshot in .* can be used"):
        store.load()


def test_a_full_disk_leaves_those_before(tmp_path, monkeypatch):
    store = Snapshots(tmp_path)
    store.save(1)
    store.save(2)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(3)
    assert store.load() == (2, [])
    assert names(tmp_path) == ["000000001.safetensors", "000000002.safetensors"]


def take_four(folder):
    for number in range(1, 5):
        Snapshots(folder / "snapshots").save({"number": number, "w": torch.full((3,), float(number))})


def goes_on(folder, promised, what):
    """The newest of as many snapshots as were promised, or a later one, is whole; another can be taken."""
    store = Snapshots(folder / "snapshots")
    tree, wrong = store.load()
    number = 0 if tree is None else tree["number"]
    assert (number >= promised, wrong) == (True, []), what
    assert len(list(store.folder.glob("*"))) >= min(promised, 2), what
    store.save({"number": number + 1})
    assert store.load() == ({"number": number + 1}, []), what
    assert list(store.folder.glob("*.part")) == [], what


@pytest.fixture
def taking(tmp_path):
    """The operations of four snapshots, and how many of them have to last before each operation."""
    whole = tmp_path / "whole"
    whole.mkdir()
    disk = Disk(whole)
    with disk.watched():
        take_four(whole)
    assert disk.saw_every_write()
    renamed, lasting, promised = 0, 0, []
    for kind, path in disk.operations:
        promised.append(lasting)
        renamed += kind == "replace" and path.parent.name == "snapshots"
        lasting = renamed if kind == "fsync" and path.name == "snapshots" else lasting
    assert lasting == 4
    return disk, [*promised, lasting]


def test_wherever_it_ends_the_last_snapshots_are_there(tmp_path, taking):
    disk, promised = taking
    assert len(disk.crashes) > len(disk.operations)
    for tree, (at, how) in disk.crashes.items():
        folder = tmp_path / f"{at} {how}"
        folder.mkdir()
        lay_out(tree, folder)
        goes_on(folder, promised[at - 1], f"{how} before operation {at}")


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_operation_fails_the_last_snapshots_are_there(tmp_path, taking, name):
    disk, promised = taking
    for at in range(1, len(disk.operations) + 1):
        folder = tmp_path / f"broken-{at}"
        folder.mkdir()
        fault = FAULTS[name](at)
        with Disk(folder, fault).watched(), contextlib.suppress(OSError):
            take_four(folder)
            assert not fault.hit, f"{name} at operation {at} was not told"
        goes_on(folder, promised[at - 1], f"{name} at operation {at}")


def test_only_numbered_names_of_its_own_are_snapshots(tmp_path):
    store = Snapshots(tmp_path / "snapshots")
    store.save(1)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("mine")
    for strange in ("²³.safetensors", "٣.safetensors", "notes.txt"):
        (store.folder / strange).write_text("")
    (store.folder / "000000007.safetensors").symlink_to(tmp_path / "theirs" / "file")
    (store.folder / "000000001.safetensors.part").symlink_to(tmp_path / "theirs")
    (store.folder / "000000009.safetensors").mkdir()
    tree, (said,) = store.load()
    assert (tree, "is a symbolic link" in said) == (1, True)
    store.save(2)
    kept = ["000000001.safetensors", "000000008.safetensors", "000000009.safetensors", "notes.txt"]
    assert names(store.folder) == sorted([*kept, "²³.safetensors", "٣.safetensors"])
    assert (tmp_path / "theirs" / "file").read_text() == "mine"
    (tmp_path / "link").symlink_to(store.folder)
    with pytest.raises(UserError, match="is a symbolic link, and a run writes into its own folder"):
        Snapshots(tmp_path / "link")


def test_a_run_folder_that_was_removed_is_not_made_again(tmp_path):
    store = Snapshots(tmp_path / "run" / "snapshots")
    with pytest.raises(FileNotFoundError, match="run"):
        store.save(1)
    assert list(tmp_path.iterdir()) == []


WORKERS, ROWS = 3, 7
STATE = torch.arange(2.0 * ROWS * 4).view(2, ROWS, 4)


def tree_of(team):
    """What a worker has: what all have, its part of a state, and what is its own."""
    own = STATE[:, team.share(ROWS)]
    return {
        "weights": {"w": torch.arange(6.0).view(2, 3).T, "step": torch.tensor(3.0, dtype=torch.float64)},
        "state": team.parts((own, [None, own + 100]), 1),
        "places": [torch.arange(5), torch.zeros(0, dtype=torch.uint8)],
        "rank": team.rank,
    }


def one_of(folder):
    """What each of several processes does."""
    with workers() as team:
        store = Snapshots(folder / "snapshots", team)
        for _ in range(3):
            store.save(tree_of(team))
        if team.rank == 0:
            os.fsync = full
        with pytest.raises(OSError, match=r"No space left on device: '.*000000004\.safetensors\.part'"):
            store.save(tree_of(team))
        found, wrong = store.load()
        assert wrong == []
        assert torch.equal(team.own(found["state"])[0], STATE[:, team.share(ROWS)])


def test_several_workers_write_what_one_writes_and_any_number_reads_it(tmp_path):
    run_workers(__file__, tmp_path, WORKERS)
    store = Snapshots(tmp_path / "snapshots")
    assert names(store.folder) == ["000000002.safetensors", "000000003.safetensors"]
    Snapshots(tmp_path / "one").save(tree_of(ALONE))
    wanted = (tmp_path / "one" / "000000001.safetensors").read_bytes()
    assert (store.folder / "000000003.safetensors").read_bytes() == wanted, "what differs is the first worker's"
    found, _ = store.load()
    for size in (1, 2, 3, 5):
        for team in (Workers(rank, size) for rank in range(size)):
            state, (nothing, other) = team.own(found["state"])
            assert torch.equal(state, STATE[:, team.share(ROWS)])
            assert torch.equal(other, state + 100)
            assert nothing is None


if __name__ == "__main__":
    one_of(Path(sys.argv[1]))
