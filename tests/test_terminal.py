"""Text on terminals that are narrow, dumb, or have few letters."""

import io

import pytest

from bptt.terminal import drawn, fitted, wrapped


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding="utf-8", is_terminal=True):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.isatty = lambda: is_terminal


PROSE = "the gradient of recurrent.weight_ih_l0_reverse vanishes, and nobody-has-seen where"
TABLE = "  key   value\n  a     1"


@pytest.mark.parametrize("width", [20, 40, 60])
def test_no_word_is_split_and_none_is_lost(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = fitted(f"{PROSE}\n{TABLE}\n    {PROSE}", Terminal())
    assert text.split() == [*PROSE.split(), *TABLE.split(), *PROSE.split()]
    assert all(len(line) <= width or len(line.split()) == 1 for line in text.split("\n"))
    assert TABLE in text
    assert text.split("\n")[-1].startswith("    ")


def test_what_goes_to_no_terminal_is_as_it_is(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert fitted(PROSE * 9, Terminal(is_terminal=False)) == PROSE * 9


def test_letters_are_spelled_before_the_line_is_measured(monkeypatch):
    monkeypatch.setenv("COLUMNS", "12")
    assert fitted("Φ = α α α", Terminal("ascii")) == "Phi = alpha\nalpha alpha"
    assert fitted("‖λ‖² ᵀ ▁▄█▏", Terminal("cp1252")) == "||lambda||²\n^T _=##"


def test_letters_that_are_raised_or_lowered_are_spelled_as_such(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert fitted("p_kʳ W⁽¹⁰⁾ᵀ x₁₂ δ̃ é日 x™", Terminal("ascii")) == "p_k^r W^(10)T x_12 delta~ ?? x^TM"


def test_further_lines_stand_below_the_first(monkeypatch):
    monkeypatch.setenv("COLUMNS", "16")
    assert wrapped("one two three four", "  1. ") == ["  1. one two", "     three four"]


def test_a_dumb_terminal_has_plain_bars(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert drawn("██▌ ▁█") == "### _#"
    monkeypatch.setenv("TERM", "xterm")
    assert drawn("██▌ ▁█") == "██▌ ▁█"
