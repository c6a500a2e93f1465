import pytest
import torch

from bptt.errors import TrainingDiverged
from bptt.training import loop
from bptt.training.loop import Epoch, Fitted, Training
from bptt.training.network import build
from bptt.training.options.forecast import SunspotOptions
from bptt.training.updates import predictions, updates_of
from devices import Waits


def sine(T=80):
    wave = torch.sin(torch.arange(T + 1) * 0.5)
    return wave[:-1, None], wave[1:, None]


def trained(device="cpu", **choices):
    config = SunspotOptions(**{"epochs": 60, "lags": 1, "hidden": 6, "init": 1.0, **choices})
    model = build(config, 1).to(device)
    x, d = sine()
    return model, Training(model, updates_of(model, x, d, config), config).run(), x, d


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_every_cell_learns(cell):
    model, fitted, x, d = trained(cell=cell, layers=2 if cell == "gru" else 1)
    assert len(fitted.epochs) == fitted.best == 60
    assert (predictions(model, x) - d).square().mean() < 0.1 < (d - 0).square().mean()
    assert fitted.epochs[-1].loss < 0.3 * fitted.epochs[0].loss


def test_the_same_seed_gives_the_same_run_and_another_another():
    one, two, other = (trained(seed=seed, epochs=3, noise=0.1) for seed in (1, 1, 2))
    assert one[1] == two[1]
    assert all(torch.equal(a, b) for a, b in zip(one[0].parameters(), two[0].parameters(), strict=True))
    assert one[1].epochs != other[1].epochs


