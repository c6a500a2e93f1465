"""The devices of the tests: what an emulated one must refuse and do as a GPU does."""

import copy

import pytest
import torch
from torch import nn

from devices import OTHER
from support import assert_close, normal

pytestmark = pytest.mark.skipif(OTHER != "emulated", reason="a real device is here")


def test_tensors_of_two_devices_do_not_mix(other_device):
    x, y = torch.ones(3), torch.ones(3, device=other_device)
    with pytest.raises(RuntimeError, match="same device"):
        x + y
    with pytest.raises(RuntimeError, match="same device"):
        nn.Linear(3, 2).to(other_device)(x)
    with pytest.raises(TypeError, match="cpu"):
        y.numpy()
    assert (y + torch.tensor(1.0)).tolist() == [2.0] * 3  # a scalar of the CPU does


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_module_trains_as_on_the_cpu(kind, other_device):
    ours = kind(3, 4, num_layers=2, dtype=torch.float64)
    there = copy.deepcopy(ours).to(other_device)
    x = normal(5, 2, 3)
    for module, data in ((ours, x), (there, x.to(other_device))):
        optimizer = torch.optim.Adam(module.parameters())
        for _ in range(2):
            optimizer.zero_grad()
            module(data)[0].square().sum().backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
    for (name, wanted), found in zip(ours.named_parameters(), there.parameters(), strict=True):
        assert found.device.type == OTHER
        assert_close(found.cpu(), wanted, name)


def test_views_share_their_memory(other_device):
    y = torch.zeros(4, 3, device=other_device)
    y.t()[1].add_(2.0)
    y[2:].view(-1)[0] = 5.0
    assert y.tolist() == [[0, 2, 0], [0, 2, 0], [5, 2, 0], [0, 2, 0]]


def test_state_is_saved_and_loaded(other_device, tmp_path):
    module = nn.GRU(2, 3).to(other_device)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    assert torch.load(tmp_path / "weights.pt")["weight_ih_l0"].device.type == OTHER
    assert torch.load(tmp_path / "weights.pt", map_location="cpu")["weight_ih_l0"].device.type == "cpu"


def test_random_numbers_come_from_the_devices_generator(other_device):
    torch.manual_seed(1)
    on_host = torch.rand(3)
    torch.manual_seed(1)
    first = nn.functional.dropout(torch.ones(50, device=other_device))
    assert torch.equal(torch.rand(3), on_host)
    with torch.random.fork_rng(device_type=OTHER):
        torch.manual_seed(1)
        assert torch.equal(nn.functional.dropout(torch.ones(50, device=other_device)), first)


def test_memory_is_counted_and_can_run_out(other_device, monkeypatch):
    before = torch.emulated.memory_allocated()
    x = torch.zeros(1000, device=other_device)
    assert torch.emulated.memory_allocated() == before + 4000
    del x
    assert torch.emulated.memory_allocated() == before
    assert torch.emulated.max_memory_allocated() >= before + 4000
    monkeypatch.setattr(torch.emulated, "limit", before + 5000)
    with pytest.raises(torch.OutOfMemoryError):
        torch.zeros(2000, device=other_device)


def test_a_late_copy_shows_a_buffer_overwritten_too_early(other_device):
    buffer = torch.ones(3).pin_memory()
    there = buffer.to(other_device, non_blocking=True)
    buffer.fill_(2.0)
    assert there.tolist() == [2.0] * 3
    there = buffer.to(other_device, non_blocking=True)
    event = torch.emulated.Event()
    event.record()
    event.synchronize()
    buffer.fill_(3.0)
    assert there.tolist() == [2.0] * 3


def test_a_copy_is_waited_for_by_the_stream_that_uses_it(other_device):
    side = torch.emulated.Stream()
    with torch.emulated.stream(side):
        there = torch.ones(3).pin_memory().to(other_device, non_blocking=True)
    with pytest.raises(AssertionError, match="not waited"):
        there + 1
    torch.emulated.current_stream().wait_stream(side)
    assert (there + 1).tolist() == [2.0] * 3


def test_autocast_halves_products(other_device):
    x = torch.ones(2, 3, device=other_device)
    with torch.autocast(OTHER, torch.bfloat16):
        assert nn.Linear(3, 2, device=other_device)(x).dtype == torch.bfloat16
    assert nn.Conv1d(3, 2, 1, device=other_device)(x[..., None]).shape == (2, 2, 1)
