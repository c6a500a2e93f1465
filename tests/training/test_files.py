import errno
import os

import pytest

from bptt.training import files
from bptt.training.errors import UserError
from bptt.training.files import read_regular, replacing, write_whole


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
