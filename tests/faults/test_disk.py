"""The disk that breaks catches those who write carelessly, and lets the careful pass."""

import errno
import os
import signal

import pytest

from bptt.files import make_folder, sync_folder, write_whole
from disk import CRASHES, FAULTS, Disk, kill, lay_out


def contents(trees, path):
    """The content of a path in every tree; None where it is missing."""
    return {dict(tree).get(path) for tree in trees}


def after(disk):
    """The contents that crashes leave now."""
    return [disk.left(how) for how in CRASHES]


def operations(disk):
    return [f"{kind} {path.name}" for kind, path in disk.operations]


def in_place(path, content):
    path.write_bytes(content)


def without_fsync(path, content):
    aside = path.with_name("aside")
    aside.write_bytes(content)
    os.replace(aside, path)
    sync_folder(path.parent)


def without_its_folder(path, content):
    aside = path.with_name("aside")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def after_the_old_one_has_gone(path, content):
    path.unlink()
    write_whole(path, content)


@pytest.fixture
def written(tmp_path):
    """A disk on which a file that held "old" was given other content."""

    def rewrite(write):
        path = tmp_path / "a"
        path.write_bytes(b"old")
        disk = Disk(tmp_path)
        with disk.watched():
            write(path, b"a new one")
        assert path.read_bytes() == b"a new one"
        assert disk.saw_every_write()
        return disk

    return rewrite


def test_a_careful_writer_leaves_the_old_or_the_new_and_at_last_the_new(written):
    disk = written(write_whole)
    assert contents(disk.crashes, "a") == {b"old", b"a new one"}
    assert contents(after(disk), "a") == {b"a new one"}
    steps = ["open a.part", "write a.part", "write a.part", "fsync a.part", "replace a.part"]
    assert operations(disk) == [*steps, f"fsync {disk.folder.name}"]


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (in_place, {b"", b"a ne", b"\0\0\0\0"}),
        (without_fsync, {b"", b"a \0\0w ", bytes(9)}),
        (after_the_old_one_has_gone, {None}),
    ],
)
def test_a_careless_writer_is_caught(written, write, left):
    assert left <= contents(written(write).crashes, "a")


def test_a_writer_that_forgets_the_folder_is_caught(written):
    disk = written(without_its_folder)
    assert contents(disk.crashes, "a") == {b"old", b"a new one"}
    assert contents(after(disk), "a") == {b"old", b"a new one"}


def test_a_rename_lasts_or_not_until_the_folder_is_synced(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    disk = Disk(tmp_path)
    with disk.watched():
        (tmp_path / "a").rename(tmp_path / "b")
        before = after(disk)
        sync_folder(tmp_path)
    assert contents(before, "a") == contents(before, "b") == {b"x", None}
    assert contents(after(disk), "b") == {b"x"}


def test_what_is_added_lasts_once_it_is_synced(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one ")
    disk = Disk(tmp_path)
    with disk.watched(), path.open("a", encoding="utf-8") as file:
        file.write("two ")
        assert contents(after(disk), "a") == {b"one "}
        file.flush()
        assert {b"one ", b"one t\0o", b"one \0\0\0\0", b"one two "} <= contents(after(disk), "a")
        os.fsync(file.fileno())
        assert contents(after(disk), "a") == {b"one two "}
        file.truncate(0)
        assert contents(after(disk), "a") == {b"one two ", b""}
    assert operations(disk) == ["open a", "write a", "write a", "fsync a", "truncate a"]
    assert disk.saw_every_write()


def test_a_folder_lasts_once_the_one_above_is_synced(tmp_path):
    disk = Disk(tmp_path)
    with disk.watched():
        (tmp_path / "a").mkdir()
        write_whole(tmp_path / "a/file", b"x")
        assert contents(after(disk), "a/file") == {b"x", None}
        make_folder(tmp_path / "b/c")
        write_whole(tmp_path / "b/c/file", b"x")
    assert contents(after(disk), "b/c/file") == {b"x"}
    assert contents(after(disk), "a/file") == {b"x"}, "the same folder was synced for b"


def test_a_file_deleted_leaves_nothing_to_one_that_takes_its_place(tmp_path):
    write_whole(tmp_path / "a", b"old")
    disk = Disk(tmp_path)
    with disk.watched():
        (tmp_path / "a").unlink()
        sync_folder(tmp_path)
        (tmp_path / "b").write_bytes(b"")
        sync_folder(tmp_path)
    assert contents(after(disk), "a") == {None}
    assert contents(after(disk), "b") == {b""}


def test_what_crashes_leave_can_be_laid_out(tmp_path):
    (tmp_path / "one").mkdir()
    disk = Disk(tmp_path / "one")
    with disk.watched():
        make_folder(tmp_path / "one/a")
        write_whole(tmp_path / "one/a/b", b"x")
    (tmp_path / "two").mkdir()
    lay_out(disk.left("power lost, with names and bytes"), tmp_path / "two")
    assert (tmp_path / "two/a/b").read_bytes() == b"x"


def test_a_write_that_goes_unseen_is_noticed(tmp_path):
    disk = Disk(tmp_path)
    with disk.watched():
        descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"x")
        os.close(descriptor)
    assert not disk.saw_every_write()


def test_what_is_elsewhere_is_let_alone(tmp_path):
    (tmp_path / "watched").mkdir()
    disk = Disk(tmp_path / "watched", FAULTS["EIO"](1))
    with disk.watched():
        make_folder(tmp_path / "elsewhere")
        write_whole(tmp_path / "elsewhere/a", b"x")
        (tmp_path / "elsewhere/a").unlink()
    assert disk.operations == []


def test_a_full_disk_stays_full_and_lets_names_go(tmp_path):
    fault = FAULTS["ENOSPC"](3)
    with Disk(tmp_path, fault).watched():
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "a").write_bytes(b"four")
        assert fault.hit
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "b").write_bytes(b"four")
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "c").mkdir()
        (tmp_path / "a").rename(tmp_path / "d")
        (tmp_path / "b").unlink()
    assert (tmp_path / "d").read_bytes() == b"fo", "half of it, as it came in the middle of the write"


def test_an_error_comes_once_or_for_good_on_that_file(tmp_path):
    for name, again in (("EIO", False), ("EIO from then on", True)):
        disk = Disk(tmp_path, FAULTS[name](4))
        with disk.watched():
            with pytest.raises(OSError, match="Input/output error") as caught:
                write_whole(tmp_path / "a", b"four")
            assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "a.part"))
            assert (tmp_path / "a.part").exists() == again
            if again:
                with pytest.raises(OSError, match="Input/output error"):
                    write_whole(tmp_path / "a", b"four")
            write_whole(tmp_path / "b", b"four")
        assert [kind for kind, _ in disk.operations[:4]] == ["open", "write", "write", "fsync"]


def test_a_kill_is_one_and_comes_in_the_middle_of_a_write(tmp_path, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *what: killed.append((what, (tmp_path / "a").read_bytes())))
    with Disk(tmp_path, kill(3)).watched():
        (tmp_path / "a").write_bytes(b"four")
    assert killed == [((os.getpid(), signal.SIGKILL), b"fo")]
