"""How much memory a computation holds at its peak, counted tensor by tensor on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..walks import cpu


class Meter(TorchDispatchMode):
    """Counts the bytes of the tensors made under it: those alive now, and the most there ever were.

    Beside them, `scratch` is the most that bptt's kernels held for themselves during a call, and `total` the most
    of both together. What other native code allocates, and gives back before it returns, is not seen.

    >>> import torch
    >>> with Meter() as meter:
    ...     a = torch.zeros(1000)
    ...     b = a + 1
    ...     del a
    >>> meter.live, meter.peak
    (4000, 8000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.scratch = self.total = 0
        self._sizes: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or the first use imports the whole of torch.compile, for seconds

    def __enter__(self) -> Meter:
        cpu.scratch()  # forget what was before
        return super().__enter__()

    def __torch_dispatch__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for t in args:
            if isinstance(t, Tensor):
                self._count(t, made=False)
        result = function(*args, **(kwargs or {}))
        for t in result if isinstance(result, tuple | list) else (result,):
            if isinstance(t, Tensor):
                self._count(t, made=True)
        scratch = cpu.scratch()
        self.scratch = max(self.scratch, scratch)
        self.total = max(self.total, self.live + scratch)
        return result

    def _count(self, t: Tensor, made: bool) -> None:
        """Count a tensor's memory once; what was there before is 0 bytes of it."""
        storage = t.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes() if made else 0
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.live -= self._sizes.pop(key)
