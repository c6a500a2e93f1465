from dataclasses import asdict
from pathlib import Path

import pytest
import tomli_w

from bptt.errors import UserError
from bptt.training.config import TrainConfig, configured
from bptt.training.config_file import read_choices


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(task="forecast", data=Path("d.csv"), target="y", input=(("a", "b"), ("c",)), clip="auto"),
        configured("classify", data=Path("d.ts"), cell="elman", clip=2.0, patience=3, validation=0.1),
        configured("text", hidden=7),
    ],
)
def test_what_was_written_is_read(write, config):
    choices = {name: value for name, value in asdict(config).items() if value is not None}
    choices.update({"data": str(config.data)} if config.data else {}, out="elsewhere")
    assert read_choices(write(tomli_w.dumps({"train": choices}))) == config


def test_what_is_not_there_is_the_tasks_default(write):
    assert read_choices(write("[train]\ntask = 'text'\nhidden = 9\n")) == configured("text", hidden=9)
    assert read_choices(write("[train]\ndata = 'd.ts'\n")) == configured("classify", data=Path("d.ts"))
    assert read_choices(write("[train]\nlr = 1\n")) == configured("forecast", lr=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", "could not be read as TOML"),
        ("hidden = 3\n", r"has no table \[train\]"),
        ("[train]\nhiden = 3\n", "'hiden', which is no choice; hidden?"),
        ("[train]\nqqq = 3\n", "'qqq', which is no choice$"),
        ("[train]\nhidden = 'many'\n", "hidden = 'many' is not what it takes, a whole number"),
        ("[train]\nhidden = 3.5\n", "hidden = 3.5"),
        ("[train]\nhidden = true\n", "hidden = True"),
        ("[train]\nlr = '0.1'\n", "a number"),
        ("[train]\ncell = 'rnn'\n", "'elman' or 'gru' or 'lstm'"),
        ("[train]\nclip = 'most'\n", "a number or 'auto'"),
        ("[train]\ninput = 'a'\n", "a list of: a list of: a text"),
        ("[train]\ndata = 3\n", "a path"),
    ],
)
def test_what_is_no_choice_is_refused(write, text, words):
    with pytest.raises(UserError, match=words):
        read_choices(write(text))


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_choices(tmp_path / "config.toml")
