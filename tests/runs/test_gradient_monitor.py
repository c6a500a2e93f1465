import itertools
import math

import polars as pl
import pytest
import torch

import bptt
from bptt import contributions, explain
from bptt.runs.gradient_monitor import GradientMonitor, diagnosis_of
from bptt.training.network import build, network_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import SunspotOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.excerpt import TrainingExcerpt
from bptt.training.tasks.factory import made_task
from bptt.training.tasks.forecast import sunspot_forecast
from bptt.training.tasks.sequence_splits import classify_task
from support import assert_close, normal


def sunspots():
    config = SunspotOptions(init=1.0)
    task = sunspot_forecast(config)
    return GradientMonitor(build(config, 2), task, 300), task


def test_every_epoch_is_measured_in_one_way():
    monitor, _ = sunspots()
    assert monitor.after(1) == monitor.now()
    assert monitor.after(2) is None
    assert monitor.after(1 + monitor._watch.every) == monitor.now()
    assert (
        monitor.what
        == "the last 64 steps of rows 1-220 of the 221 training rows of the embedded yearly sunspot numbers"
    )


def test_it_shows_the_errors_of_the_steps_it_names():
    monitor, task = sunspots()
    x, d = (part[-64:] for part in task.training_excerpt().sequence())
    errors = [explain(monitor.model, x, d, t=place + 1) for place in (41, 48, 56, 63)]
    wanted = sum(error.state_gradients["l0"].norm(dim=1).flip(0)[:41] for error in errors) / len(errors)
    assert monitor.now()["l0"] == pytest.approx(wanted.tolist(), rel=1e-5)


def test_a_classes_error_is_that_of_the_last_step(tmp_path):
    rows = [(n, math.sin(step / (2 + n % 2)), "ud"[n % 2]) for n in range(8) for step in range(12)]
    pl.DataFrame(rows, schema=["s", "x", "l"], orient="row").write_csv(tmp_path / "d.csv")
    config = ClassifyOptions(data=tmp_path / "d.csv", series="s", label="l", hidden=4)
    task = classify_task(config)
    model = network_of(config, task)
    x, d = task.training_excerpt().sequence()
    errors = torch.nn.functional.cross_entropy
    c = contributions(model, x, d[:1], lambda y, d: errors(y[-1:], d))
    wanted = c.by_lag.states["l0"][:11]
    assert GradientMonitor(model, task, 9).now()["l0"] == pytest.approx(wanted.tolist(), rel=1e-5)


def test_a_missing_target_has_no_error(tmp_path):
    y = [float(i % 5) if i < 20 or i > 94 else None for i in range(100)]
    pl.DataFrame({"i": range(100), "y": y}).write_csv(tmp_path / "d.csv")
    config = SunspotOptions(data=tmp_path / "d.csv", target="y", missing="mask", test=0.1)
    task = made_task(config)
    monitor = GradientMonitor(network_of(config, task), task, 9)
    norms = monitor.now()["l0"]
    assert all(math.isfinite(norm) for norm in norms)
    assert norms == [0.0] * len(norms)  # none of these steps has a target


def test_a_diagnosis_comes_when_it_is_worth_its_time_and_ever_less_often():
    monitor, _ = sunspots()
    assert not any(monitor.diagnosis_due(epoch) for epoch in range(1, 301))
    asked = [epoch for epoch in range(1, 200_000, 500) if monitor.diagnosis_due(epoch)]
    assert asked
    assert asked[0] > 2e10 / (0.04 * monitor._watch.epoch) - 1
    assert all(later >= 2 * before for before, later in itertools.pairwise(asked))


def test_a_single_step_has_one_lag(tmp_path):
    (tmp_path / "t.txt").write_text("abc" * 4)
    config = TextOptions(data=tmp_path / "t.txt", hidden=3, batch=1, test=0.8)
    task = made_task(config)
    monitor = GradientMonitor(network_of(config, task), task, 3)
    assert len(monitor.now()["l0"]) == len(monitor.x)


def sample(T=60, notes=()):
    x, d = normal(T, 1, 1).float(), normal(T, 1, 1, seed=1).float()
    return TrainingExcerpt(x, d, torch.nn.MSELoss(), bptt.squared_error, "rows 1-60", notes)


def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bptt.SequenceModel(bptt.RNN(1, 3), 1).eval()


def test_it_is_bptt_diagnose_with_the_place_it_was_taken_from():
    found, wanted = diagnosis_of(model(), sample()), bptt.diagnose(model(), *sample()[:3])
    assert (found.sentence, found.severity, found.remedies) == (wanted.sentence, wanted.severity, wanted.remedies)
    assert found.where == "rows 1-60"
    assert found.gradient_norms.whole == wanted.gradient_norms.whole  # of the mean, as training takes it


def test_the_gradient_by_lag_is_that_of_the_errors_themselves():
    """As `bptt.explain` and the monitor of a run have it, and not a part of their mean."""
    found = diagnosis_of(model(), sample(), lags=10)
    x, d = sample().sequence()
    explained = [bptt.explain(model(), x, d, t=t).state_gradients["l0"] for t in range(11, 61)]
    wanted = torch.stack([e[-11:].norm(dim=-1).flip(0) for e in explained]).mean(0).double()
    assert_close(found.layers[0].gradient_by_lag, wanted, "by lag", 1e-5)


@pytest.mark.parametrize("notes", [(), ("Look here.",)])
def test_what_the_data_do_is_said_beside_the_verdict(notes):
    found = diagnosis_of(model(), sample(notes=notes))
    assert found.notes == list(notes)
    assert ("Look here." in str(found)) is bool(notes)


def test_too_short_a_sample_has_none():
    assert diagnosis_of(model(), sample(7)) is None
