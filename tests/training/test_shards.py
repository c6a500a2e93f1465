import errno
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bptt.errors import UserError
from bptt.training import shards
from bptt.training.shards import INDEX, load_shards
from bptt.training.snapshot import Snapshots
from bptt.training.tensors import read_tensors
from bptt.training.workers import ALONE, Workers, workers
from support import run_workers

WORKERS, ROWS = 3, 7
STATE = torch.arange(2.0 * ROWS * 4).view(2, ROWS, 4)


def tree(team):
    """What a worker has: what all have, its part of a state, and what is its own."""
    own = STATE[:, team.share(ROWS)]
    return {
        "weights": {"w": torch.arange(6.0).view(2, 3).T, "step": torch.tensor(3.0, dtype=torch.float64)},
        "state": team.parts((own, [None, own + 100]), 1),
        "places": [torch.arange(5), torch.zeros(0, dtype=torch.uint8)],
        "rank": team.rank,
    }


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "its.part")


def one_of(folder):
    """What each of several processes does."""
    with workers() as team:
        store = Snapshots(folder / "snapshots", team)
        for _ in range(3):
            store.save(tree(team))
        if team.rank == 1:
            shards.write_tensors = full
        with pytest.raises(OSError, match=r"No space left on device: 'its\.part'"):
            store.save(tree(team))
        found, wrong = store.load()
        assert wrong == []
        assert torch.equal(team.own(found["state"])[0], STATE[:, team.share(ROWS)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    run_workers(__file__, folder, WORKERS)
    return folder / "snapshots"


@pytest.fixture
def snapshots(written, tmp_path):
    return shutil.copytree(written, tmp_path / "snapshots")


def test_the_last_two_are_kept_and_one_that_failed_is_none(written):
    assert {path.name for path in written.iterdir()} >= {"000000002", "000000003"}
    assert not (written / "000000001").exists()
    assert not (written / "000000004").exists()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_number_of_workers_reads_what_three_wrote(written, size):
    for rank in range(size):
        team = Workers(rank, size)
        found = load_shards(written / "000000003", team)
        state, (nothing, other) = team.own(found["state"])
        assert torch.equal(state, STATE[:, team.share(ROWS)])
        assert torch.equal(other, state + 100)
        assert nothing is None
        wanted = tree(ALONE)
        for name, weight in wanted["weights"].items():
            assert torch.equal(found["weights"][name], weight)
            assert found["weights"][name].dtype == weight.dtype
        assert [a.tolist() for a in found["places"]] == [a.tolist() for a in wanted["places"]]
        assert found["rank"] == 0, "what differs is the first worker's"


def test_each_writes_its_part_and_what_all_have_is_written_once(written):
    held = [read_tensors(written / "000000003" / f"{rank:05d}.safetensors") for rank in range(WORKERS)]
    for rank, tensors in enumerate(held):
        assert torch.equal(tensors["state/0"], STATE[:, Workers(rank, WORKERS).share(ROWS)])
    shared = [name for tensors in held for name in tensors if not name.startswith("state")]
    assert sorted(shared) == ["places/0", "places/1", "plain", "weights/step", "weights/w"]


def test_damage_is_noticed_wherever_it_is_and_the_one_before_used(snapshots):
    for path in sorted((snapshots / "000000003").iterdir()):
        whole = path.read_bytes()
        for place in range(0, len(whole), len(whole) // 40):
            damaged = bytearray(whole)
            damaged[place] ^= 16
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=rf"{path.name} is damaged"):
                load_shards(snapshots / "000000003", ALONE)
        path.unlink()
        with pytest.raises(UserError, match=rf"{path.name} is missing"):
            load_shards(snapshots / "000000003", ALONE)
        path.write_bytes(whole)
    (snapshots / "000000003" / INDEX).unlink()
    found, (said,) = Snapshots(snapshots).load()
    assert torch.equal(found["state"][0].tensor, STATE)
    assert f"{INDEX} is missing" in said


def test_an_index_of_other_files_is_refused(snapshots):
    place = snapshots / "000000003"
    index = read_tensors(place / INDEX)
    for name, changed in {
        "size": {"weights/w": index["weights/w"] | {"size": [3]}},
        "dtype": {"weights/w": index["weights/w"] | {"dtype": "none such"}},
        "file": {"weights/w": index["weights/w"] | {"chunks": [[[0, 0], [3, 2], "../../none.safetensors"]]}},
        "nothing": {"weights/w": None},
    }.items():
        shards.write_tensors(place / INDEX, index | changed)
        with pytest.raises(UserError, match=r"damaged|missing"):
            load_shards(place, ALONE)
        assert name


def test_one_goes_on_in_a_file_after_several_in_folders(snapshots):
    store = Snapshots(snapshots)
    store.save({"alone": 1})
    assert store.load() == ({"alone": 1}, [])
    assert sorted(path.name for path in snapshots.iterdir() if path.suffix != ".part") == [
        "000000003",
        "000000004.safetensors",
    ]


if __name__ == "__main__":
    one_of(Path(sys.argv[1]))
