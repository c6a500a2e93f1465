"""Truncated BPTT continued from a saved place, and with a state that its model changes in place."""

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.truncated import truncated
from reach_windows import descend, sequence
from support import mean_square, normal
from zoo import model_of


def places(model, module, x, d, k1, k2, learned):
    """Walk truncated BPTT to its end, learning; the place before each window, and the weights there."""
    windows, found = truncated(model, x, d, mean_square, k1=k1, k2=k2), []
    while True:
        found.append((windows.state_dict(), [weight.detach().clone() for weight in module.parameters()]))
        if next(windows, None) is None:
            return found
        learned(module, [weight.grad for weight in module.parameters()])
        module.zero_grad()


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 7), (2, 20)])
@pytest.mark.parametrize("chunked", [False, True])
def test_from_a_saved_place_it_goes_on_bit_for_bit(tmp_path, chunked, k1, k2):
    model, module = model_of("LSTM")
    x, d = sequence(model, B=1)
    if chunked:
        np.save(tmp_path / "series.npy", torch.cat([x, d], -1).flatten(1).numpy())
        names = [str(i) for i in range(x.shape[-1] + d.shape[-1])]
        x, d = (
            bptt.stream(
                tmp_path / "series.npy", names[: x.shape[-1]], names[x.shape[-1] :], 0, window=k1, dtype=x.dtype
            ),
            None,
        )
    wanted = places(model, module, x, d, k1, k2, descend)
    assert len(wanted) == -(-11 // k1) + 1
    for place, weights in wanted:
        with torch.no_grad():
            for weight, then in zip(module.parameters(), weights, strict=True):
                weight.copy_(then)
        windows = truncated(model, x, d, mean_square, k1=k1, k2=k2)
        windows.load_state_dict(place)
        for _ in windows:
            descend(module, [weight.grad for weight in module.parameters()])
            module.zero_grad()
        for (name, weight), last in zip(module.named_parameters(), wanted[-1][1], strict=True):
            assert torch.equal(weight, last), f"{name}, from step {place['start']}"


def test_places_that_are_none_are_refused():
    model, _ = model_of("GRU")
    x, d = sequence(model)
    windows = truncated(model, x, d, mean_square, k1=3)
    with pytest.raises(ValueError, match=r"has \['first', 'start', 'state'\], got \['position'\]"):
        windows.load_state_dict({"position": 3})
    with pytest.raises(ValueError, match=r"has \['first', 'start', 'state'\], got a NoneType"):
        windows.load_state_dict(None)
    with pytest.raises(ValueError, match=r"a place has ints for its steps, got first=1.5"):
        windows.load_state_dict({"first": 1.5, "start": 3, "state": None})
    with pytest.raises(ValueError, match="from step 9 for a window from step 12"):
        windows.load_state_dict({"first": 9, "start": 12, "state": None})
    chunks = truncated(model, iter([x]), iter([d]), mean_square, k1=3)
    with pytest.raises(TypeError, match=r"a list_iterator cannot be taken up at step 3.*seek\(step\)"):
        chunks.load_state_dict({"first": 3, "start": 3, "state": None})


class Changing(nn.Module):
    """Changes its state in place: a trace, and a count of its steps that the output hangs on."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Linear(3, 4, dtype=torch.float64)

    def forward(self, x, state=None):
        if state is None:
            state = {"trace": x.new_zeros(x.shape[1], 4), "count": torch.zeros(x.shape[1], 1, dtype=torch.int64)}
        y = []
        for x_t in x:
            state["count"] += 1
            state["trace"].mul_(0.5).add_(self.inward(x_t))
            y.append(state["trace"] + 0.1 * state["count"])
        return torch.stack(y), state


class Constant(Changing):
    """The same, in new tensors."""

    def forward(self, x, state=None):
        return super().forward(x, None if state is None else {key: part.clone() for key, part in state.items()})


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 5), (2, 11)])
def test_a_state_that_is_changed_in_place(k1, k2):
    x, d, found = normal(11, 2, 3), normal(11, 2, 4), []
    for make in (Changing, Constant):
        torch.manual_seed(0)
        model = make()
        state = {"trace": normal(2, 4, seed=5), "count": torch.ones(2, 1, dtype=torch.int64)}
        before, states = state["trace"].clone(), []
        for window in truncated(model, x, d, mean_square, k1=k1, k2=k2, state=state):
            states.append(window.state["trace"])
            found.append((window.loss, model.inward.weight.grad.clone(), states[-1].clone()))
            model.zero_grad()
        assert torch.equal(state["trace"], before)
        assert (state["count"] == 1).all()
        assert all(torch.equal(kept, then[2]) for kept, then in zip(states, found[-len(states) :], strict=True))
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        for part, wanted in zip(one, other, strict=True):
            assert torch.equal(part, wanted)
