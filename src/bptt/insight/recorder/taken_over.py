"""Recurrent modules whose method is replaced while they are recorded, by a class of their own for that time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...convert import OURS
from ...reach.layout import called
from .torch_cells import CELLS

TORCH = (*OURS, *CELLS)  # the classes whose `forward` is taken over: torch.nn's and our cells


def take_over(
    module: Any, name: str, replaced_by: Callable[[type | None], Callable[..., Any]]
) -> Callable[[], None]:
    """Replace `run` of one of our modules, or `forward` of one of torch.nn's; returns what undoes it.

    Args:
        name: of the module, for errors.
        replaced_by: what takes the method's place, by torch.nn's class that has it; of None, of `run`.
    """
    kind = type(module)
    base = next((base for base in kind.__mro__ if base in TORCH), None)
    method = "run" if base is None else "forward"
    if method in vars(module) or isinstance(module, TakenOver):
        raise ValueError(f"{called(name)} is being recorded already, or has a {method} of its own on the instance")
    replacement = replaced_by(base)
    methods = {method: lambda _, *args, **options: replacement(*args, **options)}
    above, own = (), {"__module__": kind.__module__, "plain_type": kind}
    own |= {name: vars(TakenOver)[name] for name in ("__reduce_ex__", "__deepcopy__")}
    if base is None or kind.forward is base.forward:
        own |= methods
    else:  # super().forward of a subclass with a forward of its own finds this one before that of torch.nn
        above = (type(base.__name__, (base,), methods),)
    # The first base decides on the layout, which must be that of the module's class.
    module.__class__ = taken = type(kind.__name__, (kind, TakenOver, *above), own)

    def undo() -> None:
        if type(module) is taken:
            module.__class__ = kind
        else:  # parametrized meanwhile, by a subclass
            type(module).__bases__ = (kind,)
        delattr(above[0] if above else taken, method)  # the classes live until garbage is collected, the walks not

    return undo


class TakenOver:
    """Base class of a module that is taken over. Copies of it, and files, hold the module without this class."""

    plain_type: type

    def __reduce_ex__(self, _: Any) -> Any:
        with self._as_it_was():
            return self.__reduce_ex__(1)  # pickle compares the class that later protocols name with the object's

    def __deepcopy__(self, memo: dict) -> Any:
        with self._as_it_was():
            return copy.deepcopy(self, memo)

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        taken = type(self)
        if "plain_type" not in vars(taken):
            raise RuntimeError(
                f"this {self.plain_type.__name__} was parametrized while it is recorded: copy it before or after"
            )
        self.__class__ = self.plain_type
        try:
            yield
        finally:
            self.__class__ = taken
