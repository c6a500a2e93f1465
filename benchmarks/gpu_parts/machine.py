"""The card, and the versions and settings that decide what it computes and how fast."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import torch

import bptt

from .measuring import Clock, Line, is_gpu


def machine(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line for each fact."""
    for name, value in facts(device).items():
        yield Line(f"{name:<24}{value}", {name: value})


def facts(device: torch.device) -> dict[str, Any]:
    """Each fact by its name."""
    found: dict[str, Any] = {"card": str(device)}
    if is_gpu(device):
        properties = torch.cuda.get_device_properties(device)
        found = {
            "card": properties.name,
            "compute capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory": f"{properties.total_memory / 2**30:.1f} GiB",
            "driver, clock, other use": _asked("driver_version,clocks.sm,utilization.gpu"),
        }
    rnn = getattr(torch.backends.cudnn, "rnn", None)
    return found | {
        "torch": torch.__version__,
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "bptt": bptt.__version__,
        "Python, system": f"{platform.python_version()}, {platform.platform()}",
        "float32 in cuDNN": getattr(rnn, "fp32_precision", f"allow_tf32={torch.backends.cudnn.allow_tf32}"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", "not set"),
    }


def _asked(query: str) -> str:
    """An answer of nvidia-smi, where there is one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown, as there is no nvidia-smi"
    command = [program, f"--query-gpu={query}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
