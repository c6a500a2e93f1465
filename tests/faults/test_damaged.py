"""Damaged or malicious run folders: one line and exit 2, from every command that opens one."""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from bptt import cli
from bptt.commands.train import train
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tensors import read_tensors, write_tensors
from support import leave_out_reports

CONFIG, MODEL, SNAPSHOT = Path("config.toml"), Path("model.safetensors"), Path("snapshots/000000001.safetensors")
READERS = [["predict", "run", "d.csv"], ["export", "run"], ["diagnose", "run"], ["explain", "run"]]
READERS += [
    ["explore", "run", "--no-open"],
    ["check", "run"],
    ["predict", "run", "--follow"],
    ["sample", "run"],
]
RESUME = ["train", "--resume", "run"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run that was stopped in the middle, beside its data."""
    place = tmp_path_factory.mktemp("whole")
    (place / "d.csv").write_text("y,a\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(40)))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        leave_out_reports(patched)
        train(ForecastOptions(data=Path("d.csv"), target="y", hidden=3, epochs=1, out=Path("run")))
    (place / "run" / "metrics.jsonl").write_text("")
    return place


@pytest.fixture
def ended(whole, tmp_path, monkeypatch, capsys, unreported):
    """Run commands on a damaged copy of it; returns how each ended."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        return end.value.code, capsys.readouterr().err

    return run


def refused(ended, commands):
    """Each command ends with 2 and one line."""
    for arguments in commands:
        code, said = ended(arguments)
        assert (code, said.count("\n")) == (2, 1), f"{' '.join(arguments)}: {said}"
        assert re.match(rf"bptt {arguments[0]}: .*run", said), said
        assert len(said) < 1000, "a line that can be read"


def changed(before, after):
    """A change to config.toml."""

    def change():
        text = Path("run/config.toml").read_text()
        assert re.search(before, text, re.MULTILINE), before
        Path("run/config.toml").write_text(re.sub(before, lambda _: after, text, count=1, flags=re.MULTILINE))

    return change


CONFIGS = {
    "no text": lambda: Path("run/config.toml").write_bytes(b"\xff\xfe\0"),
    "nested": lambda: Path("run/config.toml").write_text("a = " + "[" * 20_000),
    "long number": lambda: Path("run/config.toml").write_text("format = " + "9" * 5000),
    "empty": lambda: Path("run/config.toml").write_text(""),
    "folder": lambda: (Path("run/config.toml").unlink(), Path("run/config.toml").mkdir()),
    "pipe": lambda: (Path("run/config.toml").unlink(), os.mkfifo("run/config.toml")),
    "device": lambda: (Path("run/config.toml").unlink(), Path("run/config.toml").symlink_to("/dev/zero")),
    "sparse": lambda: os.truncate("run/config.toml", 2**40),
    "format": changed("^format.*$", 'format = "one"'),
    "format below": changed("^format.*$", "format = 0"),
    "no table": changed(r"^\[train\]$", "[[train]]"),
    "scaling is a list": changed(r"^\[scaling\]$", "[[scaling]]"),
    "mean": changed(r"^mean = \[\n.*\n\]", "mean = ['a']"),
    "means": changed(r"^mean = \[\n.*\n\]", "mean = [1, 2]"),
    "nan": changed(r"^mean = \[\n.*\n\]", "mean = [nan]"),
    "std 0": changed(r"^std = \[\n.*\n\]", "std = [0]"),
    "std unknown": changed(r"^std = ", "dts = "),
    "columns": changed(r"^columns = \[\n.*\n\]", "columns = 3"),
    "other columns": changed(r"^columns = \[\n.*\n\]", "columns = ['a']"),
    "column twice": changed(r"^columns = \[\n.*\n\]", "columns = ['y', 'y']"),
    "labels": changed("^labels.*$", "labels = {a = 1}"),
    "calendar": changed("^labels.*$", "labels = []\ncalendar = ['hour of moon']"),
    "series": changed("^labels.*$", "labels = []\nseries = {a = 3}"),
    "cell": changed("^cell.*$", 'cell = "rnn"'),
    "cell of another type": changed("^cell.*$", "cell = [1]"),
    "target of another type": changed("^target.*$", "target = {a = 1}"),
    "hidden": changed("^hidden.*$", f"hidden = {2**40}"),
    "hidden within bounds": changed("^hidden.*$", f"hidden = {2**30}"),
    "layers": changed("^layers.*$", f"layers = {10**9}"),
    "layers within bounds": changed("^layers.*$", "layers = 900"),
    "lags": changed("^lags.*$", f"lags = {2**30}"),
    "negative": changed("^hidden.*$", "hidden = -3"),
    "horizon": changed("^horizon.*$", "horizon = []"),
}


@pytest.mark.parametrize("harm", CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_describes_no_run(ended, harm):
    harm()
    refused(ended, [RESUME, *READERS])


TENSORS = {
    "a list": lambda: write_tensors(Path("run") / MODEL, [1, 2]),
    "numbers": lambda: write_tensors(Path("run") / MODEL, {"readout.weight": 3}),
    "nothing": lambda: write_tensors(Path("run") / MODEL, {}),
    "whole numbers": lambda: write_tensors(Path("run") / MODEL, weights(torch.Tensor.int)),
    "not finite": lambda: write_tensors(Path("run") / MODEL, weights(lambda weight: weight / 0)),
    "another shape": lambda: write_tensors(Path("run") / MODEL, weights(lambda weight: weight[..., :1])),
    "pipe": lambda: ((Path("run") / MODEL).unlink(), os.mkfifo(Path("run") / MODEL)),
    "folder": lambda: ((Path("run") / MODEL).unlink(), (Path("run") / MODEL).mkdir()),
    "link": lambda: (
        shutil.move(Path("run") / MODEL, "m"),
        (Path("run") / MODEL).symlink_to(Path("m").absolute()),
    ),
    "intervals": lambda: Path("run/intervals.toml").write_text("coverage = []"),
    "intervals nested": lambda: Path("run/intervals.toml").write_text("a = " + "[" * 20_000),
    "intervals not enough": lambda: Path("run/intervals.toml").write_text(
        'coverage = 0.9\nwidths = []\nerrors = 3\nsource = "training"'
    ),
    "intervals' pipe": lambda: (Path("run/intervals.toml").unlink(), os.mkfifo("run/intervals.toml")),
}


def weights(change):
    return {name: change(weight) for name, weight in read_tensors(Path("run") / MODEL).items()}


@pytest.mark.parametrize("harm", TENSORS.values(), ids=TENSORS)
def test_weights_and_intervals_that_are_none(ended, harm):
    harm()
    refused(ended, READERS)


def state(change):
    """Snapshots whose training state is changed."""

    def changed():
        for path in Path("run/snapshots").iterdir():
            tree = read_tensors(path)
            write_tensors(path, change(tree))

    return changed


def without(name):
    return lambda tree: {**tree, "training": {key: own for key, own in tree["training"].items() if key != name}}


def with_other(name, value):
    return lambda tree: {**tree, "training": {**tree["training"], name: value}}


SNAPSHOTS = {
    "a list": state(lambda tree: [1, 2]),
    "nothing": state(lambda tree: None),
    "a number": state(lambda tree: {**tree, "training": 3}),
    "no seconds": state(lambda tree: {**tree, "seconds": "many"}),
    "no gradient": state(lambda tree: {**tree, "by_lag": {}}),
    **{f"no {name}": state(without(name)) for name in ("weights", "optimizer", "rate", "epochs", "place", "done")},
    **{
        f"another {name}": state(with_other(name, value))
        for name, value in {
            "weights": {"a": torch.zeros(2)},
            "optimizer": {"state": {}, "param_groups": []},
            "epochs": [(1, 2)],
            "place": [],
            "best": 3,
            "clipping": {"limit": "a", "seen": None},
            "rate": [],
            "done": ("a", "b"),
            "kept": {"a": 1},
        }.items()
    },
}


@pytest.mark.parametrize("harm", SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_snapshots_of_something_else(ended, harm):
    harm()
    refused(ended, [RESUME])


@pytest.mark.parametrize("line", ["5", "[]", "null", '{"event": "test"}', "[" * 20_000])
def test_a_last_line_that_is_none_of_ours_is_gone_on_from(ended, line):
    Path("run/metrics.jsonl").write_text(line)
    assert ended(RESUME) == (0, "")


def test_names_of_no_snapshot_are_left_alone(ended):
    Path("run/snapshots/²³.safetensors").write_text("mine")
    assert ended(RESUME) == (0, "")
    assert Path("run/snapshots/²³.safetensors").read_text() == "mine"


def test_its_harmless_copy_is_taken_by_every_command(ended, monkeypatch):
    with Path("d.csv").open() as rows:
        monkeypatch.setattr("sys.stdin", rows)
        for arguments in [*READERS, RESUME]:
            wanted = 2 if arguments[0] == "sample" else 0
            assert ended(arguments)[0] == wanted, arguments
