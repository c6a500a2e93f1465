"""Standard input, output and errors, whatever they are: closed, ASCII, a terminal."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import UserError
from ..printable import message, printable
from ..terminal import PLAIN, fitted


def open_all() -> None:
    """Let there be three streams, and let none of them fail on a character; for the start of a process.

    A closed one reads as empty, and what is written to it goes nowhere; nothing opened later takes its place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)


def say(*parts: Any, sep: str = "\n\n") -> None:
    """Print words for a person, names of others in them."""
    print(fitted(printable(sep.join(map(str, parts)), keep="\n")))


def complain(what: str, error: object) -> None:
    """Print an error as one line; a terminal may need several."""
    print(fitted(f"{what}: {message(str(error))}", sys.stderr), file=sys.stderr)


@contextmanager
def warnings_printed(tell: Callable[[str], None]) -> Iterator[None]:
    """Print each warning of a block as one line, when it comes.

    Args:
        tell: prints a line `warning: ...`, names of others written out in it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda warning, *_: tell(f"warning: {warning}")
        yield


class Exact:
    """Standard output for data: every character as it is, or none; written out where it is shown on a terminal."""

    def write(self, text: str) -> None:
        """Write a text.

        Raises:
            UserError: it has a character that standard output cannot hold.
        """
        if sys.stdout.isatty():
            text = printable(text, keep="\n")
        try:
            text.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError as error:
            raise UserError(
                f"standard output is {sys.stdout.encoding} and cannot hold {error.object[error.start]!r}; set "
                "PYTHONIOENCODING=utf-8, or pass --out FILE where there is one"
            ) from error
        sys.stdout.write(text)


def checked(arguments: list[str]) -> list[str]:
    """A command line's arguments, all of them text.

    Raises:
        UserError: one is not, and why.
    """
    for place, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raw = os.fsencode(argument)
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                raise UserError(
                    f"argument {place}, {argument!r}, is not UTF-8; rename the file, or change the text"
                ) from error
            raise UserError(
                f"argument {place}, {raw.decode('utf-8')!r}, has characters that this locale does not; set "
                "LC_ALL=C.UTF-8"
            ) from error
    return arguments
