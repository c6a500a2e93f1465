"""Every test of the modules once more, with cuDNN's backend and a stand-in for it."""

import pytest

from standin_cudnn import cudnn_on_cpus
from test_module_nonfinite import *  # noqa: F403
from test_module_transforms import *  # noqa: F403
from test_modules import *  # noqa: F403

# It runs in another process, which has no stand-in.
del test_workers_forked_after_a_walk_by_two_threads_can_walk  # noqa: F821


@pytest.fixture(autouse=True)
def cudnn():
    with cudnn_on_cpus():
        yield
