"""Files of text: whether they are there, and whether what they hold is text."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import UserError

# What other files begin with, and what to do with them.
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
MARK = b"\xef\xbb\xbf"  # the byte order mark that a UTF-8 file may begin with


def check_file(path: Path, wanted: str) -> None:
    """There is such a file.

    Args:
        path: of the file.
        wanted: the kinds of file that can be used, for the error.

    Raises:
        UserError: there is none, and then the message has the whole path, or it is a folder or no regular file.
    """
    if not path.exists():
        place = "" if path.is_absolute() else f" in {Path.cwd()}, from where it is looked for"
        raise UserError(f"{path}: there is no such file{place}")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise UserError(f"{path} is {what}; {wanted} is needed")


def check_encoding(path: Path, head: bytes, otherwise: str = "") -> None:
    """A file that begins so may be text.

    Args:
        path: of the file.
        head: the first bytes of it, a dozen or more.
        otherwise: what else can be done, for the error.

    Raises:
        UserError: it is a file of another kind, or in another encoding.
    """
    for begin, what in OTHERS.items():
        if head.startswith(begin):
            raise UserError(f"{path} {what}{otherwise}")
    for begin, encoding in WIDE.items():
        if head.startswith(begin):
            raise UserError(f"{path} is not UTF-8 but {encoding}; {_converted(path, encoding)}{otherwise}")


def decode_utf8(path: Path, raw: bytes, offset: int = 0, otherwise: str = "") -> str:
    """The text of some bytes of a file.

    Args:
        path: of the file.
        raw: the bytes.
        offset: of the first of them in the file.
        otherwise: what else can be done, for the error.

    Raises:
        UserError: they are not UTF-8, or hold NUL characters.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: byte {raw[error.start]:#04x} at offset {offset + error.start}; if it is "
            f"latin-1, {_converted(path, 'latin-1')}{otherwise}"
        ) from error
    if b"\0" in raw:
        place = offset + raw.index(b"\0")
        raise UserError(f"{path} holds a NUL character at offset {place}: it is not a text file{otherwise}")
    return text


def _converted(path: Path, encoding: str) -> str:
    return f"convert it with: iconv -f {encoding} -t utf-8 {path.name} > converted{path.suffix}"


def bytes_of(path: Path) -> bytes:
    """A file's content."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def read_utf8(path: Path, otherwise: str = "") -> str:
    """A file's text, UTF-8 with or without a byte order mark, each line ended by a line feed.

    Args:
        path: of the file.
        otherwise: what else can be done with one that is not text, for the error.

    Raises:
        UserError: it cannot be read, or is not text.
    """
    raw = bytes_of(path)
    check_encoding(path, raw, otherwise)
    begin = len(MARK) if raw.startswith(MARK) else 0
    return re.sub("\r\n?", "\n", decode_utf8(path, raw[begin:], begin, otherwise))
