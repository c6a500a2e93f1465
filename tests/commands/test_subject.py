import json

import pytest
import torch

import bptt
from bptt.commands.explain import ExplainConfig, lesson_subject
from bptt.commands.subject import run_subject
from bptt.report.page import json_of
from support import normal


def a_run(T=150, **choices):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = bptt.SequenceModel(bptt.GRU(2, 3), 1)
    sample = normal(T, 2).float(), normal(T, 1, seed=1).float()
    return model, run_subject("runs/a", ["a run"], model, sample, [str(1900 + i) for i in range(T)], **choices)


def test_the_lessons_page_shows_what_explain_prints():
    page = lesson_subject(ExplainConfig()).page()
    assert (page.t, page.exploration.steps, page.live) == (3, 3, None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = bptt.Elman(2, 3, 1, dtype=torch.float64)
        x, d = (torch.randn(3, size, dtype=torch.float64) for size in (2, 1))
    assert page.exploration.forward.errors[2] == pytest.approx(bptt.explain(net, x, d).error.item(), rel=1e-4)


def test_a_live_page_says_what_can_be_chosen():
    live = lesson_subject(ExplainConfig()).page(live=True).live
    assert live.most_steps == 200
    assert live.losses == ["squared_error", "absolute_error"]


def test_a_question_is_answered_with_what_the_page_holds():
    subject = lesson_subject(ExplainConfig())
    page = json.loads(json_of(subject.page()))
    answer = json.loads(subject.explored({}))
    assert answer == {name: page[name] for name in ("exploration", "times")}
    assert json.loads(subject.diagnosed({"changes": {"steps": 30}}))["diagnosis"]["kind"] == "vanishing"
    changed = json.loads(subject.explored({"changes": {"steps": 5}}))["exploration"]
    assert changed["steps"] == 5
    assert changed["x"][:3] == page["exploration"]["x"]


def test_a_step_of_gradient_descent_lets_the_error_fall():
    subject = lesson_subject(ExplainConfig())
    before = json.loads(subject.explored({}))["exploration"]["forward"]["errors"]
    answer = json.loads(subject.descended({"rate": 0.05, "t": 3}))
    assert answer["exploration"]["forward"]["errors"][2] < before[2]
    again = json.loads(subject.explored({"changes": {"weights": answer["weights"]}}))
    assert again["exploration"] == answer["exploration"]


def test_a_run_shows_its_last_steps_in_float64_and_stays_as_it_is():
    model, subject = a_run()
    page = subject.page()
    assert (page.exploration.steps, page.t, page.times[0], page.times[-1]) == (100, 100, "1950", "2049")
    assert next(model.parameters()).dtype == torch.float32
    shorter = json.loads(subject.explored({"changes": {"steps": 7}}))
    assert shorter["times"] == [str(year) for year in range(2043, 2050)]
    assert a_run(steps=20)[1].page().exploration.steps == 20
    assert a_run(T=12)[1].page().exploration.steps == 12


def test_nothing_of_the_process_is_changed():
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    subject = lesson_subject(ExplainConfig())
    subject.descended({"rate": 0.1})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]
