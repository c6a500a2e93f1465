import json
import math
from pathlib import Path

import polars as pl
import pytest
import torch

import bptt
from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.commands.train import train
from bptt.report.page import json_of
from bptt.runs.explorer import run_explorer
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.excerpt import TrainingExcerpt
from bptt.training.tasks.forecast import sunspot_forecast
from support import normal


class Sampled:
    """A task of which only the excerpt is at hand."""

    name, columns, aim, loss = (
        "a table",
        ["y"],
        "y of a table, forecast one step ahead",
        staticmethod(bptt.squared_error),
    )

    def __init__(self, T):
        self.T = T

    def training_excerpt(self):
        x, d = normal(self.T, 2).float()[:, None], normal(self.T, 1, seed=1).float()[:, None]
        return TrainingExcerpt(x, d, torch.nn.MSELoss(), bptt.squared_error, "rows of a table")


def a_run(T=150, steps=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = bptt.SequenceModel(bptt.GRU(2, 3), 1)
    return model, run_explorer(Path("runs/a"), ForecastOptions(cell="gru"), Sampled(T), model, steps, None)


def test_the_lessons_page_shows_what_explain_prints():
    page = lesson_explorer(ExplainOptions()).page()
    assert (page.t, page.exploration.steps, page.live) == (3, 3, None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = bptt.Elman(2, 3, 1, dtype=torch.float64)
        x, d = (torch.randn(3, size, dtype=torch.float64) for size in (2, 1))
    assert page.exploration.forward.errors[2] == pytest.approx(bptt.explain(net, x, d).error.item(), rel=1e-4)


def test_a_live_page_says_what_can_be_chosen():
    live = lesson_explorer(ExplainOptions()).page(live=True).live
    assert live.most_steps == 200
    assert live.losses == ["squared_error", "absolute_error"]


def test_a_question_is_answered_with_what_the_page_holds():
    explorer = lesson_explorer(ExplainOptions())
    page = json.loads(json_of(explorer.page()))
    answer = json.loads(explorer.explored({}))
    assert answer == {name: page[name] for name in ("exploration", "times")}
    assert json.loads(explorer.diagnosed({"changes": {"steps": 30}}))["diagnosis"]["kind"] == "vanishing"
    changed = json.loads(explorer.explored({"changes": {"steps": 5}}))["exploration"]
    assert changed["steps"] == 5
    assert changed["x"][:3] == page["exploration"]["x"]


def test_a_step_of_gradient_descent_lets_the_error_fall():
    explorer = lesson_explorer(ExplainOptions())
    before = json.loads(explorer.explored({}))["exploration"]["forward"]["errors"]
    answer = json.loads(explorer.descended({"rate": 0.05, "t": 3}))
    assert answer["exploration"]["forward"]["errors"][2] < before[2]
    again = json.loads(explorer.explored({"changes": {"weights": answer["weights"]}}))
    assert again["exploration"] == answer["exploration"]


def test_a_run_shows_its_last_steps_in_float64_and_stays_as_it_is():
    model, explorer = a_run()
    page = explorer.page()
    assert (page.exploration.steps, page.t, page.times) == (100, 100, None)
    assert page.exploration.x == normal(150, 2).float().double()[50:].tolist()
    assert page.lead[0].startswith("y of a table, forecast one step ahead by a GRU network")
    assert next(model.parameters()).dtype == torch.float32
    assert a_run(steps=20)[1].page().exploration.steps == 20
    assert a_run(T=12)[1].page().exploration.steps == 12


@pytest.mark.parametrize(("folder", "command"), [("runs/a", "a"), ("runs/my a", "'my a'")])
def test_the_page_of_a_run_names_the_command_that_opens_it_wherever_its_folder_lies(folder, command):
    model, _ = a_run(20)
    explorer = run_explorer(Path(folder), ForecastOptions(cell="gru"), Sampled(20), model, None, None)
    assert explorer.command == f"bptt explore {command}"


def test_a_forecasts_steps_are_labelled():
    config = ForecastOptions()
    task = sunspot_forecast(config)
    explorer = run_explorer(Path("runs/a"), config, task, build(config, config.lags), 30, None)
    assert explorer.page().times == [str(year) for year in range(1891, 1921)]
    shorter = json.loads(explorer.explored({"changes": {"steps": 7}}))
    assert shorter["times"] == [str(year) for year in range(1914, 1921)]


def test_nothing_of_the_process_is_changed():
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    explorer = lesson_explorer(ExplainOptions())
    explorer.descended({"rate": 0.1})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]


def test_names_of_others_are_shown_short_and_without_control_characters(tmp_path):
    target, column = ("\u202e" + letter * 304 for letter in "nm")
    rows = {target: [math.sin(i / 3) + i for i in range(80)], column: [i % 5 for i in range(80)]}
    pl.DataFrame(rows).write_csv(tmp_path / "a\u202e.csv")
    out = tmp_path / "b\u202e"
    train(ForecastOptions(data=tmp_path / "a\u202e.csv", target=target, input=((column,),), epochs=1, out=out))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "lies outside" in page
    for told in ("\u202e", target[-61:], column[-61:]):
        assert told not in page
