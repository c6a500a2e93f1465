import os

import pytest

from bptt.commands.command_line import answered


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "bptt: 'trian' is no command; did you mean train?"),
        (["wxyz"], "the commands are train, predict"),
        (["train", "none.csv"], "bptt train: none.csv: there is no such file in "),
        (["sample", "run", "--prompt", "\udcff"], "bptt: argument 4, '\\udcff', is not UTF-8"),
        (["predict", "a\x1b[31mb", "d.csv"], "bptt predict: a\\x1b[31mb is not a run folder"),
        (["predict", "b" * 10_000, "d.csv"], "bptt predict: "),
        (["train", "b" * 10_000], "bptt train: "),
    ],
)
def test_what_cannot_be_run_is_one_line(arguments, words, capsys):
    assert answered(arguments) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(words) or words in err
    assert err.count("\n") == 1
    assert len(err) < 2000


@pytest.mark.parametrize(("name", "what"), [("folder", "a folder"), ("pipe", "no regular file")])
def test_what_is_no_file_is_said_with_the_files_that_can_be_used(name, what, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe")
    assert answered(["train", name, "--target", "a"]) == 2
    assert capsys.readouterr().err == f"bptt train: {name} is {what}; a CSV, Parquet or .npy file is needed\n"


def test_names_that_are_markup_too_long_or_obeyed_train_and_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["[/]", "a\x1b[2Jb", "n" * 10_000]
    rows = "".join(f"{name},{i % 7}\n" for name in names for i in range(30))
    (tmp_path / "d.csv").write_text(f"s,y\n{rows}")
    assert (
        answered(
            ["train", "d.csv", "--series", "s", "--target", "y", "--epochs", "1", "--hidden", "2", "--out", "run"]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "[/]" in shown
    assert "\x1b" not in shown
    assert "s)\n" in shown
    assert "n" * 100 not in shown
    assert "n" * 1000 not in (tmp_path / "run" / "report.html").read_text()
    assert "n" * 10_000 in (tmp_path / "run" / "forecast.csv").read_text()


def test_a_text_is_recognised_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert answered(["train", "README.md"]) == 2
    assert "to train on it as a text, pass --task text" in capsys.readouterr().err


def test_a_wrong_option_in_a_config_names_the_file_unless_it_was_given_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text("[train]\nhidden = -1\n")
    assert answered(["train", "c.toml"]) == 2
    assert capsys.readouterr().err == "bptt train: c.toml: --hidden must be at least 1, got -1\n"
    assert answered(["train", "c.toml", "--hidden", "-2"]) == 2
    assert capsys.readouterr().err == "bptt train: --hidden must be at least 1, got -2\n"


def test_a_table_without_a_target_is_answered_with_its_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("day,flow\n1,2\n")
    assert answered(["train", "d.csv"]) == 2
    assert "the column to forecast; its columns are 'day', 'flow'\n" in capsys.readouterr().err


def test_a_task_seen_from_a_files_name_is_said_with_the_way_out(capsys):
    assert answered(["train", "d.txt", "--target", "flow"]) == 2
    said = "this is --task text (seen from .txt; pass --task forecast)\n"
    assert said in capsys.readouterr().err
