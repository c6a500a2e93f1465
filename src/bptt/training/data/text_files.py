"""Text files: whether a path is a file, and whether the file holds UTF-8 text."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import UserError

# The first bytes of files that are not text, and what to do with such files.
OTHERS = {
    b"\x1f\x8b": "is compressed; unpack it with gunzip first",
    b"PK\x03\x04": "is a ZIP archive, as Excel and NumPy's .npz are; save the table as CSV, Parquet or .npy",
    b"PK\x05\x06": "is an empty ZIP archive",
    b"PAR1": "holds Parquet; let its name end in .parquet",
    b"\x93NUMPY": "holds a NumPy array; let its name end in .npy",
    b"\xfd7zXZ\0": "is compressed; unpack it with unxz first",
    b"BZh91AY&SY": "is compressed; unpack it with bunzip2 first",
    b"(\xb5/\xfd": "is compressed; unpack it with unzstd first",
    b"\x89HDF": "holds HDF5; save the table as CSV or Parquet",
    b"ARROW1": "holds Arrow; save the table as CSV or Parquet",
    b"\xd0\xcf\x11\xe0": "is an old Excel or Word file; save the table as CSV",
    b"%PDF": "is a PDF",
}
WIDE = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
MARK = b"\xef\xbb\xbf"  # the byte order mark


def check_file(path: Path, wanted: str, advice: str = "") -> None:
    """Refuse a path that is no regular file.

    Args:
        path: the file.
        wanted: the kinds of file that can be used.
        advice: how the message on a missing file continues.

    Raises:
        UserError: there is no such file (with its folder), or it is a folder or no regular file.
    """
    if not path.exists():
        place = "" if path.is_absolute() else f" in {Path.cwd()}, from where it is looked for"
        raise UserError(f"{path}: there is no such file{place}{advice}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise UserError(f"{path} is {kind}; {wanted} is needed")


def check_encoding(path: Path, head: bytes, otherwise: str = "") -> None:
    """Refuse a file whose first bytes, a dozen at least, are those of another kind of file or encoding."""
    for begin, kind in OTHERS.items():
        if head.startswith(begin):
            raise UserError(f"{path} {kind}{otherwise}")
    for begin, encoding in WIDE.items():
        if head.startswith(begin):
            raise UserError(f"{path} is not UTF-8 but {encoding}; {_convert(path, encoding)}{otherwise}")


def decode_utf8(path: Path, raw: bytes, offset: int = 0, otherwise: str = "") -> str:
    """Decode a file's bytes from `offset` on; a UserError with the place where they are not UTF-8, or NUL."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: byte {raw[error.start]:#04x} at offset {offset + error.start}; if it is "
            f"latin-1, {_convert(path, 'latin-1')}{otherwise}"
        ) from error
    if b"\0" in raw:
        place = offset + raw.index(b"\0")
        raise UserError(f"{path} holds a NUL character at offset {place}: it is not a text file{otherwise}")
    return text


def _convert(path: Path, encoding: str) -> str:
    return f"convert it with: iconv -f {encoding} -t utf-8 {path.name} > converted{path.suffix}"


def read_bytes(path: Path) -> bytes:
    """A file's content; a UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def read_utf8(path: Path, otherwise: str = "") -> str:
    """A file's text without its byte order mark, its lines ended by a line feed; a UserError if it is not text."""
    raw = read_bytes(path)
    check_encoding(path, raw, otherwise)
    begin = len(MARK) if raw.startswith(MARK) else 0
    return re.sub("\r\n?", "\n", decode_utf8(path, raw[begin:], begin, otherwise))
