"""Streams that are closed, hold few characters, or obey control characters."""

import io
import os
import subprocess
import sys
import warnings

import pytest

from bptt.commands.streams import Exact, checked, complain, open_all, say, warnings_printed
from bptt.errors import UserError


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding, is_terminal=False):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    @property
    def held(self):
        self.flush()
        return self.buffer.getvalue()


@pytest.fixture
def output(monkeypatch):
    def replaced(*about):
        monkeypatch.setattr(sys, "stdout", Terminal(*about))
        return sys.stdout

    return replaced


def test_words_are_spelled_where_an_encoding_has_no_letters_for_them(output):
    shown = output("ascii")
    open_all()
    say("∂E/∂W → 1 ▇", "日")
    assert shown.held == b"dE/dW -> 1 %\n\n?\n"


def test_errors_are_spelled_too(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal("ascii"))
    open_all()
    complain("bptt train", "a…z is 3 × 4")
    assert sys.stderr.held == b"bptt train: a...z is 3 x 4\n"


def test_names_in_words_do_nothing_to_a_terminal(output):
    shown = output("utf-8")
    say("größe \x1b[2J", "next")
    assert shown.held.decode() == "größe \\x1b[2J\n\nnext\n"


def test_data_are_written_as_they_are_or_not_at_all(output):
    shown = output("cp1252")
    open_all()
    Exact().write("größe\x1b\n")
    with pytest.raises(UserError, match=r"standard output is cp1252 and cannot hold '日'.*--out FILE"):
        Exact().write("日\n")
    assert shown.held == "größe\x1b\n".encode("cp1252")


def test_a_terminal_is_shown_data_with_control_characters_written_out(output):
    shown = output("utf-8", True)
    Exact().write("a\x1b[2J\n")
    assert shown.held == b"a\\x1b[2J\n"


def test_what_is_no_text_is_said_by_its_place():
    assert checked(["a", "größe"]) == ["a", "größe"]
    with pytest.raises(UserError, match=r"argument 2, '\\udcff', is not UTF-8"):
        checked(["a", "\udcff"])
    with pytest.raises(UserError, match=r"argument 1, 'é', has characters that this locale does not"):
        checked([os.fsdecode(b"\xc3\xa9").encode("utf-8").decode("ascii", "surrogateescape")])


@pytest.mark.parametrize(
    ("command", "code", "closed"),
    [
        pytest.param("explain", 0, ">&-", marks=pytest.mark.slow),
        ("explain", 0, "<&- >&- 2>&-"),
        *(("trian", 2, closed) for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")),
    ],
)
def test_closed_streams_are_no_error(command, code, closed):
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m bptt {command} {closed}"], capture_output=True, text=True
    )
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


def test_files_opened_later_do_not_take_the_place_of_a_closed_stream():
    code = "import os; from bptt.commands.streams import open_all; open_all(); assert os.open('/dev/null', 0) > 2"
    assert subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" <&- >&-'], check=False).returncode == 0


def test_warnings_are_told_before_the_error_they_came_with():
    told = []

    def odd():
        with warnings_printed(told.append):
            warnings.warn("a is constant", stacklevel=1)
            warnings.warn("a is constant", stacklevel=1)
            raise UserError("b is missing")

    with pytest.raises(UserError):
        odd()
    assert told == ["warning: a is constant"] * 2