def test_the_process_own_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    trained(epochs=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rate_decays_along_a_cosine():
    rates = [epoch.lr for epoch in trained(epochs=4, lr=1e-3)[1].epochs]
    assert rates == pytest.approx([1e-3, 0.8535533e-3, 0.5e-3, 0.1464466e-3])


def test_validation_keeps_its_best_epoch():
    config = SunspotOptions(epochs=30, hidden=6, init=1.0, validation=0.25, lr=0.3)
    model = build(config, 1)
    x, d = sine()
    fitted = Training(model, updates_of(model, x, d, config), config).run()
    losses = [epoch.validation for epoch in fitted.epochs]
    assert fitted.best == losses.index(min(losses)) + 1
    assert (predictions(model, x)[60:] - d[60:]).square().mean().item() == pytest.approx(min(losses), rel=1e-5)


def test_validation_steps_are_not_learned_from():
    config = SunspotOptions(epochs=1, validation=0.25)
    x, d = sine()
    models = []
    for targets in (d, torch.cat([d[:60], d[60:] + 100])):
        models.append(build(config, 1))
        Training(models[-1], updates_of(models[-1], x, targets, config), config).run()
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_asked_to_stop_it_stops_before_the_next_epoch():
    config, seen = SunspotOptions(epochs=50), []
    x, d = sine()
    model = build(config, 1)
    fitted = Training(model, updates_of(model, x, d, config), config).run(seen.append, lambda: len(seen) == 3)
    assert fitted.interrupted
    assert len(fitted.epochs) == fitted.best == 3


@pytest.fixture(params=[False, True], ids=["at once", "one update later"])
def is_read_late(request, monkeypatch):
    """Whether the numbers of an update are read while the next one is computed, as on a GPU."""
    monkeypatch.setattr(loop, "is_asynchronous", lambda device: request.param)
    return request.param


@pytest.mark.parametrize(
    "choices",
    [
        {"epochs": 3, "noise": 0.1, "validation": 0.2},
        {"epochs": 2, "cell": "gru", "reach": "truncated", "k1": 10, "k2": 20, "batch": 2, "noise": 0.1},
        {"epochs": 2, "cell": "lstm", "reach": "checkpointed", "memory": "20KB", "clip": "auto"},
        {"epochs": 2, "reach": "truncated", "precision": "bfloat16"},
    ],
    ids=["full", "truncated", "checkpointed", "bfloat16"],
)
def test_any_device_learns_what_the_cpu_learns(other_device, choices):
    model, fitted, *_ = trained(**choices)
    other, found, *_ = trained(other_device, **choices)
    close = {"rtol": 0.05, "atol": 1e-3} if "precision" in choices else {"rtol": 1e-4, "atol": 1e-6}
    for weight, wanted in zip(other.parameters(), model.parameters(), strict=True):
        assert weight.device.type == other_device.type
        torch.testing.assert_close(weight.cpu(), wanted, **close)
    assert [epoch.loss for epoch in found.epochs] == pytest.approx(
        [e.loss for e in fitted.epochs], rel=close["rtol"]
    )


@pytest.mark.parametrize("missing", [False, True])
def test_an_update_does_not_wait(other_device, missing):
    config = SunspotOptions(epochs=1, lags=1, hidden=6, reach="truncated", k1=10, clip="auto")
    model = build(config, 1).to(other_device)
    x, d = sine()
    d = d.clone()
    d[5] = torch.nan if missing else d[5]
    training, waits, done = Training(model, updates_of(model, x, d, config), config), Waits(), []
    with waits:
        training.run(on_update=lambda: done.append(None), should_stop=lambda: len(done) == 7)
    assert len(done) == 7
    assert waits.count == 0


def test_numbers_read_late_are_the_same(monkeypatch):
    choices = {"epochs": 3, "reach": "truncated", "k1": 10, "batch": 2, "clip": "auto", "validation": 0.2}
    at_once, fitted, *_ = trained(**choices)
    monkeypatch.setattr(loop, "is_asynchronous", lambda device: True)
    late, again, *_ = trained(**choices)
    assert again == fitted
    assert all(torch.equal(a, b) for a, b in zip(late.parameters(), at_once.parameters(), strict=True))


def test_the_update_that_is_not_finite_is_found_and_the_weights_before_it_are_kept(is_read_late, device):
    config = SunspotOptions(epochs=2, lags=1, hidden=4, init=1.0, reach="truncated", k1=10, noise=0.1)
    x, d = sine()
    good, bad = build(config, 1).to(device), build(config, 1).to(device)
    stopped, done = Training(good, updates_of(good, x, d, config), config), []
    stopped.run(on_update=lambda: done.append(None), should_stop=lambda: len(done) == 3)
    damaged = x.clone()
    damaged[44] = torch.inf  # in the fifth update
    with pytest.raises(TrainingDiverged, match="first at: the input x") as found:
        Training(bad, updates_of(bad, damaged, d, config), config).run()
    assert found.value.walked.first == 40
    assert not found.value.walked.x[4].isfinite().any()
    for kept, before in zip(bad.parameters(), stopped.state_dict()["weights"].values(), strict=True):
        assert torch.equal(kept, before)


def test_a_loss_that_is_not_finite_is_said_and_finite_weights_are_kept(is_read_late):
    config = SunspotOptions(epochs=5)
    model = build(config, 1)
    x, d = sine()
    with torch.no_grad():
        model.readout.weight.mul_(1e30)
    with pytest.raises(TrainingDiverged, match=r"inf in epoch 1.*learning rate than 0\.02"):
        Training(model, updates_of(model, x * 0 + 1, d, config), config).run()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("losses", "falling"),
    [
        ([1.0] * 10, False),
        ([1.0] * 6 + [0.6, 0.6, 0.4, 0.4], True),
        ([1.0] * 6 + [0.06, 0.06, 0.04, 0.04], False),  # it has fallen
        ([1.0, 0.5], False),
    ],
)
def test_a_loss_is_still_falling_where_the_last_fifth_of_the_epochs_lowers_it(losses, falling):
    epochs = [Epoch(number, loss, None, 0.1, 1.0, None) for number, loss in enumerate(losses, 1)]
    assert Fitted(epochs, len(epochs), False).still_falling == falling
    assert not Fitted(epochs, len(epochs), True).still_falling
