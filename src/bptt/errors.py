"""Errors and warnings for a user: one line that says what was given, what was expected and what to do."""

from __future__ import annotations

import sys
import warnings
from typing import Any

OWN = ("bptt", "contextlib")  # modules whose lines no warning points at


def warn(message: str) -> None:
    """Warn at the user's line that called the package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OWN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


class UserError(Exception):
    """A problem with the user's data, options or files; the command line prints it and exits with 2."""


class NothingThere(UserError):
    """A table, or one of many series, has no values, or too few to train on."""


class TrainingDiverged(Exception):
    """The loss or its gradient is no longer a finite number; the last finite weights are kept.

    Attributes:
        walked: x, d and the initial state of the update that failed.
    """

    def __init__(self, message: str, walked: Any = None) -> None:
        super().__init__(message)
        self.walked = walked
