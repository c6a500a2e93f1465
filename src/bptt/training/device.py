"""The device to train or to predict on: the one asked for, or the one that suits, with the reason in words."""

from __future__ import annotations

import os
import re
import warnings
from typing import NamedTuple

import torch
from torch import nn

from ..errors import UserError
from ..networks import SequenceModel
from ..reach.out_of_memory import out_of_memory
from ..walks.cudnn_calls import mode_of
from .transfer import CPU
from .workers import ALONE, Workers

# Products of a time step, weights times sequences side by side, from which auto takes a GPU. An estimate, not yet
# measured on a GPU: cuDNN takes 5 to 10 microseconds for a step of a small network, in which a CPU makes as many.
LARGE_ENOUGH = 2**20
NAMES = {"cuda": "CUDA", "mps": "MPS"}


class ChosenDevice(NamedTuple):
    """A device, and why it was chosen: "as --device asks", for example."""

    device: torch.device
    why: str

    def __str__(self) -> str:
        return f"{device_name(self.device)}, {self.why}"


def suitable_device(model: SequenceModel, rows: int, workers: Workers = ALONE) -> ChosenDevice:
    """CUDA where it is and gains time, else the CPU; all workers take the same kind.

    Args:
        model: the network.
        rows: sequences that are walked side by side.
        workers: who train together, each with a GPU of its own.
    """
    why = _why_not("cuda") or _too_few(workers)
    if workers.any(why is not None):
        return ChosenDevice(CPU, f"since {why or 'another worker has no GPU'}")
    device = _own("cuda", "", workers)
    if mode_of(model.recurrent.cell) is None:
        return ChosenDevice(CPU, f"since cuDNN has no such cell and {device_name(device)} would go step by step")
    if sum(weight.numel() for weight in model.parameters()) * rows < LARGE_ENOUGH:
        return ChosenDevice(CPU, f"since the network is too small to gain from {device_name(device)}")
    return ChosenDevice(device, "since the network is large enough to gain from it")


def named_device(name: str, workers: Workers = ALONE) -> ChosenDevice:
    """The device that --device names, for each worker one of its own.

    Raises:
        UserError: it cannot be used here, and why.
    """
    kind, _, number = name.partition(":")
    if (why := _why_not(kind)) is not None:
        raise UserError(f"--device {name}: {why}; pass --device cpu, or auto to use what is there")
    if kind == "cpu":
        return ChosenDevice(CPU, "as --device asks")
    if number and int(number) >= _count(kind):
        there = ", ".join(device_name(torch.device(kind, index)) for index in range(_count(kind)))
        raise UserError(f"--device {name}: there is no such device; pass one of those here: {there}")
    if workers.size > 1:
        if kind != "cuda":
            raise UserError(f"--device {name}: several workers train on the CPU or on CUDA; pass --device cpu")
        if number:
            raise UserError(f"--device {name} is one GPU, and each worker needs its own; pass --device cuda")
        if (why := _too_few(workers)) is not None:
            raise UserError(f"--device {name}: {why}; pass --workers {_count(kind)}, or --device cpu")
    return ChosenDevice(_own(kind, number, workers), "as --device asks")


def device_of_run(name: str | None, trained_on: str, workers: Workers = ALONE) -> ChosenDevice:
    """The device for a run: the one that --device names, else where it was trained, else the CPU.

    Raises:
        UserError: the one named cannot be used here.
    """
    if name not in (None, "auto"):
        return named_device(name, workers)
    kind, _, number = trained_on.partition(":")
    if (why := _why_not(kind) or (_too_few(workers) if kind == "cuda" else None)) is not None:
        return ChosenDevice(CPU, f"since the run was trained on {trained_on} and {why}")
    if kind == "cpu":
        return ChosenDevice(CPU, "as the run was trained")
    number = number if workers.size == 1 and number and int(number) < _count(kind) else ""
    return ChosenDevice(_own(kind, number, workers), "as the run was trained")


def move_model(model: nn.Module, device: torch.device) -> None:
    """Bring a model's weights to a device.

    Raises:
        UserError: the device cannot be used after all.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        if out_of_memory(error) is not None:
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{device_name(device)} cannot be used: {first}; pass --device cpu") from error


def device_name(device: torch.device) -> str:
    """A device with the name that torch has for it: cuda:0 (NVIDIA H100)."""
    if device.type != "cuda":
        return str(device)
    try:
        return f"{device} ({torch.cuda.get_device_name(device)})"
    except RuntimeError:  # of a GPU that cannot be used, as `move_model` says
        return str(device)


def _own(kind: str, number: str, workers: Workers) -> torch.device:
    """A device of a kind: by its number, or each worker's own."""
    if kind != "cuda":
        return torch.device(f"{kind}:{number}" if number else kind)
    return torch.device(kind, int(number or (_local("LOCAL_RANK", 0) if workers.size > 1 else 0)))


def _local(name: str, default: int) -> int:
    """A number that torchrun gives the workers of a machine."""
    return int(os.environ.get(name, default))


def _too_few(workers: Workers) -> str | None:
    """Why the workers on this machine cannot have a GPU each, as a clause; None where they can."""
    here, there = _local("LOCAL_WORLD_SIZE", workers.size), _count("cuda")
    if workers.size == 1 or here <= there:
        return None
    return f"{here} workers need a GPU each, and there {'is' if there == 1 else 'are'} {there}"


def _count(kind: str) -> int:
    return torch.get_device_module(kind).device_count()


def _why_not(kind: str) -> str | None:
    """Why a kind of device cannot be used here, as a clause; None where it can."""
    if kind == "cpu":
        return None
    name = NAMES.get(kind, kind)
    if kind in NAMES and not getattr(torch.backends, kind).is_built():
        return f"this torch ({torch.__version__}) is built without {name}"
    try:
        module = torch.backends.mps if kind == "mps" else torch.get_device_module(kind)
    except RuntimeError:
        return f"torch has no device {kind!r} here"
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        is_there = module.is_available()
    if is_there:
        if kind == "cuda" and torch.cuda._is_in_bad_fork():
            return "this process was forked from one that uses CUDA, which does not work; start it with spawn"
        return None
    if met:  # such as an old driver
        return str(met[0].message).split(" (Triggered")[0].split(". ")[0].rstrip(".")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") if kind == "cuda" else None
    if hidden is not None and not re.match(r"\d|GPU|MIG", hidden):
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU"
    return f"torch finds no {name} device here"
