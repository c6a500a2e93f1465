from dataclasses import asdict
from pathlib import Path

import pytest
import tomli_w

from bptt.errors import UserError
from bptt.training.config_file import config_of, read_config, read_options, save_config
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.forecast import sunspot_forecast


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return written


@pytest.fixture
def saved(tmp_path):
    """Options, and the config.toml of their run."""
    options = SunspotOptions(horizon=(1, 3), out=tmp_path)
    save_config(tmp_path, config_of(options, sunspot_forecast(options), {}))
    return options, tmp_path / "config.toml"


@pytest.mark.parametrize(
    "options",
    [
        ForecastOptions(data=Path("d.csv"), target="y", input=(("a", "b"), ("c",)), clip="auto"),
        ClassifyOptions(data=Path("d.ts"), cell="elman", clip=2.0, patience=3, validation=0.1),
        TextOptions(hidden=7),
    ],
)
def test_options_written_are_read(write, options):
    choices = {name: value for name, value in asdict(options).items() if value is not None}
    choices.update({"data": str(options.data)} if options.data else {}, out="elsewhere")
    assert read_options(write(tomli_w.dumps({"train": choices})), {}) == options


def test_options_not_there_have_the_tasks_default(write):
    assert read_options(write("[train]\ntask = 'text'\nhidden = 9\n"), {}) == TextOptions(hidden=9)
    assert read_options(write("[train]\ndata = 'd.ts'\n"), {}) == ClassifyOptions(data=Path("d.ts"))
    assert read_options(write("[train]\nlr = 1\n"), {}) == SunspotOptions(lr=1.0)
    assert read_options(write("[train]\nlr = 1\n"), {"task": "text"}) == TextOptions(lr=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", "is damaged: "),
        ("hidden = 3\n", r"has no table \[train\]"),
        ("[train]\nhiden = 3\n", r"\[train\] has 'hiden', which is not known there; is 'hidden' meant"),
        ("[train]\nqqq = 3\n", r"\[train\] has 'qqq', which is not known there$"),
        ("[train]\nhidden = 'many'\n", "hidden must be a whole number, got 'many'"),
        ("[train]\nhidden = 3.5\n", "hidden must be .*got 3.5"),
        ("[train]\nhidden = true\n", "hidden must be .*got true"),
        ("[train]\nlr = '0.1'\n", "a number"),
        ("[train]\ncell = 'rnn'\n", "cell must be one of 'elman', 'gru', 'lstm', got 'rnn'"),
        ("[train]\nclip = 'most'\n", "a number or 'auto'"),
        ("[train]\ninput = 'a'\n", "a list of: a list of: a text"),
        ("[train]\ndata = 3\n", "a path"),
        ("[train]\ntask = 'sort'\n", "task must be one of 'forecast', .*got 'sort'"),
        ("[train]\ntask = ['text']\n", r"must be one of 'forecast', .*got \['text'\]"),
        ("[train]\ntask = 'text'\nlags = 3\n", "--lags is an option of --task forecast; this is --task text"),
        ("hidden = 3\n[train]\n", r"its top level has 'hidden', an option: write it below \[train\]"),
        ("hiden = 3\n[train]\n", "its top level has 'hiden', which is not known there"),
        ("[train]\n[scaling]\nmean = []\nepochs = 3\n", r"\[scaling\] has 'epochs', an option"),
        ("[train]\n[clock]\nzone = ''\nepochs = 3\n", r"\[clock\] has 'epochs', an option"),
        ("[train]\n[series.a]\nepochs = 3\n", r"\[series.a\] has 'epochs', an option"),
        ("[train]\n[series]\nepochs = 3\n", r"\[series\] has 'epochs', an option"),
        ("[train]\n[spacings.'']\nkind = 'fixed'\nepochs = 3\n", r"\[spacings.\] has 'epochs', an option"),
        ("[train]\n[digests]\ncell = 'gru'\n", r"\[digests\] has 'cell', an option"),
        ("[train]\n[spacings]\nepochs = 3\n", r"\[spacings\] has 'epochs', an option"),
        ("format = '2'\n[train]\n", "has format '2'; this bptt reads format 2$"),
        ("format = true\n[train]\n", "has format true; this bptt reads format 2$"),
        ("format = 0\n[train]\n", "has format 0; this bptt reads format 2$"),
        ("format = 1\n[train]\nlags = 3\n", r"was written by bptt 0\.1, which this version does not read"),
    ],
)
def test_what_is_no_option_is_refused(write, text, words):
    with pytest.raises(UserError, match=words) as caught:
        read_options(write(text), {})
    assert "config.toml" in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_options(tmp_path / "config.toml", {})


def test_a_saved_description_is_read(saved):
    options, path = saved
    found = read_config(path)
    assert (found.config, found.columns) == (options, ["sunspots"])
    assert found.scaling == sunspot_forecast(options).scaling
    assert (found.labels, found.calendar, found.series) == ([], [], {})


def test_an_option_that_a_later_version_adds_is_passed_over_and_another_format_is_not(saved):
    options, path = saved
    path.write_text(path.read_text().replace("[train]", "[train]\nlater = 3"))
    assert read_config(path).config == options
    path.write_text(path.read_text().replace("format = 2", "format = 3"))
    with pytest.raises(UserError, match="reads format 2: update bptt"):
        read_config(path)
    path.write_text(path.read_text().replace("format = 3", "format = 1"))
    with pytest.raises(UserError, match=r"was written by bptt 0\.1, .* train the run again"):
        read_config(path)


def test_options_that_cannot_work_are_said_with_the_file(saved):
    _, path = saved
    path.write_text(path.read_text().replace("hidden = 12", f"hidden = {2**40}"))
    with pytest.raises(UserError, match=r"config.toml is damaged: --hidden must be .* below 2147483648"):
        read_config(path)
