"""Checks of the arguments that a user's model or step takes, and of its results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor


def check_takes(function: Callable[..., Any], who: str, wanted: str, *names: str) -> None:
    """A function takes arguments of these names by position, whatever it calls them itself.

    Only the signature is read: a TypeError from inside the function is passed on.

    Args:
        function: what is to be called.
        who: its name in the message.
        wanted: the form it is to have, for example "(x, state) -> (y, state)".
        names: the arguments, in order.

    Raises:
        TypeError: it takes fewer of them, or needs more.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # built in: there is no signature to read
    try:
        signature.bind(*names)
    except TypeError as error:
        raise TypeError(
            f"{who} takes {signature}, but here it is called with ({', '.join(names)}); write it as {wanted}"
        ) from error


def pair_of(result: Any, who: str, wanted: str) -> tuple[Tensor, Any]:
    """The outputs and the state that a function returned, checked.

    Raises:
        TypeError: it returned something else; the message calls it `who`, and says what was wanted.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{who} must return {wanted}, got {_kind(result)}")
    if not isinstance(result[0], Tensor):
        raise TypeError(f"the outputs y of {who} must be a tensor, got {_kind(result[0])}")
    return result


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list | dict) else name
