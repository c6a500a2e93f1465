"""The entry point of the command line. It imports nothing at first, so that Ctrl-C works from the start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 bad use, 130 and 143 stopped and saved."""
    try:
        from .commands.streams import open_all

        open_all()
        try:
            from .commands.command_line import answered

            code = answered(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has closed it: end quietly
        code = 0
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
