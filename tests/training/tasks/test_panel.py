import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from bptt.errors import UserError
from bptt.training.config_file import config_of, read_config, save_config
from bptt.training.data.timestamps import Clock
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks import whole_model
from bptt.training.tasks.factory import made_task
from bptt.training.tasks.row_times import times_of
from bptt.training.workers import Workers
from forecasting import baselines_by_row, steps_of

LENGTHS = {"a": 60, "b": 90, "7": 40}


def written(path, lengths=LENGTHS):
    rng = np.random.default_rng(0)
    rows = [
        {"who": name, "t": t, "y": scale * (10 + math.sin(t / 3) + rng.normal(0, 0.1)), "x": t % 5}
        for scale, (name, length) in enumerate(lengths.items(), start=1)
        for t in range(length)
    ]
    pl.DataFrame(rows).sort("t", maintain_order=True).write_csv(path)
    return path


def configured(path, **choices):
    base = {
        "data": path,
        "target": "y",
        "input": (("x",),),
        "series": "who",
        "time": "t",
        "hidden": 5,
        "epochs": 3,
    }
    return SunspotOptions(**{**base, **choices})


def trained(task, config):
    model = network_of(config, task)
    return model, Training(model, task.updates(model), config).run()


def test_each_series_is_cut_scaled_and_judged_on_its_own(tmp_path):
    config = configured(written(tmp_path / "d.csv"))
    task = made_task(config)
    assert [(part.part, part.train_rows) for part in task.parts] == [("a", 48), ("b", 72), ("7", 32)]
    assert task.series["b"].mean[0] == pytest.approx(2 * task.series["a"].mean[0], rel=0.02)
    assert task.amount == "146 training steps of y in 3 series"
    judged = task.judge(task.whole(trained(task, config)[0]), "ours", tmp_path / "f.csv")
    assert judged.judged_on == ["a", "b", "7", "mean"]
    assert list(judged.scores) == ["ours", "persistence", "seasonal persistence (19)", "linear AR(2)"]
    rows = pl.read_csv(tmp_path / "f.csv", schema_overrides={"series": pl.String})
    for name, length in LENGTHS.items():
        own = rows.filter(pl.col("series") == name)
        assert own["time"].to_list() == list(range(2, length + 1))
        tested = own.filter(pl.col("time").is_between(round(0.8 * length), length - 1))
        errors = (tested["truth"] - tested["forecast"]).pow(2).mean()
        assert judged.rmse[name] == pytest.approx(errors**0.5)


@pytest.mark.parametrize("choices", [{}, {"reach": "truncated", "k1": 7, "k2": 20}, {"reach": "checkpointed"}])
def test_a_padded_step_weighs_nothing(tmp_path, choices):
    """The gradient is that of each series walked alone, their errors summed and divided by their number."""
    config = configured(written(tmp_path / "d.csv"), validation=0.25, **choices)
    task = made_task(config)
    model = network_of(config, task)
    updates = task.updates(model)
    if not choices.get("k1"):
        update = next(updates.epoch(1))
        found = [w.grad.clone() for w in model.parameters()]
        model.zero_grad()
        total, numbers = torch.zeros(()), 0
        for part in task.parts:
            x, d = (steps[: part.learned_steps] for steps in part.training_steps())
            total, numbers = total + (model(x)[0] - d).square().sum(), numbers + d.numel()
        (total / numbers).backward()
        assert (update.loss, update.numbers) == (pytest.approx((total / numbers).item()), numbers)
        for grad, w in zip(found, model.parameters(), strict=True):
            assert torch.allclose(grad, w.grad, atol=1e-6)
    else:
        windows = list(iter(updates.epoch(1)))
        assert sum(window.numbers for window in windows) == sum(part.learned_steps for part in task.parts)
    later = [
        (model(x)[0] - d)[part.learned_steps :].square() for part in task.parts for x, d in [part.training_steps()]
    ]
    assert updates.validation() == pytest.approx(torch.cat(later).mean().item(), rel=1e-5)


def test_what_cannot_be_series_is_refused(tmp_path):
    path = written(tmp_path / "d.csv", {"a": 60})
    with pytest.raises(UserError, match="has no column 'whom'; its columns are"):
        made_task(configured(path, series="whom"))
    with pytest.raises(UserError, match="'x' says which series a row belongs to"):
        made_task(configured(path, series="x"))
    path.write_text("who,y\na,1\n,2\n")
    with pytest.raises(UserError, match="column 'who' has 1 missing of 2 values"):
        made_task(configured(path, input=(), time=None))


def test_series_that_hold_too_little_are_left_out_with_a_note(tmp_path):
    path = written(tmp_path / "d.csv", {"a": 60, "b": 9})
    with pytest.warns(UserWarning, match=r"series 'b' is left out: d\.csv, series 'b' has 9 rows"):
        assert [part.part for part in made_task(configured(path)).parts] == ["a"]
    rows = [f"{who},{value}\n" for who in "ab" for value in (range(40) if who == "a" else ["NA"] * 40)]
    path.write_text("who,y\n" + "".join(rows))
    for missing in ("error", "interpolate", "mask"):
        with pytest.warns(UserWarning, match="series 'b' is left out: .*column 'y' has no values at all"):
            task = made_task(configured(path, input=(), time=None, missing=missing))
        assert [part.part for part in task.parts] == ["a"]
    path.write_text("who,y\n" + "b,NA\n" * 40)
    with (
        pytest.warns(UserWarning, match="series 'b' is left out"),
        pytest.raises(UserError, match="no series with values"),
    ):
        made_task(configured(path, input=(), time=None))
    path.write_text("who,y\n" + "a,1\nb,2\n" * 4)
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(UserError, match="no series has enough rows and values"),
    ):
        made_task(configured(path, input=(), time=None))


