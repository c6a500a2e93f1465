"""The command line as a person meets it: what it prints, its exit codes, signals and pipes."""

import io
import subprocess
import sys
import time
import tomllib

import pytest

from bptt import __version__
from bptt.cli import main
from support import forked


@pytest.fixture
def here(tmp_path, monkeypatch, undiagnosed):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bptt(capsys, *arguments):
    """A command's exit code, and what it printed to standard output and error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, *capsys.readouterr()


def train(capsys, *arguments):
    """`bptt train` to a good end; returns what it printed."""
    code, out, err = bptt(capsys, "train", *arguments)
    assert (code, err) == (0, "")
    return out


COMMANDS = ["train", "predict", "sample", "export", "diagnose", "explain", "explore", "check", "bench"]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_reads_well_and_loads_nothing_slow(command):
    code = f"import atexit, runpy, sys; sys.argv = ['bptt', *{command!r}, '--help']\n"
    code += "slow = {'torch', 'numpy', 'polars', 'jinja2', 'safetensors'}\n"
    code += "atexit.register(lambda: print(sorted(slow & set(sys.modules)), file=sys.stderr))\n"
    code += "runpy.run_module('bptt', run_name='__main__')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "[]\n"), "slow packages were loaded"
    assert "usage: bptt" in shown.stdout


def test_the_version_is_that_of_the_package(capsys):
    assert bptt(capsys, "--version") == (0, f"bptt {__version__}\n", "")


def test_an_unknown_option_is_answered_with_the_nearest(capsys):
    code, _, err = bptt(capsys, "train", "--hiden", "3")
    assert code == 2
    assert "--hidden" in err
    assert "Traceback" not in err


def test_a_users_mistake_is_one_line_and_nothing_is_written(here, capsys):
    (here / "data.csv").write_text("a,b\n1,2\n")
    code, _, err = bptt(capsys, "train", "data.csv", "--target", "c")
    assert code == 2
    assert err == "bptt train: data.csv has no column 'c'; its columns are 'a', 'b'\n"
    assert [path.name for path in here.iterdir()] == ["data.csv"]


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


def test_a_training_that_diverges_ends_with_1(here, capsys):
    code, _, err = bptt(capsys, "train", "--init", "1e30", "--out", "run")
    assert code == 1
    assert "loss became" in err
    assert (here / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("command", "words", "reader"),
    [
        pytest.param("explain", "s_t = tanh", "head -1", marks=pytest.mark.slow),
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
    arguments, output = ["train", "--epochs", "1000000", "--out", str(tmp_path / "run")], tmp_path / "printed"
    process = forked(main, arguments, output=output)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < deadline, "no epoch in a minute"
        assert process.is_alive(), output.with_suffix(".err").read_text()
        time.sleep(0.01)
    subprocess.run(["kill", f"-{signal}", str(process.pid)], check=True)
    process.join(60)
    assert process.exitcode == code
    assert output.with_suffix(".err").read_text() == ""
    assert "Stopped after" in output.read_text()
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
def test_any_encoding_of_the_terminal_will_do(monkeypatch, command, encoding):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    out.flush()
    err.flush()
    assert (ended.value.code, err.buffer.getvalue()) == (0, b"")
    assert out.buffer.getvalue().decode(encoding)


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
