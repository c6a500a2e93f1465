"""Registers the operators of the backends as soon as torch is imported, without importing it.

So `import bptt` is enough for `torch.export.load`, in either order with `import torch`, and the command line
still answers before torch has loaded.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def register_with_torch() -> None:
    """Register now where torch is imported already, else as soon as it has been."""
    if "torch" in sys.modules:
        from . import cuda_operators, cudnn_operators, operators  # noqa: F401
    else:
        sys.meta_path.insert(0, _WhenTorchComes())


class _WhenTorchComes(MetaPathFinder):
    """Finds torch as it would be found anyway, and registers behind it when it is imported."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)  # to ask the others
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                execute(module)
                from . import cuda_operators, cudnn_operators, operators  # noqa: F401

            spec.loader.exec_module = execute_and_register
        return spec
