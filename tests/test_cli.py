"""The command line as a person meets it, each command in a process of its own."""

import os
import subprocess
import sys
import time
import tomllib

import pytest

from bptt.cli import main


def bptt(*arguments, cwd=None):
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "bptt", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture
def here(tmp_path, monkeypatch, undiagnosed):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(capsys, *arguments):
    """`bptt train` in this process, to a good end; returns what it printed."""
    with pytest.raises(SystemExit) as ended:
        main(("train", *arguments))
    shown = capsys.readouterr()
    assert (ended.value.code, shown.err) == (0, "")
    return shown.out


COMMANDS = ["train", "predict", "sample", "export", "diagnose", "explain", "explore", "check", "bench"]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_reads_well_and_loads_no_torch(command):
    code = f"import atexit, runpy, sys; sys.argv = ['bptt', *{command!r}, '--help']\n"
    code += "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
    code += "runpy.run_module('bptt', run_name='__main__')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "False\n"), "torch was loaded"
    assert "usage: bptt" in shown.stdout


def test_an_unknown_option_is_answered_with_the_nearest():
    shown = bptt("train", "--hiden", "3")
    assert shown.returncode == 2
    assert "--hidden" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_users_mistake_is_one_line_and_nothing_is_written(tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    shown = bptt("train", "data.csv", "--target", "c", cwd=tmp_path)
    assert shown.returncode == 2
    assert shown.stderr == "bptt train: data.csv has no column 'c'; its columns are 'a', 'b'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_options_override_the_tasks_defaults_and_a_config_file(here, capsys):
    (here / "t.txt").write_text("the cat sat on the mat. " * 20)
    printed = train(capsys, "t.txt", "--hidden", "12", "--epochs", "1", "--batch", "2", "--out", "one")
    assert "lstm network, 12 units" in printed
    assert "gru network, 12 units" in train(capsys, "one/config.toml", "--cell", "gru", "--out", "two")
    written = (here / "two" / "config.toml").read_text()
    assert 'data = "t.txt"' in written
    assert "batch = 2" in written


def test_options_that_add_up_begin_anew_beside_a_config_file(here, capsys):
    (here / "d.csv").write_text("y,a,b\n" + "".join(f"{i % 7},{i % 5},{i % 3}\n" for i in range(60)))
    (here / "c.toml").write_text('[train]\ndata = "d.csv"\ntarget = "y"\ninput = [["a"]]\nepochs = 1\n')
    for extra, inputs in (((), ["a"]), (("--input", "b"), ["b"])):
        train(capsys, "c.toml", "--out", f"run{len(extra)}", *extra)
        document = tomllib.loads((here / f"run{len(extra)}" / "config.toml").read_text())
        assert document["columns"] == ["y", *inputs]


def test_a_training_that_diverges_ends_with_1(tmp_path):
    shown = bptt("train", "--init", "1e30", "--out", "run", cwd=tmp_path)
    assert shown.returncode == 1
    assert "loss became" in shown.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("command", "words", "reader"),
    [
        ("explain", "s_t = tanh", "head -1"),
        ("train --help", "usage: bptt train", "head -1"),
        ("train --help", "usage: bptt train", "true"),
    ],
)
def test_a_closed_pipe_is_quiet(command, words, reader):
    shown = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m bptt {command} | {reader}"], capture_output=True, text=True
    )
    assert shown.stdout.startswith(words if reader != "true" else "")
    assert shown.stderr == ""


@pytest.mark.parametrize(("signal", "code"), [("INT", 130), ("TERM", 143)])
def test_a_signal_ends_training_cleanly_with_what_was_reached_saved(tmp_path, signal, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "bptt", "train", "--epochs", "1000000", "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < deadline, "no epoch in a minute"
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    subprocess.run(["kill", f"-{signal}", str(process.pid)], check=True)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == ""
    assert "Stopped after" in out
    written = {path.name for path in (tmp_path / "run").iterdir()}
    results = {"model.safetensors", "metrics.jsonl", "forecast.csv", "intervals.toml", "report.html"}
    assert written == {*results, "config.toml", "snapshots", ".lock"}


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        ("--help", "ascii"),
        ("train --help", "ascii"),
        ("train --help", "cp1252"),
        ("explain", "ascii"),
        pytest.param("explain", "cp1252", marks=pytest.mark.slow),
        ("check elman --size 4 1 2 3", "ascii"),
    ],
)
def test_any_encoding_of_the_terminal_will_do(command, encoding):
    shown = subprocess.run(
        [sys.executable, "-m", "bptt", *command.split()],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.decode(encoding)


@pytest.mark.parametrize("module", ["tyro", "bptt.commands.command_line", "torch", "bptt.insight.lesson.explain"])
def test_ctrl_c_while_it_is_loaded_ends_quietly(tmp_path, module):
    code = (
        "import builtins, os, signal\nreal = builtins.__import__\n"
        "def load(name, *rest):\n"
        f"    if name == {module!r} or {module!r}.endswith('.' + name): os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = load\nfrom bptt.cli import main\nmain(['explain'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "")
