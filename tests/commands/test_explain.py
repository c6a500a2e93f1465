import json

import pytest
import torch

import bptt
from bptt.commands.explain import explain
from bptt.commands.options import ExplainOptions
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.factory import made_task


def test_the_lessons_example(capsys):
    assert explain(ExplainOptions()) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("s_t = tanh(x_t W_x + s_(t-1) W_s),   y_t = s_t W_y\n")
    for words in ("E_3 = ", "∂E_3/∂W_x", "∂E_3/∂W_s", "∂E_3/∂W_y", "‖∂E_3/∂s_k‖"):
        assert words in shown


def test_the_json_holds_every_number_and_they_agree(tmp_path):
    file = tmp_path / "e.json"
    explain(ExplainOptions(t=4, steps=6, state_size=5, output_size=3, loss="cross_entropy", leak=0.5, json=file))
    n = json.loads(file.read_text())
    net = bptt.Elman(2, 5, 3, softmax=True, leak=0.5, dtype=torch.float64)
    for name in ("W_x", "W_s", "W_y"):
        setattr(net, name, n[name])
    x, d = torch.tensor(n["x"], dtype=torch.float64), torch.tensor(n["d"])
    e = bptt.explain(net, x, d, bptt.cross_entropy, t=4)
    assert e.numbers() == {key: n[key] for key in e.numbers()}
    assert torch.allclose(net(x)[0], torch.tensor(n["y"], dtype=torch.float64))


def test_the_picture_and_the_derivation(tmp_path, capsys):
    file = tmp_path / "e.svg"
    explain(ExplainOptions(svg=file, derivation=True))
    assert file.read_text().startswith("<svg ")
    assert "∂E_3/∂W_s = ∂E_3/∂y_3 · ∂y_3/∂s_3 · ∂s_3/∂W_s\n" in capsys.readouterr().out
    with pytest.raises(UserError, match="--svg FILE"):
        explain(ExplainOptions(svg=file))
    with pytest.raises(UserError, match="given for two files"):
        explain(ExplainOptions(svg=tmp_path / "new", json=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_the_seed_is_the_commands_own():
    before = torch.get_rng_state()
    explain(ExplainOptions(seed=3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"t": 0}, "--t must be at least 1"),
        ({"t": 5, "steps": 4}, "--t is 5.*--steps 4"),
        ({"state_size": 0}, "--state-size"),
        ({"leak": 0.0}, "--leak"),
        ({"loss": "cross_entropy"}, "--output-size 2"),
    ],
)
def test_options_out_of_range(choices, words):
    with pytest.raises(UserError, match=words):
        explain(ExplainOptions(**choices))


def test_the_page_is_written_and_one_too_long_refused(tmp_path):
    explain(ExplainOptions(html=tmp_path / "page.html"))
    assert '"steps":3' in (tmp_path / "page.html").read_text()
    with pytest.raises(UserError, match=r"no page can be made: the sequence has 3000 steps.* at most 500"):
        explain(ExplainOptions(t=3000, html=tmp_path / "long.html"))
    with pytest.raises(UserError, match="--html FILE"):
        explain(ExplainOptions(html=tmp_path / "page.html"))


def test_a_file_is_not_overwritten_and_an_unwritable_one_said(tmp_path):
    (tmp_path / "e.json").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        explain(ExplainOptions(json=tmp_path / "e.json"))
    assert (tmp_path / "e.json").read_text() == "mine"
    with pytest.raises(UserError, match="cannot be written"):
        explain(ExplainOptions(json=tmp_path / "no" / "e.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "run"
    train(SunspotOptions(cell="gru", epochs=2, out=folder))
    return folder


def test_a_run_on_the_last_of_what_it_learned_from(run, tmp_path, capsys):
    capsys.readouterr()
    assert explain(ExplainOptions(run, steps=7, json=tmp_path / "e.json", svg=tmp_path / "e.svg")) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "run: sunspots of the embedded yearly sunspot numbers, forecast one step ahead by a GRU network"
    )
    rows = "rows 1-220 of the 221 training rows of the embedded yearly sunspot numbers"
    assert f"\nthe last 7 steps of {rows}, forecasts of 1914 to 1920\n" in shown
    assert "E_7 = " in shown
    assert "backpropagated through 7 steps" in shown
    numbers = json.loads((tmp_path / "e.json").read_text())
    model, task = load(run).model.double(), made_task(SunspotOptions(cell="gru"))
    x, d = (part[-7:].double() for part in task.training_excerpt().sequence())
    wanted = bptt.explain(model, x, d, t=7).numbers()
    assert wanted == {key: numbers[key] for key in wanted}
    assert (tmp_path / "e.svg").read_text().startswith("<svg ")


def test_what_a_run_has_of_its_own_is_not_chosen_and_its_steps_are_as_many_as_they_are(run):
    with pytest.raises(UserError, match=r"--leak is an option of the lesson's network; .*run has its own"):
        explain(ExplainOptions(run, leak=0.5))
    with pytest.raises(UserError, match="--t is 9, but there are 7 steps; pass --steps 9 or more"):
        explain(ExplainOptions(run, t=9, steps=7))
    with pytest.raises(UserError, match="not a run folder"):
        explain(ExplainOptions(run / "none"))
