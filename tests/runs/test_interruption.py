import os
import signal

import pytest

from bptt.runs.interruption import Interruption, ended_at_once


def test_the_first_is_remembered_and_the_second_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.came()
        assert interruption.signal is None
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.came()
        assert interruption.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_filters_interrupt_is_the_systems_own_and_is_put_back():
    with ended_at_once():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ended_at_once():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.signal(signal.SIGINT, before) is signal.SIG_IGN
