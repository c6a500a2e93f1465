import os
from pathlib import Path

import pytest

from bptt.errors import UserError
from bptt.training.data.text_files import OTHERS, check_file, read_utf8


def test_line_ends_and_a_byte_order_mark_are_no_part_of_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9e\n")
    assert read_utf8(tmp_path / "a.txt") == "one\ntwo\nthrée\n"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        *((begin + b"and more", what.split(";")[0]) for begin, what in OTHERS.items()),
        ("one".encode("utf-16"), "not UTF-8 but utf-16; convert it with: iconv -f utf-16"),
        ("one".encode("utf-32"), "not UTF-8 but utf-32"),
        ("one".encode("utf-16-le"), "NUL character at offset 1"),
        (b"\xef\xbb\xbfab\xe9", "byte 0xe9 at offset 5; if it is latin-1"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path, raw, words):
    path = tmp_path / "a.csv"
    path.write_bytes(raw)
    with pytest.raises(UserError) as error:
        read_utf8(path, "; or not")
    assert words in str(error.value)
    assert str(error.value).endswith("; or not")
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="is a folder; a table is needed"):
        check_file(tmp_path, "a table")
    with pytest.raises(UserError, match="there is no such file"):
        check_file(tmp_path / "a", "a table")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is no regular file; a table is needed"):
        check_file(tmp_path / "pipe", "a table")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"a: there is no such file in {tmp_path}, from where"):
        check_file(Path("a"), "a table")
    with pytest.raises(UserError, match="could not be read: Is a directory"):
        read_utf8(tmp_path)
