"""A probe for a training loop: how far back the gradient reaches in each recurrent module, every so many steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_sizes
from .diagnosis.jacobians import RecordedSteps
from .diagnosis.layers import ACTIVITY
from .lags import back_from_the_end, norms_by_lag
from .plain_models import Record
from .recorder.calls import ModuleCall
from .recorder.loops import loops_of
from .recorder.record import Walks, record, recurrent_modules

VANISHED = 0.01  # of the gradient at lag 0
LOOKED_AT = 50, 32  # steps of a call, the last ones, and sequences whose gates are read

Log = Callable[[dict[str, float], int], object]


class Probe:
    """Measures the gradient of a training loop's own backward passes, every so many steps.

        probe = bptt.Probe(model, every=100, log=wandb.log)
        for x, d in batches:
            optimizer.zero_grad()
            criterion(model(x), d).backward()
            optimizer.step()
            probe.step()

    In a measured step the model's recurrent modules are recorded (`bptt.record`), and what its last backward pass
    computes anyway is read; in all other steps nothing of the model is touched. `with bptt.Probe(model) as probe:`
    leaves the model as it was also if the loop fails. Of each recurrent module:

    - ``NAME/l0/gradient_by_lag/K``, K = 0, 1, 2, 4, ...: ‖∂E_t/∂s_{t-K}‖, the mean over a few errors;
      ``NAME/l0/gradient_left``: that at the longest lag over that at lag 0, where that is not 0;
      ``NAME/l0/vanished_at``: the first lag at which less than 1 % of it is left, where there is one;
    - ``NAME/l0/gradient_at_first_step`` and ``.../gradient_at_last_step``, ‖∂L/∂s_k‖, instead of these for packed
      sequences, loops of calls and bidirectional modules;
    - ``NAME/l0/saturated``, the share of the units' values whose slope is below a tenth, and
      ``NAME/l0/gates/z/mean``, ``.../closed``, ``.../open`` of each gate;
    - ``NAME/l0/cut``: ‖∂L/∂(initial state)‖ where the state was handed in without its history: what a window's
      cut threw away.

    Args:
        model: any module that holds recurrent modules, as `bptt.record` takes it.
        every: one step of so many is measured, beginning with the first. Default 100.
        log: called with the values and the step's number, from 0, as `wandb.log` and `mlflow.log_metrics` are.
            Default None: read `values` or what `step` returns.
        lags: the longest lag. Default 40.
        errors: how many errors E_t are followed at most. Default 4.
        name: what the names start with. Default "bptt".

    Attributes:
        values: of the last measured step.
        steps: how many steps were taken.

    Raises:
        TypeError, ValueError: model is no module or has no recurrent one; a number is below 1.

    >>> model = nn.GRU(2, 3)
    >>> probe = Probe(model, every=2)
    >>> for _ in range(3):
    ...     model(torch.ones(5, 1, 2))[0].square().sum().backward()
    ...     _ = probe.step()
    >>> round(probe.values["bptt/l0/gradient_left"], 1) < 1
    True
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 100,
        log: Log | None = None,
        *,
        lags: int = 40,
        errors: int = 4,
        name: str = "bptt",
    ) -> None:
        check_sizes(every=every, lags=lags, errors=errors)
        if log is not None and not callable(log):
            raise TypeError(f"log must be a function of the values and the step, got {type(log).__name__}")
        recurrent_modules(model)
        self.model, self.every, self.log, self.name = model, every, log, name
        self.lags, self.errors = lags, errors
        self.steps, self.values = 0, {}
        self._context: AbstractContextManager[Walks] | None = None
        self._walks: Walks | None = None
        self._open()

    def step(self, scale: float = 1.0) -> dict[str, float] | None:
        """Count a training step, after its backward pass, before or after the optimizer's; the values if measured.

        Args:
            scale: what the loss was multiplied by before its backward pass, as `scaler.get_scale()` of a
                `torch.amp.GradScaler` before its update; the gradients are divided by it. Default 1.

        Raises:
            RuntimeError: in the first measured step no backward pass reached a recurrent module. In later ones
                the next step is measured instead.
        """
        walks = self._walks
        self.close()
        found = self._measured(walks, scale) if walks is not None else {}
        if found:
            self.values = found
            if self.log is not None:
                self.log(found, self.steps)
        elif walks is not None and not self.values:
            raise RuntimeError(
                "no backward pass reached a recurrent module since the last step: call probe.step() once a "
                "training step, after loss.backward()"
            )
        self.steps += 1
        if self.steps % self.every == 0 or (walks is not None and not found):
            self._open()
        return found or None

    def close(self) -> None:
        """Leave the model alone, also in the middle of a measured step."""
        context, self._context, self._walks = self._context, None, None
        if context is not None:
            context.__exit__(None, None, None)

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._context = record(self.model)
        self._walks = self._context.__enter__()
        self._walks.keeps_weights = True  # the optimizer may change them before they are read

    @torch.no_grad()
    def _measured(self, walks: Walks, scale: float) -> dict[str, float]:
        found: dict[str, Tensor | float] = {}
        for module, calls in walks.calls.items():
            reached = [call for call in calls if call.was_reached]
            if reached:
                loop = loops_of(reached)[-1]
                prefix = "/".join(part for part in (self.name, module) if part)
                found |= {f"{prefix}/{key}": value for key, value in self._of_loop(loop, scale).items()}
        return {key: value.item() if isinstance(value, Tensor) else value for key, value in found.items()}

    def _of_loop(self, loop: list[ModuleCall], scale: float) -> dict[str, Tensor | float]:
        found: dict[str, Tensor | float] = {}
        last, records = loop[-1], loop[-1].records()
        by_lag = self._by_lag(last, records) if len(loop) == 1 else None
        if by_lag is None:
            for layer, norms in loop[0].state_norms().items():
                found[f"{layer}/gradient_at_first_step"] = norms[0] / scale
            for layer, norms in last.state_norms().items():
                found[f"{layer}/gradient_at_last_step"] = norms[-1] / scale
        for layer, norms in (by_lag or {}).items():
            found |= {f"{layer}/{key}": value for key, value in _reach(norms / scale).items()}
        if last.batch_sizes is None:
            for r in (r for layer in records for r in layer):
                found |= {f"{r.layer}/{key}": value for key, value in _activity(r).items()}
        cut = loop[0].initial and not any(s.requires_grad for s in loop[0].initial)
        for number, r in enumerate(r for layer in loop[0].records() for r in layer):
            adjoint = loop[0].nodes[number].adjoint
            if cut and adjoint is not None:
                found[f"{r.layer}/cut"] = torch.cat([d.flatten() for d in adjoint.d_state]).norm() / scale
        return found

    def _by_lag(self, call: ModuleCall, records: list[list[Record]]) -> dict[str, Tensor] | None:
        """By layer the mean of ‖∂E_t/∂s_{t-lag}‖ over a few errors, (lags + 1); None where it has no meaning."""
        if call.batch_sizes is not None or call.directions == 2 or call.steps < 2:
            return None
        dh, elsewhere = call.errors()
        if elsewhere:
            return None
        entering = (dh != 0).any(-1).nonzero()  # (n, 2): step and row; NaN counts
        lags = min(self.lags, call.steps - 1, int(entering[:, 0].max()) if len(entering) else 0)
        entering = entering[entering[:, 0] >= lags]
        if lags == 0 or len(entering) == 0:
            return None
        chosen = torch.linspace(0, len(entering) - 1, min(self.errors, len(entering)), device="cpu").round().long()
        ends, rows = entering[chosen].unbind(1)
        starts = (ends - lags).tolist()
        stretches = [
            [r._replace(recording=r.recording.stretches(starts, rows.tolist(), lags + 1)) for r in layer]
            for layer in records
        ]
        norms = norms_by_lag(back_from_the_end(stretches, dh[ends, rows]))
        return {layer: of_errors.mean(0) for layer, of_errors in norms.items()}


def _reach(by_lag: Tensor) -> dict[str, Tensor | float]:
    """The gradient by lag at a few lags, how much of it is left at the longest, and where it has vanished."""
    shown = [0, *(2**n for n in range(len(by_lag).bit_length()) if 2**n < len(by_lag))]
    found: dict[str, Tensor | float] = {f"gradient_by_lag/{lag}": by_lag[lag] for lag in shown}
    if by_lag[0] != 0:  # NaN counts; nothing enters a layer below one whose units are all saturated
        found["gradient_left"] = by_lag[-1] / by_lag[0]
    vanished = (by_lag < VANISHED * by_lag[0]).nonzero()
    if len(vanished):
        found["vanished_at"] = float(vanished[0])
    return found


def _activity(record: Record) -> dict[str, float]:
    """The share of saturated units, and how open each gate is, over the last steps."""
    activity: Any = ACTIVITY.get(type(record.cell))
    if activity is None:
        return {}
    saturated, gates = activity(record.cell, RecordedSteps.of(record, *LOOKED_AT).kept)
    of_gates = {
        f"gates/{name}/{key}": value for name, gate in gates.items() for key, value in gate._asdict().items()
    }
    return {"saturated": saturated, **of_gates}
