import subprocess
import sys

import pytest

from bptt.commands.command_line import answered
from bptt.commands.help import Entry, help_page, page

RAW = """usage: bptt cook [-h] [COOK OPTIONS] [DISH]

Cook a dish.

 positional arguments
 --------------------
  [DISH]              The dish.

 options
 -------
  -h, --help          show this help
  --long-option {a,b,c}
                      The first line
                      and the second.
  --salt, --no-salt   With salt.
"""


def test_options_stand_in_their_groups():
    shown = help_page(RAW, {"food": ("dish", "salt"), "rest": ("long_option",)}, "The end.")
    assert shown.split("\n") == [
        "usage: bptt cook [DISH] [OPTIONS]",
        "",
        "Cook a dish.",
        "",
        "food:",
        "  [DISH]              The dish.",
        "  --salt, --no-salt   With salt.",
        "",
        "rest:",
        "  --long-option {a,b,c}",
        "                      The first line and the second.",
        "  -h, --help          show this help",
        "",
        "The end.",
    ]


def test_a_page_is_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = page("bptt x", ["word " * 30], {"things": [Entry("a", "word " * 30)]}, "word " * 30)
    assert max(map(len, shown.splitlines())) in range(30, 41)


def test_choices_are_broken_between_them_where_the_terminal_is_narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = help_page(RAW.replace("{a,b,c}", "{boiled,steamed,fried,raw}"), {})
    assert "\n  --long-option {boiled, steamed, fried,\n  raw}\n      The first line" in shown


@pytest.mark.parametrize(
    ("arguments", "own", "other"),
    [
        ("train", "--horizon", "--class-weights"),
        ("train --task classify", "--label", "--horizon"),
        ("train d.ts --epochs 3", "--class-weights", "--k1"),
        ("train --task text", "--tokens", "--lags"),
    ],
)
def test_the_help_of_train_is_one_tasks(arguments, own, other, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert answered([*arguments.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert own in shown
    assert other not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for title in ("data:", "network:", "training:", "run:"):
        assert f"\n{title}\n" in shown
    assert "bptt train --task" in shown.splitlines()[-1] + shown.splitlines()[-2]


@pytest.mark.parametrize("command", ["predict", "diagnose"])
def test_an_option_not_given_is_no_choice(command, capsys):
    assert answered([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--missing {error,interpolate,mask}" in shown
    assert "None" not in shown


def test_all_commands_stand_in_the_first_help(capsys):
    assert answered(["--help"]) == 0
    shown = capsys.readouterr().out
    assert answered([]) == 2
    assert capsys.readouterr().out == shown
    assert "\n  diagnose            Say whether" in shown


def test_the_first_help_loads_nothing_heavy():
    code = "import sys; from bptt.commands.command_line import answered; answered(['--help'])\n"
    code += "assert not {'torch', 'polars', 'numpy', 'rich'} & {*sys.modules}, 'something heavy was loaded'"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
