import io
from contextlib import suppress

import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.npy_files import native, read_npy


def written(folder, array):
    np.save(folder / "a.npy", array, allow_pickle=True)
    return folder / "a.npy"


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f2", ">i4", "u8", "?", np.longdouble])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_kind_of_number_in_every_order(tmp_path, dtype, order):
    wanted = np.array([[0, 1], [1, 0], [1, 1]])
    found = read_npy(written(tmp_path, wanted.astype(dtype, order=order)))
    assert native(found).tolist() == wanted.tolist()
    assert native(found).dtype.isnative
    assert native(read_npy(written(tmp_path, wanted[:, 1].astype(dtype)))).tolist() == [[1], [0], [1]]


@pytest.mark.parametrize(
    "array",
    [
        *(np.array(1.0), np.zeros((2, 2, 2)), np.zeros(3, complex), np.array(["a"]), np.array([{}], dtype=object)),
        *(np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f8")]), np.zeros((0, 3)), np.zeros((3, 0))),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, array):
    with pytest.raises(UserError, match=r"numbers \(rows,\) or|holds no numbers"):
        read_npy(written(tmp_path, array))


def header(text, version=b"\x01\x00"):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 64


SHAPED = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        *((b"", "no .npy file"), (b"abc", "no .npy file"), (b"PK\x03\x04", "ZIP archive"), (b"PAR1", "Parquet")),
        *((b"\x93NUMPY", "damaged"), (b"\x93NUMPY\x01", "damaged"), (header("", b"\x07\x00"), "version")),
        *((header(SHAPED.format("(2**70, 2)")), "damaged"), (header("(" * 9000), "damaged")),
        (header(SHAPED.format(f"({2**62}, 4)")), "is damaged: .* takes .* and 64 are there"),
        (header(SHAPED.format("(9,)")), r"takes 72 bytes, and 64 are there"),
        (header(SHAPED.format("(-1, 2)")), "its shape is"),
        (header(SHAPED.format("(True, 2)")), "its shape is"),
        (header("x" * 60000), "damaged .npy header"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, raw, words):
    (tmp_path / "a.npy").write_bytes(raw)
    with pytest.raises(UserError, match=words) as error:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(error.value)


def test_no_changed_byte_of_a_header_does_anything_else(tmp_path):
    file = io.BytesIO()
    np.save(file, np.arange(8.0))
    raw, draw, path = file.getvalue(), np.random.default_rng(0), tmp_path / "a.npy"
    for _ in range(1000):
        changed = bytearray(raw)
        for place in draw.integers(6, 70, draw.integers(1, 4)):
            changed[place] = draw.choice(list(b"(){}[]'\"0:,<>fiO\\#\xff"))
        path.write_bytes(changed)
        with suppress(UserError):
            assert read_npy(path).ndim == 2
