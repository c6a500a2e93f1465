import pytest

from bptt.commands.writing import check_new, write_text
from bptt.errors import UserError


def test_a_file_that_exists_is_refused_by_its_name_and_option(tmp_path):
    check_new(None, "--out")
    check_new(tmp_path / "new", "--out")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for there in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match=f"{there} exists already.*another --out"):
            check_new(there, "--out")


def test_a_file_that_cannot_be_made_is_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="there is no folder"):
        check_new(tmp_path / "no" / "a", "--out")
    monkeypatch.setattr("os.access", lambda *_: False)  # whoever runs this may write everywhere
    with pytest.raises(UserError, match="no files can be made in"):
        check_new(tmp_path / "a", "--out")


def test_text_is_written_or_the_reason_said(tmp_path):
    write_text(tmp_path / "a", "ä\n")
    assert (tmp_path / "a").read_bytes() == "ä\n".encode()
    with pytest.raises(UserError, match="cannot be written: No such file"):
        write_text(tmp_path / "no" / "a", "")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="cannot be written: File exists"):
        write_text(tmp_path / "link", "")
    assert (tmp_path / "a").read_bytes() == "ä\n".encode()
