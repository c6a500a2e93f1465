"""The two forms of the functions of this package: of recorded walks with a loss, and of a model with x and d."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor

from .recorder.record import Walks

Function = Callable[..., Any]


def or_of_walks(of_walks: Function) -> Callable[[Function], Function]:
    """Decorate a function of a model: with walks as its first argument the call goes to another function.

    The other function takes (walks, loss, ...); `errors=`, E_t of each step, may be given instead of the loss.
    """

    def decorate(of_model: Function) -> Function:
        @wraps(of_model)
        def of_either(*arguments: Any, **options: Any) -> Any:
            if not isinstance(arguments[0] if arguments else options.get("walks"), Walks):
                return _called(of_model, of_model.__name__, arguments, options)
            if "errors" in options:
                options = _with_errors_as_loss(options)
            return _called(of_walks, of_model.__name__, arguments, options)

        return of_either

    return decorate


def _with_errors_as_loss(options: dict[str, Any]) -> dict[str, Any]:
    if "loss" in options:
        raise TypeError("pass the scalar loss=, or errors=, E_t of each step; not both")
    errors = options["errors"]
    if not isinstance(errors, Tensor) or errors.dim() not in (1, 2):
        got = tuple(errors.shape) if isinstance(errors, Tensor) else type(errors).__name__
        raise TypeError(f"errors must be a tensor with E_t of each step, (T,) or (T, B), got {got}")
    return {name: value for name, value in options.items() if name != "errors"} | {"loss": errors}


def _called(function: Function, name: str, arguments: tuple, options: dict[str, Any]) -> Any:
    """The function's value; a TypeError for arguments that it does not take names those that it does."""
    signature = inspect.signature(function)
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        form = signature.replace(parameters=bare, return_annotation=signature.empty)
        raise TypeError(f"{name}{form}: {error}") from None
    return function(*arguments, **options)
