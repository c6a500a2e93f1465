import math
from pathlib import Path

import polars as pl
import torch

import bptt
from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.commands.train import train
from bptt.equations import ACTIVATIONS
from bptt.runs.explorer import run_explorer
from bptt.training.network import build
from bptt.training.options.forecast import SunspotOptions
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
    return model, run_explorer(Path("runs/a"), SunspotOptions(cell="gru"), Sampled(T), model, steps, None)


def test_the_lessons_page_shows_the_readmes_example():
    page = lesson_explorer(ExplainOptions()).page()
    assert (page.t, page.steps, page.lesson, len(page.x)) == (3, 3, True, 200)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = bptt.Elman(2, 3, 1)
        x, d = torch.randn(5, 2), torch.randn(5, 1)
    assert page.x[:5] == x.double().tolist()
    assert page.d[:5] == d.double().tolist()
    assert page.network.weights[1].values == net.W_s.double().tolist()


def test_a_reader_chooses_losses_and_activations():
    choices = lesson_explorer(ExplainOptions()).page().choices
    assert choices["losses"] == ["squared_error", "absolute_error"]
    assert choices["activations"] == list(ACTIVATIONS)


def test_a_run_shows_its_last_steps_in_float64_and_stays_as_it_is():
    model, explorer = a_run()
    page = explorer.page()
    assert (page.steps, page.t, page.times, page.grows, page.lesson) == (100, 100, None, "start", False)
    assert page.x == normal(150, 2).float().double().tolist()
    assert page.lead[0].startswith("y of a table, forecast one step ahead by a GRU network")
    assert next(model.parameters()).dtype == torch.float32
    assert a_run(steps=20)[1].page().steps == 20
    assert a_run(T=12)[1].page().steps == 12


def test_a_forecasts_steps_are_labelled():
    config = SunspotOptions()
    task = sunspot_forecast(config)
    explorer = run_explorer(Path("runs/a"), config, task, build(config, config.lags), 30, None)
    page = explorer.page()
    assert (page.times[-30:], len(page.times)) == ([str(year) for year in range(1891, 1921)], len(page.x))


def test_nothing_of_the_process_is_changed():
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    lesson_explorer(ExplainOptions()).page()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]


def test_names_of_others_are_shown_short_and_without_control_characters(tmp_path):
    target, column = ("\u202e" + letter * 304 for letter in "nm")
    rows = {target: [math.sin(i / 3) + i for i in range(80)], column: [i % 5 for i in range(80)]}
    pl.DataFrame(rows).write_csv(tmp_path / "a\u202e.csv")
    out = tmp_path / "b\u202e"
    train(SunspotOptions(data=tmp_path / "a\u202e.csv", target=target, input=((column,),), epochs=1, out=out))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "lies outside" in page
    for told in ("\u202e", target[-61:], column[-61:]):
        assert told not in page
