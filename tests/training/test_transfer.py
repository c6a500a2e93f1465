import torch
from torch.nn.utils.rnn import pack_sequence

from bptt.training.batches import packed
from bptt.training.transfer import read_later, to_device


def test_a_batch_arrives_whole(device):
    x = torch.arange(12.0).view(4, 3)
    copies = [to_device(x + number, device) for number in range(3)]
    for number, copy in enumerate(copies):
        assert copy.device.type == device.type
        assert torch.equal(copy.cpu(), x + number)
        assert torch.equal(to_device(copy, device).cpu(), x + number)


def test_packed_sequences_arrive_whole_and_longest_first(device):
    sequences = [torch.arange(2.0)[:, None], torch.arange(5.0)[:, None], torch.arange(3.0)[:, None]]
    batch, wanted = packed(sequences, device), pack_sequence(sequences, enforce_sorted=False)
    assert batch.x.data.device.type == device.type
    assert torch.equal(batch.x.data.cpu(), wanted.data)
    assert torch.equal(batch.x.batch_sizes, wanted.batch_sizes)
    assert torch.equal(batch.order, wanted.sorted_indices)


def test_numbers_are_those_at_the_time_of_asking(device):
    loss, count = torch.tensor(0.1, device=device), torch.tensor(7, device=device)
    read = read_later([loss, 3, count])
    with torch.no_grad():
        loss += 1
    assert read() == [torch.tensor(0.1).item(), 3, 7]
