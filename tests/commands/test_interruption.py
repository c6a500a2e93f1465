import os
import signal

import pytest

from bptt.commands.interruption import Interruption


def test_the_first_is_remembered_and_the_second_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.came()
        assert interruption.exit_code == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.came()
        assert interruption.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
