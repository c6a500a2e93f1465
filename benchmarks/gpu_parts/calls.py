"""The operations of one walk by cuDNN and of its backward pass, counted: what it costs beside the call itself.

    python benchmarks/gpu.py --table

prints a line for each kind and dtype, with the range over layers, directions, bias and packed; without a GPU by
the stand-in for cuDNN of the tests. A view of a tensor launches nothing and is not counted.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import bptt
from bptt.walks import cudnn

from .cases import Case, every_case, sources_of, tensors_of
from .measuring import Clock, Line, is_gpu

VIEWS = {"view", "detach", "alias", "select", "slice", "unsqueeze", "squeeze", "as_strided", "expand"}
READS = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique_consecutive"}


class Operations(TorchDispatchMode):
    """Counts operations, and those that make Python wait for the device or copy between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.waits: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        name = op.__name__.split(".")[0]
        devices = {t.device for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor) and t.dim()}
        if name in READS or len(devices) > 1:
            self.waits.append(name)
        if name not in VIEWS:
            self.counts[name] += 1
        return result


@contextmanager
def counting() -> Iterator[Operations]:
    """Count within it. The walks take the route they take when nobody counts; on CUDA torch warns of each wait."""
    with (
        patch.object(cudnn, "must_be_an_operator", lambda tensors: False),
        warnings.catch_warnings(record=True, action="always") as warned,
        Operations() as operations,
    ):
        if not torch.cuda.is_available():
            yield operations
            return
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield operations
        finally:
            torch.cuda.set_sync_debug_mode("default")
    operations.waits += [str(one.message) for one in warned if "called a synchronizing" in str(one.message)]


class Counted(NamedTuple):
    """The operations of one walk, without views."""

    forward: Counter[str]
    backward: Counter[str]
    waits: list[str]  # those that wait for the device or copy between devices

    def calls(self) -> tuple[int, int]:
        """cuDNN's, forward and backward."""
        return self.forward["_cudnn_rnn"], self.backward["_cudnn_rnn_backward"]

    def others(self) -> int:
        """Those that are neither cuDNN's, nor a cat, nor an autocast's conversion."""
        both = self.forward + self.backward
        return both.total() - sum(self.calls()) - both["cat"] - both["_to_copy"]


def counted(module: Any, x: Any, case: Case, device: torch.device) -> Counted:
    """The second call of a module, as the first one learns the order of cuDNN's buffer."""
    with case.numbers(device):
        module(x)
        with counting() as forward:
            results = tensors_of(module(x))
    seeds = [torch.ones_like(t) for t in results]
    with counting() as backward:
        torch.autograd.grad(results, sources_of(module, x), seeds)
    return Counted(forward.counts, backward.counts, forward.waits + backward.waits)


def table(device: torch.device) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'':<46}{'forward':>9}{'backward':>10}{'cat':>5}{'converted':>11}{'others':>8}{'waits':>7}"
    for name, found in groups(device, every_case()):
        yield row(name, found)


def calls(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line of the table for each kind and dtype; on CUDA one of torch.nn's module too."""
    chosen = [case for case in every_case() if not tiny or (case.layers, case.directions) == (2, 2)]
    for name, found in groups(device, clock.each(chosen)):
        waits = [wait for one in found for wait in one.waits]
        wrong = waits or any(one.calls() != (1, 1) or one.forward["cat"] > 1 for one in found)
        yield Line(row(name, found) + f"  {' '.join(waits)}", {"row": row(name, found)}, bool(wrong))
        if is_gpu(device):
            same = [case for case in chosen if name_of_group(case) == name]
            for title, make in (("torch.nn", of_torch), ("bptt.from_torch of it", converted)):
                other = row(f"    {title}", next(groups(device, same, make))[1])
                yield Line(other, {"row": other})


def groups(
    device: torch.device, cases: Iterable[Case], make: Callable[[Case, torch.device], Any] = Case.module
) -> Iterator[tuple[str, list[Counted]]]:
    """The counts of each kind and dtype, by its name; `make` makes the module of a case."""
    for name, group in itertools.groupby(cases, name_of_group):
        yield name, [counted(make(case, device), case.x(device), case, device) for case in group]


def of_torch(case: Case, device: torch.device) -> Any:
    """torch.nn's module, which lays its weights out for cuDNN when it is moved to the device."""
    return case.module(device, nn)


def converted(case: Case, device: torch.device) -> Any:
    """The same by bptt."""
    return bptt.from_torch(of_torch(case, device))


def name_of_group(case: Case) -> str:
    """A case's kind and dtypes."""
    return ", ".join([case.kind, *str(case).split("bias, ")[-1].removeprefix("packed, ").split(", ")])


def row(name: str, found: list[Counted]) -> str:
    """One line of the table: the least and the most of each count."""
    forward, backward = zip(*(one.calls() for one in found), strict=True)
    columns = (
        (forward, 9),
        (backward, 10),
        ([one.forward["cat"] for one in found], 5),
        ([one.forward["_to_copy"] + one.backward["_to_copy"] for one in found], 11),
        ([one.others() for one in found], 8),
        ([len(one.waits) for one in found], 7),
    )
    return f"{name:<46}" + "".join(f"{_range(c):>{width}}" for c, width in columns)


def _range(counts: Any) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least}-{most}"
