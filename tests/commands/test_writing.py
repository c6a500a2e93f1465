import pytest

from bptt.commands.writing import check_new, write_text
from bptt.training.errors import UserError


def test_a_file_that_exists_is_refused_by_its_name_and_option(tmp_path):
    check_new(None, "--out")
    check_new(tmp_path / "new", "--out")
    with pytest.raises(UserError, match=f"{tmp_path} exists already.*another --out"):
        check_new(tmp_path, "--out")


def test_text_is_written_or_the_reason_said(tmp_path):
    write_text(tmp_path / "a", "ä\n")
    assert (tmp_path / "a").read_bytes() == "ä\n".encode()
    with pytest.raises(UserError, match="cannot be written: No such file"):
        write_text(tmp_path / "no" / "a", "")
