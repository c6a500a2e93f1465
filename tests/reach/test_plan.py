import pytest
import torch
from torch import nn

import bptt
from bptt.reach.byte_sizes import parse_bytes
from bptt.reach.checkpointed import checkpointed
from bptt.reach.meters import TensorMeter
from bptt.reach.plan import MOST_WALKS, plan_checkpoints
from support import mean_square, normal
from zoo import MAKERS, laid_out, model_of


def sequence(model, T, B=2):
    x = laid_out(model, normal(T, B, 3, dtype=torch.float32))
    return x, torch.zeros_like(model(x, None)[0]).detach()


@pytest.fixture
def one_thread():
    """Of several, each holds scratch, and whether a walk is worth several depends on its length."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("criterion", "arguments"),
    [(mean_square, {}), (nn.MSELoss(), {"segment": 50}), (mean_square, {"segment": 200})],
)
@pytest.mark.parametrize("name", [name for name in MAKERS if name != "function"])
def test_the_peak_is_as_predicted(name, criterion, arguments):
    model, _ = model_of(name, H=16, dtype=torch.float32)
    x, d = sequence(model, 200)
    schedule = plan_checkpoints(model, x, d, criterion, **arguments)
    with TensorMeter() as meter:
        checkpointed(model, x, d, criterion, memory=schedule)
    assert abs(schedule.bytes / meter.total - 1) < 0.2, f"predicted {schedule.bytes}, measured {meter.total}"


@pytest.mark.parametrize("name", ["GRU", "nn.LSTM", "cell"])
def test_the_smallest_memory_that_works_works(name):
    model, _ = model_of(name, dtype=torch.float32)
    x, d = sequence(model, 60)
    with pytest.raises(ValueError, match="the smallest that works is") as caught:
        plan_checkpoints(model, x, d, mean_square, memory=1, steps=5000)
    smallest = int(str(caught.value).split("works is ")[1].split()[0])
    schedule = plan_checkpoints(model, x, d, mean_square, memory=smallest, steps=5000)
    assert schedule.bytes <= smallest
    assert schedule.replayed <= MOST_WALKS * 5000
    rounded = str(caught.value).split("memory='")[1].rstrip("'")
    assert plan_checkpoints(model, x, d, mean_square, memory=rounded, steps=5000).bytes <= parse_bytes(rounded)
    with pytest.raises(ValueError, match="too little for 5000 steps"):
        plan_checkpoints(model, x, d, mean_square, memory=smallest - 1, steps=5000)


def test_more_memory_is_less_work():
    model, _ = model_of("GRU", dtype=torch.float32)
    x, d = sequence(model, 60)
    plans = [
        plan_checkpoints(model, x, d, nn.MSELoss(), memory=memory, steps=100_000)
        for memory in ("60kB", "300kB", "2MB", "1GB")
    ]
    replayed = [schedule.replayed for schedule in plans]
    assert replayed == sorted(replayed, reverse=True)
    assert plans[0].checkpoints < plans[0].segments - 1, "binomial"
    assert plans[2].checkpoints == plans[2].segments - 1, "one level"
    assert plans[3].segments == 1, "full BPTT"
    assert plans[3].replayed == 0


def test_a_trial_leaves_no_trace():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 4, num_layers=2, dropout=0.5)
            self.register_buffer("walks", torch.zeros(()))

        def forward(self, x, state):
            self.walks += 1
            return self.gru(x, state)

    model = Model()
    x, d = sequence(model, 60)
    model.walks.zero_()
    before = torch.get_rng_state()
    schedule = plan_checkpoints(model, x, d, mean_square, segment=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.walks == 0
    assert all(w.grad is None for w in model.parameters())
    without = plan_checkpoints(model.eval(), x, d, mean_square, segment=10)
    assert schedule.bytes - without.bytes >= 5 * before.numel(), "the generator's state at each checkpoint"


def test_it_says_what_it_costs():
    model = bptt.GRU(3, 4)
    x, d = sequence(model, 10)
    found = plan_checkpoints(model, x, d, mean_square, segment=4)
    assert (found.steps, found.segment, found.segments, found.checkpoints, found.replayed) == (10, 4, 3, 2, 8)
    assert plan_checkpoints(model, x[:1], d[:1], mean_square, steps=30).steps == 30
    assert plan_checkpoints(model, x, d, mean_square, segment=100).segments == 1


def test_refused():
    model, x, d = bptt.GRU(3, 4), torch.zeros(6, 2, 3), torch.zeros(6, 2, 4)
    for change, error, words in (
        ({"memory": "1MB", "segment": 2}, ValueError, "pass one of them"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"segment": 0}, ValueError, "segment must be at least 1"),
        ({"x": iter([x]), "d": iter([d])}, TypeError, "pass a sample of it as a tensor, and steps=T"),
        ({"criterion": lambda y, d: y}, ValueError, "scalar tensor, got shape"),
    ):
        with pytest.raises(error, match=words):
            plan_checkpoints(**{"model": model, "x": x, "d": d, "criterion": mean_square, **change})
