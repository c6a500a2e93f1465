"""The CUDA kernels' launcher on the CPU: each variant is compiled for it when it is first needed."""

from pathlib import Path

import torch

from bptt.cuda.arguments import Arguments
from bptt.cuda.plan import KernelPlan

from .standin import StandIn


class StandInLauncher:
    """Plans as for one compute capability, and walks on the CPU."""

    def __init__(self, folder: Path, capability: tuple[int, int] = (9, 0)) -> None:
        self.folder, self.of_device = folder, capability
        self.kernels: dict[KernelPlan, StandIn] = {}
        self.launches: list[tuple[KernelPlan, bool]] = []  # so far
        self.last = Arguments()

    def unavailable(self, device: torch.device) -> str | None:
        return None if device.type == "cpu" else f"the stand-in runs on the CPU, and this is on {device}"

    def capability(self, device: torch.device) -> tuple[int, int]:
        return self.of_device

    def load(self, plan: KernelPlan, device: torch.device) -> None:
        if plan not in self.kernels:
            folder = self.folder / str(len(self.kernels))
            folder.mkdir()
            self.kernels[plan] = StandIn([plan], folder)

    def launch(self, plan: KernelPlan, back: bool, arguments: Arguments, device: torch.device) -> None:
        self.launches.append((plan, back))
        self.last = arguments
        self.kernels[plan](plan, back, arguments)
