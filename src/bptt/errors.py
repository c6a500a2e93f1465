"""What a user can mend: every message is one line that says what came, what was wanted and what to do."""

from __future__ import annotations

from typing import Any


class UserError(Exception):
    """A problem with the user's data, options or files; the command line prints it and exits with 2."""


class NothingThere(UserError):
    """A table, or one of many series, has no values, or too few, to be learned from."""


class TrainingDiverged(Exception):
    """The loss or its gradient is no longer a finite number; what was last finite has been kept.

    Attributes:
        walked: x, d and the state before them of the update it happened in.
    """

    def __init__(self, message: str, walked: Any = None) -> None:
        super().__init__(message)
        self.walked = walked
