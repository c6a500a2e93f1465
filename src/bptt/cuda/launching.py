"""Loads and launches the kernels on a GPU, by the CUDA driver."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch

from .arguments import Arguments
from .compiling import KernelError, PlaceError, compiled
from .plan import KernelPlan


class Launcher(Protocol):
    """A way to run the kernels: on a GPU, or in a test on a CPU."""

    def unavailable(self, device: torch.device) -> str | None:
        """In words, why nothing can be launched on a device; None where it can."""
        ...

    def capability(self, device: torch.device) -> tuple[int, int]:
        """Its compute capability."""
        ...

    def load(self, plan: KernelPlan, device: torch.device) -> None:
        """Make the two kernels of a plan ready to be launched.

        Raises:
            PlaceError: the device has no place for them.
            KernelError: they cannot be compiled or loaded, and so no others.
        """
        ...

    def launch(self, plan: KernelPlan, back: bool, arguments: Arguments, device: torch.device) -> None:
        """Launch one of them, on the device's current stream."""
        ...


class Kernels(NamedTuple):
    """The loaded kernels of a plan."""

    forward: Any  # CUfunction
    backward: Any
    context: Any  # CUcontext, the device's primary one, which torch uses too


class Driver:
    """The CUDA driver, called through cuda.bindings.

    A launch only enqueues, so a CUDA graph can capture it; a call before has to compile and load the variant.
    """

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"the CUDA kernels run on CUDA, and this is on {device}"
        if os.environ.get("BPTT_CUDA") != "1":
            return (
                "the CUDA kernels have never been run on a GPU; the environment variable BPTT_CUDA=1 allows them"
            )
        if torch.version.hip is not None:
            return "this torch is built for ROCm"
        return None

    def capability(self, device: torch.device) -> tuple[int, int]:
        return torch.cuda.get_device_capability(device)

    def load(self, plan: KernelPlan, device: torch.device) -> None:
        _loaded(plan, device)

    def launch(self, plan: KernelPlan, back: bool, arguments: Arguments, device: torch.device) -> None:
        if arguments.sizes and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                "the CUDA kernels read a packed batch's sizes from memory that a CUDA graph would not keep; "
                "capture sequences of one length, or unset BPTT_CUDA"
            )
        kernels, blocks = _loaded(plan, device), plan.blocks_for(arguments.B)
        config = _launch(plan, back, blocks, torch.cuda.current_stream(device).cuda_stream)
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        try:
            with _in_context(kernels.context):
                _done("cuLaunchKernelEx", config, kernels[back], ctypes.addressof(pointers), 0)
        except KernelError as error:
            raise KernelError(
                f"{error}; an earlier kernel may have caused it, see CUDA_LAUNCH_BLOCKING=1"
            ) from error


@cache
def _loaded(plan: KernelPlan, device: torch.device) -> Kernels:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "no CUDA kernel can be loaded while a CUDA graph is captured; call the module once with such an input "
            "before, forward and back"
        )
    code = compiled(plan, torch.cuda.get_device_capability(device))
    kernels = []
    context = _done("cuDevicePrimaryCtxRetain", _done("cuDeviceGet", device.index))
    with _in_context(context):
        module = _done("cuModuleLoadData", code.cubin)
        for back, name in enumerate((code.forward, code.backward)):
            kernel, shared = _done("cuModuleGetFunction", module, name.encode()), plan.shared_bytes(bool(back))
            _set_attribute(kernel, "MAX_DYNAMIC_SHARED_SIZE_BYTES", shared)
            if plan.blocks > 8:  # more than every GPU with clusters has
                _set_attribute(kernel, "NON_PORTABLE_CLUSTER_SIZE_ALLOWED", 1)
            config = _launch(plan, bool(back), plan.blocks, 0)
            if plan.blocks > 1 and _done("cuOccupancyMaxActiveClusters", kernel, config) == 0:
                raise PlaceError(f"{device} has no place for a cluster of {plan.blocks} blocks of this size")
            kernels.append(kernel)
    return Kernels(kernels[0], kernels[1], context)


@contextmanager
def _in_context(context: Any) -> Iterator[None]:
    """Within it, the driver's calls are for this context.

    A new thread has none, and torch gives it none for device 0: autograd's thread, in the first backward pass.
    """
    _done("cuCtxPushCurrent", context)
    try:
        yield
    finally:
        _done("cuCtxPopCurrent")


def _set_attribute(kernel: Any, name: str, value: int) -> None:
    attribute = getattr(_driver().CUfunction_attribute, f"CU_FUNC_ATTRIBUTE_{name}")
    _done("cuFuncSetAttribute", kernel, attribute, value)


def _launch(plan: KernelPlan, back: bool, blocks: int, stream: int) -> Any:
    """The sizes of a launch."""
    driver = _driver()
    config = driver.CUlaunchConfig()
    config.gridDimX, config.gridDimY, config.gridDimZ = blocks, 1, 1
    config.blockDimX, config.blockDimY, config.blockDimZ = plan.threads, 1, 1
    config.sharedMemBytes = plan.shared_bytes(back)
    config.hStream = driver.CUstream(stream)
    if plan.blocks > 1:
        cluster = driver.CUlaunchAttribute()
        cluster.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        cluster.value.clusterDim.x, cluster.value.clusterDim.y, cluster.value.clusterDim.z = plan.blocks, 1, 1
        config.attrs, config.numAttrs = [cluster], 1
    return config


def _driver() -> Any:
    from cuda.bindings import driver  # pyright: ignore  # an optional package

    return driver


def _done(name: str, *arguments: Any) -> Any:
    """The result of a function of the driver, which must succeed."""
    try:
        status, *result = getattr(_driver(), name)(*arguments)
    except (ImportError, RuntimeError) as error:  # the driver's library is missing
        raise KernelError(f"the CUDA driver cannot be called: {error}") from error
    except (KeyError, ValueError) as error:  # the driver is newer than cuda.bindings
        raise KernelError(f"{name} gave a status that cuda.bindings does not know: {error}") from error
    if int(status) != 0:
        raise KernelError(f"{name} failed: {status.name}")
    return result[0] if result else None
