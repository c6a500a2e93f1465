"""Every test of the modules once more, with cuDNN's backend and a stand-in for it."""

import pytest

from standin_cudnn import cudnn_on_cpus
from test_modules import *  # noqa: F403


@pytest.fixture(autouse=True)
def cudnn():
    with cudnn_on_cpus():
        yield
