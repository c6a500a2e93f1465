"""What a user can mend: every message is one line that says what came, what was wanted and what to do."""


class UserError(Exception):
    """A problem with the user's data, options or files; the command line prints it and exits with 2."""


class TrainingDiverged(Exception):
    """The loss is no longer a finite number; what was last finite has been kept."""
