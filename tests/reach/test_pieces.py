import numpy as np
import pytest
import torch
from torch import nn

from bptt.reach.chunks import Chunks, open_sequences
from bptt.reach.pieces import Sequences
from bptt.reach.walker import Walker

WALKER = Walker(nn.GRU(3, 4))
X, D = torch.arange(60.0).view(10, 2, 3), torch.arange(20.0).view(10, 2)


def test_read_where_wanted_without_a_copy():
    source = Sequences(WALKER, X, D)
    piece = source.read(3, 7)
    assert torch.equal(piece.x, X[3:7])
    assert torch.equal(piece.d, D[3:7])
    assert piece.x.data_ptr() == X[3].data_ptr()
    assert source.read(8, 12).x.shape[0] == 2
    assert source.read(10, 12) is None


def test_a_memory_map_is_read_in_place(tmp_path):
    np.save(tmp_path / "x.npy", X.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = Sequences(WALKER, mapped, D)
    assert source.whole.x.data_ptr() == mapped.ctypes.data
    piece = source.read(2, 4)
    assert torch.equal(piece.x, X[2:4])
    piece.x.zero_()  # the file is read only: what is handed out is a copy
    assert torch.equal(source.read(2, 4).x, X[2:4])
    double = Sequences(Walker(nn.GRU(3, 4).double()), mapped, D.long().numpy()).read(2, 4)
    assert double.x.dtype == torch.float64
    assert double.d.dtype == torch.int64


@pytest.mark.parametrize("sizes", [(10,), (1, 2, 3, 4), (5, 5)])
def test_chunks_are_read_as_needed_and_let_go(sizes):
    taken = []

    def chunks():
        for pair in zip(X.split(sizes), D.split(sizes), strict=True):
            taken.append(len(pair[0]))
            yield pair

    source = Chunks(WALKER, chunks(), None)
    assert taken == []
    for first, stop in ((0, 3), (1, 4), (4, 6), (4, 8), (7, 11)):
        piece = source.read(first, stop)
        assert torch.equal(piece.x, X[first:stop])
        assert torch.equal(piece.d, D[first:stop])
        assert sum(taken) - taken[-1] < stop, "a chunk was taken before it was needed"
        assert source.held.x.shape[0] == sum(taken) - first
    assert source.read(10, 12) is None


def test_what_is_read_how():
    assert isinstance(open_sequences(WALKER, X, D.numpy()), Sequences)
    assert isinstance(open_sequences(WALKER, iter([X]), [D].__iter__()), Chunks)
    assert isinstance(open_sequences(WALKER, (pair for pair in [(X, D)]), None), Chunks)
    with pytest.raises(TypeError, match="resets comes in chunks but x does not"):
        open_sequences(WALKER, X, D, iter([]))
    with pytest.raises(TypeError, match="x comes in chunks but d is a Tensor"):
        open_sequences(WALKER, iter([X]), D)


def test_resets_in_batches():
    batch_first = Walker(nn.GRU(3, 4, batch_first=True))
    x, d, resets = X.transpose(0, 1), D.T, torch.zeros(2, 10, dtype=torch.bool)
    assert Sequences(batch_first, x, d, resets).read(0, 4).resets.shape == (2, 4)
    with pytest.raises(ValueError, match=r"resets are \(T,\), but x is \(B, T, ·\)"):
        Sequences(batch_first, x, d, resets[0])
    with pytest.raises(ValueError, match=r"x has 2 sequences, but resets are \(3, 10\)"):
        Sequences(batch_first, x, d, torch.zeros(3, 10, dtype=torch.bool))


def pairs(*given):
    return Chunks(WALKER, iter(given), None)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ((X[:, :1], D[:, :1]), r"a step of the chunk after step 10 is x float32 \(1, 1, 3\)"),
        ((X[..., :2], D), r"x float32 \(1, 2, 2\)"),
        ((X.double(), D), "x float64"),
        ((X, D.unsqueeze(-1)), r"d float32 \(1, 2, 1\), but of those before it was x float32 \(1, 2, 3\)"),
    ],
)
def test_chunks_that_differ(second, words):
    source = pairs((X, D), second)
    source.read(0, 10)
    with pytest.raises(ValueError, match=words):
        source.read(5, 15)


def test_chunks_that_are_none():
    with pytest.raises(ValueError, match=r"x gave no chunk.*make a new one for each pass"):
        pairs().read(0, 10)
    with pytest.raises(TypeError, match="after 0 steps it gave a NoneType"):
        pairs(None, (X, D)).read(0, 10)


def test_no_gradients_no_sequences():
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        open_sequences(WALKER, X, D)
