import itertools
import math

import polars as pl
import pytest
import torch

from bptt import contributions, explain
from bptt.commands.film import Film
from bptt.training.network import build, network_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.classify import classify_task
from bptt.training.tasks.factory import made_task
from bptt.training.tasks.forecast import sunspot_forecast


def sunspots():
    config = ForecastOptions(init=1.0)
    task = sunspot_forecast(config)
    return Film(build(config, 2), task, 300), task


def test_every_frame_is_measured_in_one_way():
    film, _ = sunspots()
    assert film.look(1) == film.now()
    assert film.look(2) is None
    assert film.look(1 + film._watch.every) == film.now()
    assert (
        film.what
        == "the last 64 steps of rows 1-220 of the 221 training rows of the embedded yearly sunspot numbers"
    )


def test_it_shows_the_errors_of_the_steps_it_names():
    film, task = sunspots()
    x, d = (part[-64:] for part in task.sample().sequence())
    errors = [explain(film.model, x, d, t=place + 1) for place in (41, 48, 56, 63)]
    wanted = sum(error.state_gradients["l0"].norm(dim=1).flip(0)[:41] for error in errors) / len(errors)
    assert film.now()["l0"] == pytest.approx(wanted.tolist(), rel=1e-5)


def test_a_classes_error_is_that_of_the_last_step(tmp_path):
    rows = [(n, math.sin(step / (2 + n % 2)), "ud"[n % 2]) for n in range(8) for step in range(12)]
    pl.DataFrame(rows, schema=["s", "x", "l"], orient="row").write_csv(tmp_path / "d.csv")
    config = ClassifyOptions(data=tmp_path / "d.csv", series="s", label="l", hidden=4)
    task = classify_task(config)
    model = network_of(config, task.columns, task.labels)
    x, d = task.sample().sequence()
    errors = torch.nn.functional.cross_entropy
    c = contributions(model, x, d[:1], lambda y, d: errors(y[-1:], d))
    wanted = c.by_lag.states["l0"][:11]
    assert Film(model, task, 9).now()["l0"] == pytest.approx(wanted.tolist(), rel=1e-5)


def test_a_missing_target_has_no_error(tmp_path):
    y = [float(i % 5) if i < 20 or i > 94 else None for i in range(100)]
    pl.DataFrame({"i": range(100), "y": y}).write_csv(tmp_path / "d.csv")
    config = ForecastOptions(data=tmp_path / "d.csv", target="y", missing="mask", test=0.1)
    task = made_task(config)
    film = Film(network_of(config, task.columns, []), task, 9)
    norms = film.now()["l0"]
    assert all(math.isfinite(norm) for norm in norms)
    assert norms == [0.0] * len(norms)  # none of these steps has a target


def test_a_diagnosis_comes_when_it_is_worth_its_time_and_ever_less_often():
    film, _ = sunspots()
    assert not any(film.to_judge(epoch) for epoch in range(1, 301))
    asked = [epoch for epoch in range(1, 200_000, 500) if film.to_judge(epoch)]
    assert asked
    assert asked[0] > 2e10 / (0.04 * film._watch.epoch) - 1
    assert all(later >= 2 * before for before, later in itertools.pairwise(asked))


def test_a_single_step_has_a_film_of_one_lag(tmp_path):
    (tmp_path / "t.txt").write_text("abc" * 4)
    config = TextOptions(data=tmp_path / "t.txt", hidden=3, batch=1, test=0.8)
    task = made_task(config)
    film = Film(network_of(config, [], task.labels), task, 3)
    assert len(film.now()["l0"]) == len(film.x)
