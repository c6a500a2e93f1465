"""The variants of the CUDA kernels that are loaded, and the choice of one for a walk."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import torch

from ..cuda.compiling import KernelError, PlaceError, warn_once
from ..cuda.launching import Driver, Launcher
from ..cuda.plan import LEAST_STEPS, ROWS, KernelPlan, cell_type, plan
from ..equations.protocol import Equations
from .call import Call


class Variant(NamedTuple):
    """A loaded variant of the kernels."""

    launcher: Launcher
    plan: KernelPlan


class Variants:
    """Every device's variants.

    Args:
        launcher: loads and runs them.
    """

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.refusing: dict[torch.device, str] = {}  # devices that load nothing
        self.failed: dict[torch.device, dict[KernelPlan, str]] = defaultdict(dict)  # variants without a place
        self._chosen = lru_cache(maxsize=1024)(self._loaded)

    def of_call(self, call: Call) -> KernelPlan | str:
        """The one that walks a call, compiled and loaded; or, in words, why there is none."""
        (B, H), sizes = call.state[0].shape, call.batch_sizes
        steps = len(call.x if sizes is None else sizes)
        return self._of(call.cell, call.x.dtype, H, B, steps, sizes is not None, call.x.device)

    def of_any_length(
        self, cell: Equations, dtype: torch.dtype, H: int, packed: bool, device: torch.device
    ) -> KernelPlan | str:
        """The one by which an operator walks, whatever T and B are; or why there is none."""
        return self._of(cell, dtype, H, ROWS, LEAST_STEPS.value, packed, device)

    def of_operator(self, call: Call) -> Variant:
        """`of_any_length` for a call.

        Raises:
            RuntimeError: there is none on this device.
        """
        device, H = call.x.device, call.state[0].shape[1]
        chosen = self.launcher.unavailable(device) or self.of_any_length(
            call.cell, call.x.dtype, H, call.batch_sizes is not None, device
        )
        if isinstance(chosen, str):
            raise RuntimeError(f"the operator bptt::cuda_walk cannot run here: {chosen}")
        return Variant(self.launcher, chosen)

    def _of(
        self, cell: Equations, dtype: torch.dtype, H: int, B: int, T: int, packed: bool, device: torch.device
    ) -> KernelPlan | str:
        if cell_type(cell) is None:  # a user's cell, perhaps one without a hash
            return plan(cell, dtype, H, B, T, packed, self.launcher.capability(device))
        return self._chosen(cell, dtype, H, B, T, packed, device)

    def _loaded(
        self, cell: Equations, dtype: torch.dtype, H: int, B: int, T: int, packed: bool, device: torch.device
    ) -> KernelPlan | str:
        """The variant for these sizes, loaded; or why there is none."""
        capability, failed = self.launcher.capability(device), self.failed[device]
        while True:
            chosen = plan(cell, dtype, H, B, T, packed, capability, failed)
            if isinstance(chosen, str):
                if chosen in failed.values():
                    warn_once(f"the CUDA kernels are not used, as {chosen}")
                return chosen
            if device in self.refusing:
                return self.refusing[device]
            try:
                self.launcher.load(chosen, device)
                return chosen
            except PlaceError as error:  # another variant may have one, one of fewer blocks for example
                failed[chosen] = str(error)
            except KernelError as error:
                self.refusing[device] = str(error)
                warn_once(f"the CUDA kernels are not used, as {error}")


VARIANTS = Variants(Driver())
