import signal

import pytest


@pytest.fixture(autouse=True)
def pythons_signal_handlers():
    """Python's own, whatever an earlier test has left: torch's launcher keeps its handlers."""
    own = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in own.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
