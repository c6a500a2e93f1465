import errno
import os

import pytest

from bptt import files
from bptt.errors import UserError
from bptt.files import appending, creating, read_regular, replacing, write_whole


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("operation", ["fsync", "replace", "open"])
def test_a_failure_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch, operation):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(files if operation == "open" else os, operation, full, raising=False)
        with pytest.raises(OSError, match="No space left") as caught:
            write_whole(path, b"new")
    assert str(caught.value.filename) == f"{path}.part"
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_an_error_while_writing_leaves_the_old_one(tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def half_written():
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "a") == b"x"
    for name, words in (
        ("link", "is a symbolic link"),
        ("pipe", "not a regular file"),
        ("none", "is missing"),
        (".", "not a regular file"),
    ):
        with pytest.raises(UserError, match=words):
            read_regular(tmp_path / name)


@pytest.fixture
def theirs(tmp_path):
    """A file of the user's, which no link to it may change."""
    path = tmp_path / "theirs"
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"


def placed(kind, path, theirs):
    """What is no file of ours."""
    {"link": path.symlink_to, "folder": lambda _: path.mkdir(), "pipe": lambda _: os.mkfifo(path)}[kind](theirs)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
@pytest.mark.parametrize("name", ["a", "a.part"])
def test_what_is_no_regular_file_is_not_written_through(tmp_path, theirs, kind, name):
    placed(kind, tmp_path / name, theirs)
    with pytest.raises(UserError, match=rf"{name} is a .*remove it"):
        write_whole(tmp_path / "a", b"run")
    with pytest.raises(UserError, match="remove it"), appending(tmp_path / name):
        pass
    with pytest.raises(FileExistsError), creating(tmp_path / name):
        pass


def test_a_hard_link_keeps_what_the_other_name_has(tmp_path, theirs):
    (tmp_path / "a").hardlink_to(theirs)
    (tmp_path / "a.part").hardlink_to(theirs)
    with pytest.raises(UserError, match="is a hard link"), appending(tmp_path / "a"):
        pass
    write_whole(tmp_path / "a", b"run")
    assert (tmp_path / "a").read_bytes() == b"run"


def test_half_of_a_new_file_does_not_stay(tmp_path):
    def half_written():
        with creating(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_read_than_is_allowed(theirs):
    assert read_regular(theirs, most=4) == b"mine"
    with pytest.raises(UserError, match="has 4 bytes; at most 3 are read"):
        read_regular(theirs, most=3)
