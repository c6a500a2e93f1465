import pytest
import torch
from torch import nn

import bptt
from bptt.errors import UserError
from bptt.training.forward import NoisyChunks, noisy
from bptt.training.loop import Training
from bptt.training.network import build
from bptt.training.options.forecast import SunspotOptions
from bptt.training.updates import mean_square, numbers_in, side_by_side, updates_of
from bptt.training.workers import Workers


def sine(T=80):
    wave = torch.sin(torch.arange(T + 1) * 0.5)
    return wave[:-1, None], wave[1:, None]


def configured(**choices):
    return SunspotOptions(**{"lags": 1, "hidden": 6, "init": 1.0, "epochs": 5, **choices})


def gradients(model):
    return [weight.grad.clone() for weight in model.parameters()]


def test_checkpointed_learns_what_full_learns():
    losses = []
    for choices in ({}, {"reach": "checkpointed", "memory": "100kB"}):
        config = configured(**choices)
        model = build(config, 1)
        fitted = Training(model, updates_of(model, *sine(), config), config).run()
        losses.append([epoch.loss for epoch in fitted.epochs])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_truncated_takes_each_window_back_over_k2():
    config = configured(reach="truncated", k1=20, k2=30, batch=2)
    model = build(config, 1)
    x, d = sine()
    one_pass = updates_of(model, x, d, config).epoch(1)
    rows = [side_by_side(part, 2) for part in (x, d)]
    wanted = bptt.truncated(model, *rows, nn.MSELoss(), k1=20, k2=30)
    for number in range(2):
        update = next(one_pass)
        found = gradients(model)
        model.zero_grad()
        window = next(wanted)
        assert update == (window.loss.item(), 40), f"update {number}"
        assert all(torch.equal(a, b) for a, b in zip(found, gradients(model), strict=True))
        model.zero_grad()
    with pytest.raises(StopIteration):
        next(one_pass)


def test_stretches_stand_side_by_side_in_their_order():
    cut = side_by_side(torch.arange(7.0)[:, None], 2)
    assert cut[..., 0].T.tolist() == [[0, 1, 2], [3, 4, 5]]
    config = configured(reach="truncated", batch=100)
    with pytest.raises(UserError, match="--batch 100 cuts the 80 training steps"):
        updates_of(build(config, 1), *sine(), config)


@pytest.mark.parametrize("reach", ["full", "checkpointed", "truncated"])
def test_a_pass_goes_on_from_its_place(reach):
    choices = {"k1": 10, "k2": 25} if reach == "truncated" else {}
    config = configured(reach=reach, noise=0.1, **choices)
    model = build(config, 1)
    updates = updates_of(model, *sine(), config)
    whole, places = updates.epoch(3), []
    wanted = []
    while True:
        places.append(whole.state_dict())
        update = next(whole, None)
        if update is None:
            break
        wanted.append(update)
    assert len(wanted) == (8 if reach == "truncated" else 1)
    for done, place in enumerate(places):
        assert list(updates.epoch(3, place)) == wanted[done:], f"from update {done}"


def test_noise_depends_on_seed_and_epoch_and_not_on_the_cut():
    config = configured(noise=0.5, seed=4)
    x = torch.zeros(3000, 2, 1)

    class Chunks:
        def __init__(self, size):
            self.size, self.step = size, 0

        def seek(self, step):
            self.step = step

        def __iter__(self):
            while self.step < len(x):
                start, self.step = self.step, min(self.step + self.size, len(x))
                yield x[start : self.step], x[start : self.step]

    one, two = (torch.cat([noise for noise, _ in NoisyChunks(Chunks(size), config, 1)]) for size in (7, 1500))
    assert torch.equal(one, two)
    assert one.std().item() == pytest.approx(0.5, rel=0.05)
    late = NoisyChunks(Chunks(7), config, 1)
    late.seek(2001)
    assert torch.equal(next(iter(late))[0], one[2001:2008])
    assert not torch.equal(next(iter(NoisyChunks(Chunks(7), config, 2)))[0], one[:7])
    assert noisy(x, configured(), 1) is x


def test_dropout_is_drawn_by_the_seed_and_the_model_left_in_eval_mode():
    config = configured(layers=2, dropout=0.5, reach="truncated", k1=10)
    before, model = torch.get_rng_state(), build(config, 1)
    one_pass = updates_of(model, *sine(), config).epoch(1)
    next(one_pass)
    place = one_pass.state_dict()
    wanted = next(one_pass)
    assert not model.training
    assert next(updates_of(model, *sine(), config).epoch(1, place)) == wanted
    assert torch.equal(torch.get_rng_state(), before)
    plain = configured(layers=2, reach="truncated", k1=10)
    one_pass = updates_of(build(plain, 1), *sine(), plain).epoch(1)
    assert next(one_pass).loss != next(updates_of(build(config, 1), *sine(), config).epoch(1)).loss


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_each_worker_draws_dropout_of_its_own(dropout):
    config = configured(layers=2, dropout=dropout, reach="truncated", k1=10, batch=2)
    x, d = (torch.cat([half, half]) for half in sine())  # the same for both
    shares = [updates_of(build(config, 1), x, d, config, Workers(rank, 2)).epoch(1) for rank in (0, 1)]
    losses = [next(share).loss for share in shares]
    assert (losses[0] == losses[1]) == (dropout == 0)


@pytest.mark.parametrize("choices", [{}, {"reach": "truncated"}, {"reach": "checkpointed", "memory": "100kB"}])
def test_bfloat16_walks_near_float32_and_leaves_float32_gradients(choices):
    found = []
    for precision in ("float32", "bfloat16"):
        config = configured(precision=precision, cell="lstm", **choices)
        model = build(config, 1)
        found.append((float(next(updates_of(model, *sine(), config).epoch(1)).loss), gradients(model)))
    (loss, wanted), (near, rough) = found
    assert near != loss
    assert near == pytest.approx(loss, rel=0.02)
    for a, b in zip(wanted, rough, strict=True):
        assert b.dtype == torch.float32
        assert torch.allclose(a, b, atol=0.05 * a.abs().max().item())


@pytest.mark.parametrize("choices", [{}, {"reach": "checkpointed", "memory": "100kB"}, {"reach": "truncated"}])
def test_a_missing_target_weighs_nothing(choices):
    config = configured(**choices)
    model = build(config, 1)
    x, d = sine()
    d = d.clone()
    d[[3, 25, 26, 70]] = torch.nan
    there = ~d.isnan()
    update = next(updates_of(model, x, d, config).epoch(1))
    steps = 20 if choices.get("reach") == "truncated" else len(x)
    found = gradients(model)
    model.zero_grad()
    y, _ = model(x[:steps])
    loss = nn.functional.mse_loss(y[there[:steps]], d[:steps][there[:steps]])
    loss.backward()
    assert update.numbers == int(there[:steps].sum())
    assert update.loss == pytest.approx(loss.item(), rel=1e-5)
    for found_one, wanted in zip(found, gradients(model), strict=True):
        assert torch.allclose(found_one, wanted, atol=1e-6)


def test_a_window_without_any_target_moves_nothing():
    model = build(configured(), 1)
    x, d = sine()
    d = torch.full_like(d, torch.nan)
    loss = mean_square(model(x)[0], d)
    loss.backward()
    assert (loss.item(), numbers_in(d)) == (0.0, 0)
    assert all((gradient == 0).all() for gradient in gradients(model))
