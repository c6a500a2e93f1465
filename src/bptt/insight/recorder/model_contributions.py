"""The result of contributions inside a model, by module; as text, a line for each module comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...reach.layout import called
from ...terminal import drawn
from ..contributions_result import Contributions, share_rows, share_tables
from ..html_tables import bars, details_html, paragraphs, table_html
from .record import Walks
from .results import ByModule

COLUMNS = 24  # of a profile
BLOCKS = "▁▂▃▄▅▆▇█"
DETAILED = 3  # modules whose parameters a text lists
TITLES = ("module", "calls", "steps", "norm", "steps 1 to T", "90% since")
LEGEND = (
    "norm: of the gradient of all its parameters; steps 1 to T: the norm of each step's contribution, · is 0",
    "90% since: nine tenths of those norms are from this step and later ones",
)


@dataclass(frozen=True, eq=False)
class ModuleContributions(Contributions):
    """Contributions of the steps of one recurrent module; print them. Steps count from 1.

    The error E_t is the part of the loss whose gradient enters row t of the module's output from above it;
    what enters a final state counts with the last step. A
    module's calls stand one after the other in time; of packed sequences the steps are each sequence's own.

    Attributes:
        name: the module's name in the model.
        calls: how many of its calls the loss depends on.
        loops: the same for each loop of calls: those that go on from each other's states, as a decoder's do.
        by_step, by_pair, by_lag, ...: as in `Contributions`, by the module's own weights. Of a parametrized weight
            both the weight itself and the parameters it is computed from are there.
    """

    name: str = ""
    calls: int = 1
    loops: tuple[Contributions, ...] = ()


class ModelContributions(ByModule[ModuleContributions]):
    """Contributions by recurrent module, by its name in the model; print them.

    Attributes:
        loss: the loss, a scalar.
        gradient: its gradient by parameter, under the model's names, of those that recurrent modules use.
        missing: the recurrent modules without contributions, by name, and why.
    """

    def __init__(self, walks: Walks, loss: Tensor, modules: dict[str, ModuleContributions]) -> None:
        super().__init__(modules)
        self.loss = loss
        self.missing = {
            name: "the loss does not depend on its calls" if calls else "torch.nn's forward was not called"
            for name, calls in walks.calls.items()
            if name not in modules
        }
        self.gradient: dict[str, Tensor] = {}
        names = {id(p): name for name, p in walks.model.named_parameters()}
        for name, module in modules.items():
            own = dict(walks.modules[name].named_parameters(remove_duplicate=False))
            for weight, part in module.gradient.items():
                if (full := names.get(id(own.get(weight)))) is not None:  # not of a weight that is computed
                    self.gradient[full] = self.gradient[full] + part if full in self.gradient else part

    def __str__(self) -> str:
        return _model_text(self)

    def _repr_html_(self) -> str:
        return _model_html(self)


class _Line(NamedTuple):
    """A module's line in the table."""

    module: str
    calls: str
    steps: str
    norm: str
    profile: str
    since: str


def _model_text(c: ModelContributions) -> str:
    """The table of modules, and the parameters of those with the largest gradients."""
    lines = {name: _line(module) for name, module in c.items()}
    widths = [max(map(len, column)) for column in zip(TITLES, *lines.values(), strict=True)]

    def row(cells: tuple[str, ...]) -> str:
        aligned = [
            f"{cell:<{w}}" if i in (0, 4) else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(aligned).rstrip()

    rows = [_headline(c), *LEGEND, "", row(TITLES), *(row(line) for line in lines.values())]
    rows += [f"{called(name)}: no contributions, {why}" for name, why in c.missing.items()]
    largest = sorted(c, key=lambda name: -_norm(c[name].gradient).nan_to_num(torch.inf).item())[:DETAILED]
    for name in c:
        if name in largest:
            rows += ["", _details_title(c[name]), *share_rows(c[name])]
    if len(c) > DETAILED:
        other = next(name for name in c if name not in largest)
        rows += [
            "",
            f"The others have smaller gradients; print(c[{other!r}]) lists one of them.",
        ]
    return "\n".join(rows)


def _model_html(c: ModelContributions) -> str:
    """The table of modules, each with its parameters to unfold."""
    rows = [
        line._replace(profile=bars(_norms_by_step(module).tolist(), f"the norm of each step of {line.module}"))
        for module in c.values()
        for line in [_line(module)]
    ]
    missing = paragraphs(f"{called(name)}: no contributions, {why}" for name, why in c.missing.items())
    details = (details_html(_details_title(module), share_tables(module)) for module in c.values())
    return paragraphs([_headline(c)]) + table_html(TITLES, rows) + paragraphs(LEGEND) + missing + "".join(details)


def _headline(c: ModelContributions) -> str:
    return f"loss {c.loss.item():.6g}; its gradient before it is summed over time, by recurrent module"


def _line(module: ModuleContributions) -> _Line:
    norms = _norms_by_step(module)
    since = "-"
    if norms.isfinite().all() and norms.any():
        after = norms.flip(0).cumsum(0)
        since = str(len(norms) - int((after < 0.9 * after[-1]).sum()))
    norm = _norm(module.gradient).item()
    return _Line(called(module.name), str(module.calls), str(len(norms)), f"{norm:.4g}", _profile(norms), since)


def _details_title(module: ModuleContributions) -> str:
    several = f", {len(module.loops)} loops of calls one after the other (.loops)" if len(module.loops) > 1 else ""
    return f"{called(module.name)}: share of the gradient by steps; below 0 they work against it{several}"


def _norms_by_step(module: ModuleContributions) -> Tensor:
    """The norm of each step's contribution to the gradient of all parameters, (T)."""
    return torch.stack([module.by_step.norms(name) for name in module.by_step]).norm(dim=0)


def _norm(gradient: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([part.norm() for part in gradient.values()]).norm()


def _profile(norms: Tensor) -> str:
    """A block for each step, or for the mean over a stretch of steps; the largest is a full one."""
    means = [part.mean().item() for part in norms.tensor_split(min(len(norms), COLUMNS))]
    largest = max((mean for mean in means if mean < torch.inf), default=0)

    def block(mean: float) -> str:
        if not mean < torch.inf:
            return "!"
        return BLOCKS[min(int(8 * mean / largest), 7)] if mean else "·"

    return drawn("".join(map(block, means)))
