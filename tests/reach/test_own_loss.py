"""Truncated and checkpointed BPTT with a loss(window) of any form, over a batch that is a tree."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from support import assert_close, normal

T, B = 23, 3


class Tagger(nn.Module):
    """It takes three arguments and returns two results, none of them a state."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.LSTM(6, 5, 2, batch_first=True)
        self.heads = nn.ModuleList([nn.Linear(5, 9), nn.Linear(5, 1)])

    def forward(self, tokens, extra, *, scale):
        y, _ = self.rnn(torch.cat([self.embedding(tokens), scale * extra], -1))
        return self.heads[0](y), self.heads[1](y)


def made():
    torch.manual_seed(0)
    model = Tagger().double()
    batch = {
        "tokens": torch.randint(0, 9, (B, T)),
        "features": (normal(B, T, 2), torch.rand(B, T, dtype=torch.float64) > 0.3),
    }
    return model, batch


def loss_of(model, total=False):
    def loss(window):
        extra, mask = window["features"]
        scores, value = model(window["tokens"], extra, scale=2.0)
        of_steps = nn.functional.cross_entropy(scores.transpose(1, 2), window["tokens"], reduction="none")
        of_steps = (of_steps + value.squeeze(-1) ** 2) * mask
        return of_steps.sum() if total else of_steps.sum() / mask.sum()

    return loss


def cut(batch, first, stop):
    extra, mask = batch["features"]
    return {"tokens": batch["tokens"][:, first:stop], "features": (extra[:, first:stop], mask[:, first:stop])}


def gradients(model):
    found = [w.grad for w in model.parameters()]
    model.zero_grad()
    return found


@pytest.mark.parametrize(("k1", "k2"), [(5, None), (5, 10), (4, 12), (23, 23), (50, None)])
def test_windows_are_those_of_a_loop_by_hand(k1, k2):
    """The states that windows start from are constant, or go back through as many windows as k2 says."""
    model, batch = made()
    windows = list(range(0, T, k1))
    found = bptt.truncated(model, batch, loss=loss_of(model), k1=k1, k2=k2)
    states = {}
    for number, window in enumerate(found):
        start = window.start
        assert (start, window.stop) == (windows[number], min(start + k1, T))
        assert window.outputs is None
        mine = gradients(model)
        twin = copy.deepcopy(model)
        first = max(0, start - ((k2 or k1) - k1))
        state = states.get(first)
        run = twin.rnn.forward

        def carried(x, run=run):
            nonlocal state
            y, state = run(x, state)
            return y, state

        twin.rnn.forward = carried
        for earlier in range(first, start, k1):
            loss_of(twin)(cut(batch, earlier, earlier + k1))
        loss = loss_of(twin)(cut(batch, start, window.stop))
        loss.backward()
        states[window.stop] = tuple(s.detach() for s in state)
        assert_close(window.loss, loss.detach(), "loss", 1e-12)
        for a, b in zip(mine, gradients(twin), strict=True):
            assert_close(a, b, f"the gradient of the window at {start}", 1e-11)
    assert number + 1 == len(windows)


@pytest.mark.parametrize("how", [{"segment": 4}, {"memory": "60kB"}])
def test_checkpointed_gradients_are_the_full_ones(how):
    model, batch = made()
    loss_of(model, total=True)(batch).backward()
    wanted = gradients(model)
    result = bptt.checkpointed(model, batch, loss=loss_of(model, total=True), reduction="sum", **how)
    assert_close(result.loss, loss_of(model, total=True)(batch).detach(), "loss", 1e-12)
    assert list(result.state) == ["rnn"]
    for a, b in zip(gradients(model), wanted, strict=True):
        assert_close(a, b, "gradient", 1e-11)
    plan = bptt.plan_checkpoints(model, batch, loss=loss_of(model), reduction="mean", segment=5)
    assert plan.segments == 5


def test_chunks_are_windows_of_the_loss_and_arrays_are_converted():
    model, batch = made()
    wanted = [window.loss for window in bptt.truncated(model, batch, loss=loss_of(model), k1=5)]
    extra, mask = batch["features"]
    arrays = {"tokens": batch["tokens"].numpy(), "features": (extra.numpy().astype(np.float32), mask.numpy())}
    found = [window.loss for window in bptt.truncated(model, arrays, loss=loss_of(model), k1=5)]
    chunks = (cut(batch, first, first + 4) for first in range(0, T, 4))
    of_chunks = [window.loss for window in bptt.truncated(model, chunks, loss=loss_of(model), k1=5)]
    for a, b, c in zip(wanted, found, of_chunks, strict=True):
        assert_close(a, b, "of arrays", 1e-6)
        assert_close(a, c, "of chunks", 1e-12)


def test_sequences_begin_where_windows_do():
    model, batch = made()
    resets = torch.zeros(B, T, dtype=torch.bool)
    resets[1, 10] = True
    found = [w.loss for w in bptt.truncated(model, batch, loss=loss_of(model, True), k1=5, resets=resets)]
    with bptt.stateful(model) as carry, torch.no_grad():
        for number, first in enumerate(range(0, T, 5)):
            if first == 10:
                carry.reset([1])
            assert_close(loss_of(model, True)(cut(batch, first, first + 5)), found[number], "loss", 1e-12)
    resets[2, 12] = True
    windows = bptt.truncated(model, batch, loss=loss_of(model), k1=5, resets=resets)
    with pytest.raises(ValueError, match=r"begins at step 12, within the window from step 10.*every k1 steps"):
        list(windows)


def test_what_is_refused():
    model, batch = made()
    loss = loss_of(model)
    with pytest.raises(TypeError, match=r"loss\(window\) takes the place of d and the criterion"):
        bptt.truncated(model, batch, batch["tokens"], nn.MSELoss(), loss=loss)
    with pytest.raises(TypeError, match="or loss=, a function of a window of x"):
        bptt.checkpointed(model, batch)
    with pytest.raises(ValueError, match="k2=7 must be a multiple of k1=5"):
        bptt.truncated(model, batch, loss=loss, k1=5, k2=7)
    with pytest.raises(TypeError, match=r"loss takes \(\), but here it is called with \(window\)"):
        bptt.truncated(model, batch, loss=lambda: 0)
    with pytest.raises(ValueError, match=r'pass reduction="sum" or "mean", got None'):
        bptt.checkpointed(model, batch, loss=loss)
    for wrong, what in ((lambda w: 1.0, "got float"), (lambda w: model.heads[1].bias + w["tokens"], "got shape")):
        with pytest.raises(TypeError, match=rf"loss\(window\) must return a scalar tensor, {what}"):
            next(bptt.truncated(model, batch, loss=wrong))
    with pytest.raises(ValueError, match=r"no state can be carried: Tagger.*or is not called"):
        next(bptt.truncated(model, batch, loss=lambda w: model.heads[1].bias.sum()))
    with pytest.raises(ValueError, match="has no recurrent module whose state could be carried"):
        bptt.truncated(nn.Linear(2, 2), batch, loss=loss)
