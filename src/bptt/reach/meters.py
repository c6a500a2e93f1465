"""Meters of the memory a computation takes: by a device's allocator where it counts, else tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..walks import kernels


class TensorMeter(TorchDispatchMode):
    """Counts the bytes of the tensors made under it: those alive now, and their peak.

    `scratch` is the peak of what bptt's kernels allocate for themselves during a call, `total` that of both
    together. What other native code allocates and frees before it returns is not seen.

    >>> import torch
    >>> with TensorMeter() as meter:
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

    def __enter__(self) -> TensorMeter:
        kernels.scratch()  # forget what was before
        return super().__enter__()

    def __torch_dispatch__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for t in args:
            if isinstance(t, Tensor):
                self._count(t, made=False)
        result = function(*args, **(kwargs or {}))
        for t in result if isinstance(result, tuple | list) else (result,):
            if isinstance(t, Tensor):
                self._count(t, made=True)
        scratch = kernels.scratch()
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


class AllocatorMeter:
    """Counts the bytes that a device's allocator gives out beyond those in use when it begins; resets its peak.

    Kernels allocate what they need for themselves there too, so that there is no scratch beside the tensors.
    """

    scratch = 0

    def __init__(self, device: torch.device) -> None:
        self._device, self._module = device, torch.get_device_module(device)
        self.peak = 0

    def __enter__(self) -> AllocatorMeter:
        self._module.reset_peak_memory_stats(self._device)
        self._before = self._module.memory_allocated(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = self._module.max_memory_allocated(self._device) - self._before

    @property
    def live(self) -> int:
        """The bytes in use now."""
        return self._module.memory_allocated(self._device) - self._before

    @property
    def total(self) -> int:
        """The peak of all together."""
        return self.peak


def meter_on(device: torch.device) -> TensorMeter | AllocatorMeter:
    """The meter of a device: its allocator's, where it counts its peak, as CUDA's does."""
    counts = device.type != "cpu" and hasattr(torch.get_device_module(device), "max_memory_allocated")
    return AllocatorMeter(device) if counts else TensorMeter()
