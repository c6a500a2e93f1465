import torch
from torch.nn.utils.rnn import pack_sequence

from bptt.training.transfer import read_later, to_device


def test_a_batch_arrives_whole(device):
    x = torch.arange(12.0).view(4, 3)
    copies = [to_device(x + number, device) for number in range(3)]
    for number, copy in enumerate(copies):
        assert copy.device.type == device.type
        assert torch.equal(copy.cpu(), x + number)
        assert torch.equal(to_device(copy, device).cpu(), x + number)


def test_packed_sequences_arrive_whole(device):
    packed = pack_sequence([torch.arange(2.0)[:, None], torch.arange(5.0)[:, None]], enforce_sorted=False)
    copy = to_device(packed, device)
    assert copy.data.device.type == copy.sorted_indices.device.type == device.type
    assert copy.batch_sizes.device.type == "cpu"
    for part, wanted in zip(copy, packed, strict=True):
        assert torch.equal(part.cpu(), wanted)


def test_numbers_are_those_at_the_time_of_asking(device):
    loss, count = torch.tensor(0.1, device=device), torch.tensor(7, device=device)
    read = read_later([loss, 3, count])
    with torch.no_grad():
        loss += 1
    assert read() == [torch.tensor(0.1).item(), 3, 7]
