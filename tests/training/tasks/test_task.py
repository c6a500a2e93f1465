import inspect

import pytest

from bptt.training.tasks.classify import Classify
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.task import Task
from bptt.training.tasks.text import TextTask


@pytest.mark.parametrize("kind", [Forecast, Classify, TextTask])
def test_every_task_has_what_a_task_has(kind):
    fields = set(getattr(kind, "__dataclass_fields__", {}))
    for name, member in vars(Task).items():
        if name.startswith("_"):
            continue
        assert name in fields or hasattr(kind, name), f"{kind.__name__} has no {name}"
        if inspect.isfunction(member):
            wanted, found = (list(inspect.signature(f).parameters) for f in (member, getattr(kind, name)))
            assert found == wanted, f"{kind.__name__}.{name}"
