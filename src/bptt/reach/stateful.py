"""Training loops of any form in which a model's recurrent modules carry their states from call to call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from .carry import Carry, Hook
from .layout import name_of


@contextmanager
def stateful(model: nn.Module) -> Iterator[Carry]:
    """Let the recurrent modules inside a model carry their states from one call of it to the next.

    Each call of the model starts from the states that the call before ended with, without their history: truncated
    BPTT in a training loop of any form, for models (x) -> y that show no state. As `stateful=True` of Keras.

        with bptt.stateful(model) as carry:
            for x, d in windows:                # of the same sequences, one window after the other
                loss = criterion(model(x), d)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            carry.reset()                       # other sequences begin; carry.reset(rows) for some of them

    torch.nn.RNN, GRU, LSTM and their cells and bptt's modules and cells carry their states, with any layout,
    packed, in eval mode and without gradients too. Each may be called once a window without a state (a loop of
    calls gives it from the second one on). A state that the model gives itself is used instead of the carried one,
    also one of zeros. A model under torch.compile runs without it meanwhile.

    Args:
        model: any module; also inside DistributedDataParallel.

    Yields:
        the `bptt.Carry`: `reset`, `state_dict` and `load_state_dict`, and `next_window`, which is only to be
        called where parts of the model are called instead of the model.

    Raises:
        TypeError: model is no module, or holds a recurrent module that takes no state.
        ValueError: there is no recurrent module in it, one is bidirectional, or carries its state already. In a
            call: the batch has another size, or a module is called twice.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.GRU(3, 4))
    >>> import torch
    >>> x = torch.randn(10, 5, 2)
    >>> with torch.no_grad(), stateful(model):
    ...     parts = [model(window)[0] for window in x.split(4)]
    >>> torch.allclose(torch.cat(parts), model(x)[0], atol=1e-6)
    True
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else name_of(model)
        raise TypeError(f"stateful takes a torch.nn.Module, got {what}")
    carry = Carry(model)
    is_open = False

    def begin(*_: Any) -> None:
        nonlocal is_open
        if is_open:  # the last call failed
            carry.after = {}
        carry.next_window()
        is_open = True

    def end(*_: Any) -> None:
        nonlocal is_open
        is_open = False
        carry.next_window()

    before = model.register_forward_pre_hook(Hook(begin))
    try:
        with carry.hooked():
            after = model.register_forward_hook(Hook(end))
            try:
                yield carry
            finally:
                after.remove()
    finally:
        before.remove()