def test_a_series_that_stands_still_is_forecast_as_it_stands(tmp_path):
    path = tmp_path / "d.csv"
    rows = [f"{who},{np.sin(t / 3) if who == 'a' else 0.1}\n" for who in "ab" for t in range(60)]
    path.write_text("who,y\n" + "".join(rows))
    with pytest.warns(UserWarning, match="series 'b': column 'y' is constant over the training rows"):
        task = made_task(configured(path, input=(), time=None))
    still = task.parts[1]
    assert still.scaling.std == still.variances == [1.0]
    assert still.scaling.mean == pytest.approx([0.1], rel=1e-15)
    assert steps_of(still)[0].abs().max() < 1e-15
    assert np.allclose(baselines_by_row(still)["persistence"][1:], 0.1)


def test_a_run_folder_knows_its_series_again(tmp_path):
    config = configured(written(tmp_path / "d.csv"))
    task = made_task(config)
    save_config(tmp_path, config_of(config, task, {}))
    began = read_config(tmp_path / "config.toml")
    assert list(began.series) == list(LENGTHS)
    assert began.series == made_task(config).series


def test_the_networks_share_is_found_from_validation_rows_by_their_times(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(whole_model, "share_of", lambda *own: given.extend(own[3:]) or 0.25)
    lengths = {"a": 60, "b": 64, "7": 40}
    config = configured(written(tmp_path / "d.csv", lengths), linear=True, validation=0.25)
    task = made_task(config)
    assert task.whole(network_of(config, task)).model.share.tolist() == [0.25]
    times = [time for part in task.parts for time in part.held_out_times()]
    assert given[0].tolist() == [sorted(set(times)).index(time) for time in times]
    assert len(set(times)) < len(times)
    assert given[1] <= len(set(times))


def test_of_two_workers_each_has_its_series(tmp_path):
    config = configured(written(tmp_path / "d.csv"), reach="truncated", k1=100)
    task = made_task(config)
    model = network_of(config, task)
    shares = [next(task.updates(model, Workers(rank, 2)).epoch(1)) for rank in (0, 1)]
    alone = next(task.updates(model).epoch(1))
    assert sum(share.numbers for share in shares) == alone.numbers == task.train_steps
    assert sum(share.loss * share.numbers for share in shares) / alone.numbers == pytest.approx(alone.loss)
    with pytest.raises(UserError, match="3 series leave some of 4 workers without one"):
        task.updates(model, Workers(0, 4))
    with pytest.raises(UserError, match="--reach full makes one walk"):
        made_task(configured(config.data)).updates(model, Workers(0, 2))


@pytest.mark.parametrize("choices", [{}, {"reach": "truncated", "k1": 30}])
def test_with_a_batch_an_update_is_of_so_many_series(tmp_path, choices):
    config = configured(written(tmp_path / "d.csv"), batch=2, **choices)
    task = made_task(config)
    model = network_of(config, task)
    updates = list(task.updates(model).epoch(1))
    assert sum(update.numbers for update in updates) == task.train_steps
    if not choices:
        assert len(updates) == 2
        lengths = [part.train_steps for part in task.parts]
        assert {update.numbers for update in updates} <= {*lengths, *(sum(lengths) - one for one in lengths)}
    one, all_at_once = (made_task(configured(config.data, **own, **choices)) for own in ({"batch": 3}, {}))
    assert list(one.updates(model).epoch(1)) == list(all_at_once.updates(model).epoch(1))
    before, after = (trained(task, config)[1].epochs[place].loss for place in (0, -1))
    assert after < before


def test_each_series_goes_on_by_its_own_spacing(tmp_path):
    begin = date(2024, 1, 31)
    steps = {"days": range(40), "weeks": range(0, 280, 7), "odd": [n * n * n % 7 + 9 * n for n in range(40)]}
    rows = [f"{name},{begin + timedelta(days=day)},{day % 5}" for name, own in steps.items() for day in own]
    path = tmp_path / "d.csv"
    path.write_text("who,when,y\n" + "\n".join(rows) + "\n")
    choices = {"target": "y", "series": "who", "time": "when", "horizon": 2, "hidden": 2}
    with pytest.warns(
        UserWarning, match="series 'odd': the times follow no rule; rows to come have one every .* days"
    ):
        task = made_task(SunspotOptions(data=path, **choices))
    last = {
        part.part: times_of(part.table, part.spacing, np.arange(part.rows, part.rows + part.farthest))[-2:]
        for part in task.parts
    }
    assert last["days"] == ["2024-03-11", "2024-03-12"]
    assert last["weeks"] == ["2024-11-06", "2024-11-13"]
    assert sorted(task.spacings) == ["days", "odd", "weeks"]
    assert task.clock == Clock()
