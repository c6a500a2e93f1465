"""Recurrent networks trained by backpropagation through time: exact, fast and visible.

The public names are those of ``__init__.pyi`` beside this file; each is imported when first used, so that the
command line answers before torch has loaded. The operators of exported programs are registered with torch.
"""

import lazy_loader

from .walks.registering import register_with_torch

__version__ = "0.2.0"

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_REMOVED = {  # in 0.2, by the name that took its place
    "accelerate": "bptt.from_torch",
    "check": "bptt.check_gradient",
    "bias": "bptt.truncation_bias",
    "plan": "bptt.plan_checkpoints",
    "unfold": "a call of the bptt.Cell, cell(x)",
}


def __getattr__(name: str) -> object:
    if name in _REMOVED:
        raise AttributeError(f"bptt.{name} was removed in 0.2; use {_REMOVED[name]}")
    return _public_name(name)


register_with_torch()
