import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import bptt
from bptt.errors import UserError
from bptt.training.data import csv_files
from bptt.training.data import stream as module
from bptt.training.data.stream import stream

N = 103
TABLE = np.stack([np.arange(N), 1000 + np.arange(N), np.sin(np.arange(N))], 1)


def written(folder, kind):
    path, frame = folder / f"series.{kind}", pl.DataFrame(TABLE, schema=["a", "b", "c"])
    if kind == "npy":
        np.save(path, TABLE)
    elif kind == "csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, row_group_size=10)
    return path


def names(kind, *wanted):
    return [str("abc".index(name)) if kind == "npy" else name for name in wanted]


@pytest.fixture(params=["csv", "parquet", "npy"])
def kind(request):
    return request.param


@pytest.mark.parametrize("piece", [1, 50, 10**6])
@pytest.mark.parametrize(("batch", "window", "ahead"), [(1, 20, 1), (4, 7, 0), (3, 5, 2), (102, 3, 1)])
def test_windows_of_parallel_stretches(tmp_path, monkeypatch, kind, piece, batch, window, ahead):
    monkeypatch.setattr(module, "PIECE", piece)
    monkeypatch.setattr(csv_files, "BLOCK", 100)
    opened = stream(written(tmp_path, kind), names(kind, "c", "a"), names(kind, "b"), ahead, batch, window)
    steps = (N - ahead) // batch
    assert opened.steps == steps
    for _ in range(2):  # each pass is the same
        pairs = list(opened)
        assert [len(x) for x, _ in pairs[:-1]] == [window] * (len(pairs) - 1)
        x, d = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        assert x.shape == (steps, batch, 2)
        for row in range(batch):
            first = row * steps
            wanted = torch.from_numpy(TABLE[first : first + steps + ahead]).float()
            assert torch.equal(x[:, row], wanted[:steps, [2, 0]])
            assert torch.equal(d[:, row], wanted[ahead:, [1]])


def test_all_columns_forecast_themselves(tmp_path, kind):
    x, d = next(iter(stream(written(tmp_path, kind), dtype=torch.float64)))
    assert x.dtype == torch.float64
    assert x.shape == d.shape == (20, 1, 3)
    assert torch.equal(x[1:], d[:-1])


def test_position_is_saved_and_restored(tmp_path, kind):
    path = written(tmp_path, kind)
    first = stream(path, batch=2, window=10)
    pairs = iter(first)
    next(pairs), next(pairs)
    again = stream(path, batch=2, window=10)
    again.load_state_dict(first.state_dict())
    for pair, other in zip(pairs, again, strict=True):
        assert torch.equal(pair[0], other[0])
    assert again.state_dict()["position"] == 0
    for change, words in (({"batch": 3}, "saved with batch=3"), ({"position": 99}, "position must lie between")):
        with pytest.raises(ValueError, match=words):
            again.load_state_dict(first.state_dict() | change)
    with pytest.raises(ValueError, match="the state of a stream has"):
        again.load_state_dict({})


def test_truncated_learns_from_it_and_carries_the_state(tmp_path, kind):
    model = bptt.SequenceModel(bptt.GRU(1, 4), 1)
    opened = stream(written(tmp_path, kind), names(kind, "c"), batch=2, window=10)
    found = list(bptt.truncated(model, opened, None, nn.MSELoss(), k1=10, k2=20))
    assert [window.start for window in found] == list(range(0, 51, 10))
    x = torch.cat([x for x, _ in opened])
    assert torch.allclose(torch.cat([window.outputs for window in found]), model(x)[0], atol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_named(tmp_path, kind, wrong, monkeypatch):
    table = TABLE.copy()
    table[57, 1] = wrong
    monkeypatch.setitem(globals(), "TABLE", table)
    pairs = iter(stream(written(tmp_path, kind), batch=2, window=10))
    with pytest.raises(
        UserError, match=rf"row 58, column '{names(kind, 'b')[0]}': (the value is missing|'inf' is not a finite)"
    ):
        list(pairs)


def test_cells_of_a_csv(tmp_path):
    path = tmp_path / "series.csv"
    for text, words in (
        ("a,b\n1,2\n3,x\n4,5\n", "row 2, column 'b': 'x' is not a finite number"),
        ("a,b\n1,2\n3,\n4,5\n", "row 2, column 'b': the value is missing; fill it first"),
        ("a,b\n1,2\n3,4,5\n6,7\n", "line 3: 3 fields where the header has 2"),
        ("a,b\n1,2\n3\n6,7\n", "line 3: 1 fields where the header has 2"),
        ("a,a\n1,2\n", "column 'a' stands twice"),
        ("", "is empty"),
        ("a\n", "has 0 rows"),
        ("a\n1\n", r"has 1 row; 1 streams and targets 1 rows ahead need at least 2"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            list(stream(path))
    path.write_bytes(b'\xef\xbb\xbf"a", b \r\n1,2\r\n3,4\r\n\r\n')
    ((x, d),) = stream(path)
    assert (x.tolist(), d.tolist()) == ([[[1, 2]]], [[[3, 4]]])


def test_a_file_that_shrinks(tmp_path):
    path = tmp_path / "series.csv"
    path.write_text("a\n" + "1\n" * 30)
    opened = stream(path)
    path.write_text("a\n" + "1\n" * 12)
    with pytest.raises(UserError, match="ends after row 12, but had 30 rows when it was opened"):
        list(opened)


def test_refused(tmp_path, kind):
    path = written(tmp_path, kind)
    for arguments, error, words in (
        ({"columns": "z"}, UserError, "has no column 'z'; its columns are"),
        ({"columns": []}, ValueError, "columns are empty"),
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"window": 0}, ValueError, "window must be at least 1"),
        ({"ahead": -1}, ValueError, "ahead must be an int of at least 0"),
        ({"ahead": []}, ValueError, r"or several, got \[\]"),
        ({"ahead": [1, True]}, ValueError, r"or several, got \[1, True\]"),
        ({"batch": 103}, UserError, "has 103 rows"),
        ({"path": tmp_path / "none.csv"}, UserError, "there is no such file"),
        ({"path": tmp_path}, UserError, "is a folder"),
    ):
        with pytest.raises(error, match=words):
            stream(**{"path": path, **arguments})


def test_files_of_other_kinds(tmp_path):
    for name, words in (("a.txt", "has 0 rows"), ("a.npy", "no .npy file"), ("a.parquet", "as Parquet")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=words):
            stream(tmp_path / name)
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"float64 \(2, 2, 2\); numbers \(rows,\) or"):
        stream(tmp_path / "a.npy")
    pl.DataFrame({"a": ["x", "y"]}).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(UserError, match="column 'a' holds text"):
        list(stream(tmp_path / "text.parquet"))


def test_targets_several_rows_ahead_stand_side_by_side(tmp_path):
    opened = stream(written(tmp_path, "csv"), "a", ["b", "c"], ahead=[3, 0], batch=2, window=6, lags=2)
    assert opened.steps == (N - 3 - 1) // 2
    table = torch.from_numpy(TABLE).float()
    d = torch.cat([d for _, d in opened])
    for stretch in range(2):
        rows = torch.arange(opened.steps) + stretch * opened.steps + 1  # the present ones
        wanted = [table[rows + 3, 1], table[rows, 1], table[rows + 3, 2], table[rows, 2]]
        assert torch.equal(d[:, stretch], torch.stack(wanted, 1))
