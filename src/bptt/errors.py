"""Errors that a user can fix: a message is one line that says what was given, what was expected and what to do."""

from __future__ import annotations

from typing import Any


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
