import runpy
import sys

import pytest


def test_python_m_bptt_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bptt", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("bptt", run_name="__main__")
    assert end.value.code == 0
    assert "usage: bptt" in capsys.readouterr().out
