import json
import math
import random
import struct

import pytest
import torch

from bptt.errors import UserError
from bptt.training.tensors import read_tensors, write_tensors

TREE = {
    "weights": {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(1.5, dtype=torch.float64)},
    "state": (torch.ones(2, dtype=torch.int64), [None, True, torch.zeros(0)]),
    3: {"loss": [0.1, math.inf, 2**70], "name": '\u03b4 "quoted"'},
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return all(map(same, a, b)) and len(a) == len(b) if isinstance(a, list | tuple) else a == b


def test_a_tree_comes_back_as_it_was(tmp_path):
    write_tensors(tmp_path / "f", TREE)
    assert same(read_tensors(tmp_path / "f"), TREE)
    first = (tmp_path / "f").read_bytes()
    write_tensors(tmp_path / "f", TREE)
    assert (tmp_path / "f").read_bytes() == first


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(TypeError, match=r"a/1 holds a set"):
        write_tensors(tmp_path / "f", {"a": [0, {1}]})
    assert list(tmp_path.iterdir()) == []


def test_no_damage_is_silent(tmp_path):
    path, draw = tmp_path / "f", random.Random(0)
    write_tensors(path, TREE)
    whole = path.read_bytes()
    for number in range(600):
        damaged = bytearray(whole)
        kind = number % 4
        place = draw.randrange(len(whole))
        if kind == 0:
            damaged[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del damaged[place:]
        elif kind == 2:
            damaged[place : place + 16] = bytes(min(16, len(whole) - place))
        else:
            damaged += draw.randbytes(1 + draw.randrange(8))
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"damaged|format"):
            read_tensors(path)


def test_a_flipped_bit_names_its_tensor(tmp_path):
    write_tensors(tmp_path / "f", TREE)
    damaged = bytearray((tmp_path / "f").read_bytes())
    damaged[damaged.rindex(struct.pack("<f", 5.0))] ^= 1
    (tmp_path / "f").write_bytes(damaged)
    with pytest.raises(UserError, match="tensor weights/a does not have its checksum"):
        read_tensors(tmp_path / "f")


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**62]}},
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        },
        {"../../a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header):
    text = json.dumps(header).encode()
    (tmp_path / "f").write_bytes(struct.pack("<Q", len(text)) + text + bytes(12))
    with pytest.raises(UserError, match="damaged"):
        read_tensors(tmp_path / "f")
    (tmp_path / "f").write_bytes(struct.pack("<Q", 2**63) + text)
    with pytest.raises(UserError, match="damaged"):
        read_tensors(tmp_path / "f")


def test_another_format_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("bptt.training.tensors.FORMAT", 99)
    write_tensors(tmp_path / "f", {})
    monkeypatch.undo()
    with pytest.raises(UserError, match="has format 99; this bptt reads 2: update bptt"):
        read_tensors(tmp_path / "f")
