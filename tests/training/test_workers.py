import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bptt.training.config import TrainConfig
from bptt.training.errors import UserError
from bptt.training.fit import Training
from bptt.training.network import build
from bptt.training.snapshot import Snapshots
from bptt.training.tensors import Part, read_tensors, write_tensors
from bptt.training.updates import updates_of
from bptt.training.workers import ALONE, Workers, workers
from support import run_workers

CONFIG = TrainConfig(
    cell="gru", lags=1, hidden=5, init=1.0, epochs=3, reach="truncated", k1=10, k2=25, batch=5, noise=0.1
)


def series():
    wave = torch.sin(torch.arange(201, dtype=torch.float64) * 0.5)[:, None]
    return wave[:-1], wave[1:]


def trained(team, rounds=100):
    """A model trained in float64 by a team, and its state after so many updates."""
    model = build(CONFIG, 1).double()
    training = Training(model, updates_of(model, *series(), CONFIG, team), CONFIG, team)
    done = []
    training.run(on_update=lambda: done.append(None), should_stop=lambda: len(done) >= rounds)
    return training


def one_of(folder):
    """What each of several processes does."""
    with workers() as team:
        module = nn.Linear(3, 2, dtype=torch.float64)
        with torch.no_grad():
            for weight in module.parameters():
                weight.fill_(0.5)
        x = torch.arange(21, dtype=torch.float64).view(7, 3)[team.share(7)]
        loss = module(x).square().mean()
        loss.backward()
        loss, numbers = team.average(module.parameters(), loss.item(), 2 * len(x))
        state = {"gradient": module.weight.grad, "loss": loss, "numbers": numbers}
        parts = team.parts((torch.full((1, 1 + 2 * team.rank), float(team.rank)), [None]), axis=1)
        state["parts"] = parts
        state["flags"] = (team.any(team.rank == 1), team.any(False))
        state["said"] = team.said_by_first(f"by {team.rank}")
        for rounds in (6, 100):
            state[rounds] = trained(team, rounds).state_dict()
            Snapshots(folder / str(rounds), team).save(state[rounds])
        write_tensors(folder / f"{team.rank}", state)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    run_workers(__file__, folder, 2)
    return folder


@pytest.fixture(scope="module")
def of_each(of_two):
    return [read_tensors(of_two / str(rank)) for rank in range(2)]


def assert_same(found, wanted, tolerance):
    for name, weight in wanted.items():
        error = (found[name] - weight).norm() / weight.norm()
        assert error <= tolerance, f"{name}: {error:.2g}"


def test_gradients_are_those_of_the_mean_over_all_numbers(of_each):
    module = nn.Linear(3, 2, dtype=torch.float64)
    nn.init.constant_(module.weight, 0.5)
    nn.init.constant_(module.bias, 0.5)
    loss = module(torch.arange(21, dtype=torch.float64).view(7, 3)).square().mean()
    loss.backward()
    for found in of_each:
        assert_same({"gradient": found["gradient"]}, {"gradient": module.weight.grad}, 1e-12)
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-14)
        assert found["numbers"] == 14


def test_they_agree_and_know_their_parts(of_each):
    for rank, found in enumerate(of_each):
        (part, (nothing,)) = found["parts"]
        assert part.tensor.tolist() == [[rank] * (1 + 2 * rank)]
        assert (part.axis, part.first, part.size) == (1, rank, 4)
        assert nothing is None
        assert found["flags"] == (True, False)
        assert found["said"] == "by 0"


def test_two_learn_what_one_learns_and_the_same_each(of_each):
    alone = trained(ALONE).state_dict()
    for found in of_each:
        assert_same(found[100]["weights"], alone["weights"], 1e-12)
        assert [epoch[1] for epoch in found[100]["epochs"]] == pytest.approx([e[1] for e in alone["epochs"]])
    for name, weight in of_each[0][100]["weights"].items():
        assert torch.equal(weight, of_each[1][100]["weights"][name]), name


def test_another_number_of_workers_goes_on(of_two):
    alone = trained(ALONE)
    model = build(CONFIG, 1).double()
    training = Training(model, updates_of(model, *series(), CONFIG), CONFIG)
    training.load_state_dict(Snapshots(of_two / "6").load()[0])
    training.run()
    assert_same(dict(model.state_dict()), alone.state_dict()["weights"], 1e-12)


def test_own_is_the_share_of_what_is_held():
    whole, some = Part(torch.arange(7.0)[None], 1, 0, 7), Part(torch.arange(2.0, 6.0)[None], 1, 2, 7)
    assert Workers(1, 3).own((whole, [None]))[0].tolist() == [[2.0, 3.0]]
    assert Workers(1, 3).own(some).tolist() == [[2.0, 3.0]]
    assert ALONE.own(ALONE.parts(torch.ones(1, 2), 1)).tolist() == [[1.0, 1.0]]


def test_shares_are_all_and_even():
    for size in (1, 2, 3, 7):
        shares = [Workers(rank, size).share(7) for rank in range(size)]
        assert [i for share in shares for i in range(7)[share]] == list(range(7))
        assert {share.stop - share.start for share in shares} <= {7 // size, -(-7 // size)}


def test_alone_nothing_changes():
    with workers() as team:
        assert (team.rank, team.size) == (0, 1)
        assert team.any(True)
        assert not team.any(False)
        assert team.average([], 0.25, 3) == (0.25, 3)
        assert team.all("x") == ["x"]


def test_what_cannot_be_shared_is_refused():
    model = build(CONFIG, 1).double()
    with pytest.raises(UserError, match="--reach full makes one walk, which 2 workers cannot share"):
        updates_of(model, *series(), TrainConfig(lags=1), Workers(0, 2))
    with pytest.raises(UserError, match="--batch 1 leaves some of 2 workers without a stretch"):
        updates_of(model, *series(), TrainConfig(lags=1, reach="truncated"), Workers(0, 2))


if __name__ == "__main__":
    one_of(Path(sys.argv[1]))
