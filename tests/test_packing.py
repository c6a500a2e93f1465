import pytest
import torch
from torch.nn.utils import rnn

from bptt import pack_padded_sequence
from bptt.packing import reversed_rows
from support import normal


@pytest.mark.parametrize("batch_first", [False, True])
def test_packs_as_torch_does(batch_first):
    x = normal(4, 4, 2)
    found = pack_padded_sequence(x, [2, 4, 1, 4], batch_first, enforce_sorted=False)
    wanted = rnn.pack_padded_sequence(x, torch.tensor([2, 4, 1, 4]), batch_first, enforce_sorted=False)
    for f, w in zip(found, wanted, strict=True):
        assert torch.equal(f, w)


@pytest.mark.parametrize(
    ("lengths", "error", "words"),
    [
        ([3, 0], ValueError, r"lengths\[1\] is 0.*between 1 and 4"),
        ([5, 2], ValueError, r"lengths\[0\] is 5.*between 1 and 4"),
        ([1, 3], ValueError, r"lengths\[1\] is 3 after 1.*enforce_sorted=False"),
        ([3], ValueError, "1 lengths.*2 sequences"),
        (torch.tensor([3.0, 2.0]), TypeError, r"float32.*\.long"),
        ("43", TypeError, "integers"),
    ],
)
def test_bad_lengths(lengths, error, words):
    with pytest.raises(error, match=words):
        pack_padded_sequence(torch.zeros(4, 2, 3), lengths)


def test_bad_input():
    with pytest.raises(TypeError, match="list"):
        pack_padded_sequence([1, 2], [1])  # pyright: ignore
    with pytest.raises(ValueError, match="nothing to pack"):
        pack_padded_sequence(torch.zeros(4, 0, 3), [])


def test_reversed_rows_mirror_each_sequence_and_are_their_own_inverse():
    batch_sizes = [3, 2, 2, 1]  # lengths 4, 3, 1
    mirror = reversed_rows(batch_sizes, torch.device("cpu"))
    # rows: t0 (a b c) t1 (a b) t2 (a b) t3 (a)
    assert mirror.tolist() == [7, 6, 2, 5, 4, 3, 1, 0]
    assert mirror[mirror].tolist() == list(range(8))


def test_lengths_stay_on_the_cpu_whatever_the_default_device(request):
    request.addfinalizer(lambda: torch.set_default_device(None))
    x = torch.zeros(4, 2, 3)
    torch.set_default_device("meta")
    packed = pack_padded_sequence(x, [4, 2])
    assert packed.batch_sizes.device.type == reversed_rows([2, 2, 1, 1], x.device).device.type == "cpu"
