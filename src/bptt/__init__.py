"""Recurrent networks trained by backpropagation through time: exact, fast and visible.

The public names are those of ``__init__.pyi`` beside this file; each is imported when first used, so that the
command line answers before torch has loaded. The operators of exported programs are registered with torch.
"""

import lazy_loader

from .walks.registering import register_with_torch

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_with_torch()
