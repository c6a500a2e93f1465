"""Replace torch.nn's recurrent modules inside any model by bptt's, and back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from .modules import GRU, LSTM, RNN
from .reach.layout import called
from .recurrent import Recurrent
from .step_cells import GRUCell, LSTMCell, RNNCell

ModuleT = TypeVar("ModuleT", bound=nn.Module)

OURS: dict[type[nn.Module], type[Recurrent]] = {nn.RNN: RNN, nn.GRU: GRU, nn.LSTM: LSTM}
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
CELLS: dict[type[nn.Module], type[nn.Module]] = {nn.RNNCell: RNNCell, nn.GRUCell: GRUCell, nn.LSTMCell: LSTMCell}
TORCH_CELLS = {ours: theirs for theirs, ours in CELLS.items()}
OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


def from_torch(model: ModuleT) -> ModuleT:
    """Replace every torch.nn.RNN, GRU, LSTM, RNNCell, GRUCell and LSTMCell inside a model by bptt's.

    Weights stay the same Parameter objects (an optimizer keeps working); buffers, hooks, parametrizations,
    device, dtype, train or eval mode stay too. A module used in two places is replaced once and used in both.
    On CUDA the modules call cuDNN, as torch.nn's do.

    Subclasses of the six are left alone, since they may do something else; one warning names them all.

    Args:
        model: any module; changed in place, unless it is itself one of the six.

    Returns:
        the model, or what replaces it.

    Raises:
        TypeError: model is no module.

    >>> from_torch(nn.Sequential(nn.GRU(3, 5)))
    Sequential(
      (0): GRU(3, 5)
    )
    """
    _check_module(model)
    left = [
        f"{called(name)} ({plain_type(module).__name__})"
        for name, module in model.named_modules()
        if isinstance(module, (*OURS, *CELLS)) and plain_type(module) not in (*OURS, *CELLS, *TORCH_CELLS)
    ]
    if left:
        warnings.warn(
            f"from_torch left alone {', '.join(left)}: subclasses of torch.nn's modules may do something else",
            stacklevel=2,
        )
    return with_ours(model)


def with_ours(model: ModuleT) -> ModuleT:
    """`from_torch` without its checks and warning."""
    return _replaced(model, _to_ours)


def to_torch(model: ModuleT) -> ModuleT:
    """Replace every bptt.RNN, GRU, LSTM and cell inside a model by torch.nn's: the reverse of `from_torch`.

    Args:
        model: any module; changed in place, unless it is itself one of the six.

    Returns:
        the model, or what replaces it.

    Raises:
        TypeError: model is no module.
        ValueError: an RNN has an activation or leak that torch.nn.RNN does not support; nothing is replaced then.

    >>> type(to_torch(GRU(3, 5)))
    <class 'torch.nn.modules.rnn.GRU'>
    """
    _check_module(model)
    for name, module in model.named_modules():
        if type(module) is RNN and (module.nonlinearity not in ("tanh", "relu") or module.leak != 1):
            raise ValueError(
                f"{called(name)} is {module}, but torch.nn.RNN supports only tanh and relu, without leak"
            )
    return _replaced(model, _to_torch)


def _check_module(model: Any) -> None:
    if isinstance(model, type):
        raise TypeError(f"model is the class {model.__name__}; pass a module made of it, {model.__name__}(...)")
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def _replaced(model: ModuleT, replacement: Callable[[nn.Module], nn.Module | None]) -> ModuleT:
    found = {module: replacement(module) for module in model.modules()}
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is not None and found.get(child) is not None:
                module._modules[name] = found[child]
    whole = found[model]
    return model if whole is None else whole  # pyright: ignore[reportReturnType]


def _to_ours(module: nn.Module) -> nn.Module | None:
    """bptt's module in place of one of torch.nn's, which shares all it carries; None for any other module."""
    kind = OURS.get(plain_type(module))
    return _cell_of(module, CELLS) if kind is None else _remade(module, kind)


def _to_torch(module: nn.Module) -> nn.Module | None:
    kind = THEIRS.get(plain_type(module))
    if kind is None:
        return _cell_of(module, TORCH_CELLS)
    fresh: Any = _remade(module, kind)
    fresh._init_flat_weights()  # torch's modules hold their weights twice
    return fresh


def _cell_of(old: nn.Module, kinds: dict[type[nn.Module], type[nn.Module]]) -> nn.Module | None:
    """The cell of the other library, which carries the same attributes; None for any other module."""
    kind = kinds.get(plain_type(old))
    if kind is None:
        return None
    fresh = kind.__new__(kind)
    fresh.__dict__.update(vars(old))
    return _parametrized_like(old, fresh)


def plain_type(module: nn.Module) -> Any:
    """A module's type, without the class that a parametrization puts around it."""
    return type(module).__bases__[0] if parametrize.is_parametrized(module) else type(module)


def built_like(old: Any, kind: type[nn.Module]) -> Any:
    """A module of another type with the options of the old one, without its weights."""
    options = {name: getattr(old, name) for name in OPTIONS}
    if kind in (LSTM, nn.LSTM):
        options["proj_size"] = old.proj_size
    if kind in (RNN, nn.RNN):
        options["nonlinearity"] = old.nonlinearity
    fresh = kind(**{**options, "dropout": 0.0}, device="meta")  # torch warns of dropout in one layer: not twice
    fresh.dropout = old.dropout
    return fresh


def _remade(old: Any, kind: type[nn.Module]) -> nn.Module:
    """A module of another type with everything the old one carries: weights, buffers, hooks, attributes."""
    fresh = built_like(old, kind)
    built_with = set(vars(plain_type(old)(1, 1, device="meta"))) - set(vars(nn.Module()))
    for name, value in vars(old).items():
        if name not in built_with:
            fresh.__dict__[name] = value
    return _parametrized_like(old, fresh)


def _parametrized_like(old: Any, fresh: nn.Module) -> nn.Module:
    if parametrize.is_parametrized(old):
        parametrize._inject_new_class(fresh)
        for name in old.parametrizations:
            parametrize._inject_property(fresh, name)
    return fresh
