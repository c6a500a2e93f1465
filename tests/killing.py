"""Runs of the command that end as nothing inside it expects."""

import pytest

from bptt.commands.train import train
from bptt.training.loop import Training


class Killed(BaseException):
    """Ends a run as nothing inside it expects."""


def killed_at(monkeypatch, config, update):
    """Train until so many updates are done, and end there."""
    own, calls = Training._update, []

    def counted(self):
        if len(calls) == update:
            raise Killed
        calls.append(None)
        return own(self)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_update", counted)
        with pytest.raises(Killed):
            train(config)
