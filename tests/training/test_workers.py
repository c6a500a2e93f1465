import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from bptt.errors import UserError
from bptt.training.loop import Training
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.snapshot import Snapshots
from bptt.training.tensors import Shard, read_tensors, write_tensors
from bptt.training.updates import updates_of
from bptt.training.workers import ALONE, SLOTS, Workers, workers
from support import run_workers

CONFIG = ForecastOptions(
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


def gradients(team):
    """Those of each update of an epoch, in float64, the weights as they were."""
    model = build(CONFIG, 1).double()
    found = []
    for update in updates_of(model, *series(), CONFIG, team).epoch(1):
        team.average(model.parameters(), *update)
        found.append([w.grad.clone() for w in model.parameters()])
        model.zero_grad()
    return found


def accumulated(team):
    """The gradient of several backward passes, and what there was to learn from: for one worker, nothing."""
    weights = {
        "half": torch.ones(3, dtype=torch.float16, requires_grad=True),
        "single": torch.ones(2, requires_grad=True),
    }
    numbers = 0 if team.rank else 100_000
    for _ in range(0 if team.rank else 3):
        sum(w.float().sum() for w in weights.values()).backward()
    loss, numbers = team.average(weights.values(), 0.0 if team.rank else 1 / 3, numbers)
    return {"loss": loss, "numbers": numbers, **{name: w.grad for name, w in weights.items()}}


def asked(team, collectives):
    """What two processes hear that ask the same, and how many collectives each answer took."""
    says, module, heard = [team.rank == 1], nn.Linear(1, 1), []

    def question():
        return says[0]

    def hear():
        before = len(collectives)
        heard.append((team.ask(question), len(collectives) - before))

    hear()  # nothing averaged yet
    says[0] = False
    team.average(module.parameters(), 0.0, 1)
    says[0] = team.rank == 1
    hear()  # what was said with the gradients
    hear()  # nothing averaged since
    team.average(module.parameters(), 0.0, 1)
    hear()
    return heard


def counted(collectives):
    """torch's all-reduce, which notes how many numbers each reduces."""
    reduce = dist.all_reduce

    def all_reduce(tensor):
        collectives.append(tensor.numel())
        reduce(tensor)

    return all_reduce


def one_of(folder):
    """What each of several processes does."""
    collectives = []
    with workers() as team:
        dist.all_reduce = counted(collectives)
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
        state["said"] = team.by_first(lambda: f"by {team.rank}")
        for rounds in (6, 100):
            collectives.clear()
            training = trained(Workers(team.rank, team.size), rounds)
            state["collectives"] = list(collectives)
            state[rounds] = training.state_dict()
            Snapshots(folder / str(rounds), team).save(state[rounds])
        state["gradients"] = gradients(team)
        state["accumulated"] = accumulated(team)
        state["asked"] = asked(team, collectives)
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


def test_gradients_of_windows_that_go_back_beyond_their_start_are_those_of_one(of_each):
    alone = gradients(ALONE)
    assert len(alone) == 4
    for found in of_each:
        for windows in zip(found["gradients"], alone, strict=True):
            assert_same(*(dict(enumerate(window)) for window in windows), 1e-12)


def test_an_update_takes_one_collective_and_an_epoch_one_more(of_each):
    weights = sum(w.numel() for w in build(CONFIG, 1).parameters())
    for found in of_each:
        with_gradients = [numbers for numbers in found["collectives"] if numbers > 1]
        assert with_gradients == 12 * [weights + 2 + SLOTS]  # 3 epochs of 4; loss, numbers and answers
        assert len(found["collectives"]) == 12 + 3


def test_several_backward_passes_are_averaged_at_once_and_in_float32_at_least(of_each):
    for found in of_each:
        got = found["accumulated"]
        assert got["half"].dtype == torch.float16
        assert got["half"].tolist() == [3.0, 3.0, 3.0]
        assert got["single"].tolist() == [3.0, 3.0]
        assert got["numbers"] == 100_000
        assert got["loss"] == pytest.approx(1 / 3, rel=1e-6)


def test_what_is_asked_again_is_answered_with_the_gradients(of_each):
    for found in of_each:
        assert found["asked"] == [(True, 1), (False, 0), (True, 1), (True, 0)]


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
    whole, some = Shard(torch.arange(7.0)[None], 1, 0, 7), Shard(torch.arange(2.0, 6.0)[None], 1, 2, 7)
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
        assert team.ask(lambda: True)
        assert team.average([], 0.25, 3) == (0.25, 3)
        assert team.all("x") == ["x"]


@pytest.mark.parametrize(("has_gpus", "backend"), [(True, "cpu:gloo,cuda:nccl"), (False, "gloo")])
def test_gradients_on_gpus_go_through_nccl_and_all_else_through_gloo(monkeypatch, has_gpus, backend):
    begun = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpus)
    monkeypatch.setattr(dist, "is_nccl_available", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", lambda name, timeout: begun.append(name))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    with workers() as team:
        assert (team.rank, team.size) == (1, 2)
    assert begun == [backend]


def test_what_cannot_be_shared_is_refused():
    model = build(CONFIG, 1).double()
    with pytest.raises(UserError, match="--reach full makes one walk, which 2 workers cannot share"):
        updates_of(model, *series(), ForecastOptions(lags=1), Workers(0, 2))
    with pytest.raises(UserError, match="--batch 1 leaves some of 2 workers without a stretch"):
        updates_of(model, *series(), ForecastOptions(lags=1, reach="truncated"), Workers(0, 2))


if __name__ == "__main__":
    one_of(Path(sys.argv[1]))
