import pytest
import torch

from bptt.reach.randomness import randomness


def test_restored_it_draws_the_same():
    state = randomness([torch.zeros(1)])
    first = torch.rand(5)
    state.restore()
    assert torch.equal(torch.rand(5), first)


def test_kept_once_where_nothing_is_drawn():
    before = randomness([])
    assert randomness([], before) is before
    torch.rand(1)
    after = randomness([], before)
    assert after is not before
    assert not after.same_as(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_devices_generators_too():
    on = torch.zeros(1, device="cuda")
    state = randomness([on])
    first = torch.rand(5, device="cuda")
    assert not randomness([on]).same_as(state)
    state.restore()
    assert torch.equal(torch.rand(5, device="cuda"), first)
