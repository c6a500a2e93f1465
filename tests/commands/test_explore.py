import webbrowser
from pathlib import Path

import pytest

from bptt.commands.explore import explore
from bptt.commands.options import ExploreOptions
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.training.options.forecast import SunspotOptions


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser was asked to open."""
    found = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    return found


def test_the_lessons_page_is_written_and_opened(opened, capsys):
    assert explore(ExploreOptions()) == 0
    path = Path(capsys.readouterr().out.strip())
    assert opened == [path.as_uri()]
    assert '"lesson":true' in path.read_text(encoding="utf-8")


def test_a_runs_page_is_written_where_it_is_wanted_and_not_opened(opened, capsys, tmp_path):
    run, out = tmp_path / "run", tmp_path / "page.html"
    train(SunspotOptions(epochs=1, out=run))
    capsys.readouterr()
    assert explore(ExploreOptions(run=run, steps=30, out=out, open=False)) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert opened == []
    assert '"steps":30' in out.read_text(encoding="utf-8")


def test_a_file_that_exists_is_kept(tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        explore(ExploreOptions(out=out, open=False))
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("choices", "words"), [({"steps": 0}, "--steps must be at least 1"), ({"steps": 5000}, "cannot be explored")]
)
def test_what_cannot_be_explored_is_said(choices, words):
    with pytest.raises(UserError, match=words):
        explore(ExploreOptions(open=False, **choices))


def test_a_folder_that_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        explore(ExploreOptions(run=tmp_path / "no", open=False))
