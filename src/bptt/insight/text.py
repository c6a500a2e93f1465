"""Explanations and contributions as tables a person reads in a terminal."""

from __future__ import annotations

import itertools

from torch import Tensor

from .pairs import shares

SHOWN = 12  # steps shown one by one; what lies before them is summed in one row
WIDTH = 24  # characters of a full bar
STRETCHES = 6  # of steps, in a table of contributions


def explanation_text(
    t: int,
    loss: str,
    error: Tensor,
    gradient: dict[str, Tensor],
    contributions: dict[str, Tensor],
    state_gradients: dict[str, Tensor],
) -> str:
    """Per matrix and step the norm and the share of the gradient, and how ∂E_t/∂s_k decays.

    The arguments are an `Explanation`'s attributes.
    """
    steps = len(next(iter(contributions.values())))
    lines = [
        f"E_{t} = {error.item():.6g}   {loss.replace('_', ' ')} at step {t}, "
        f"taken back through {steps} {'step' if steps == 1 else 'steps'}",
        "share: the part of a contribution that points along the gradient; below 0 it works against it",
    ]
    for name, by_step in contributions.items():
        lines += ["", *_contribution_rows(f"∂E_{t}/∂{name}", gradient[name], by_step)]
    for layer, by_step in state_gradients.items():
        which = "" if len(state_gradients) == 1 else f" in {layer}"
        lines += ["", *_decay_rows(f"‖∂E_{t}/∂s_k‖{which}", by_step.flatten(1).norm(dim=1).tolist(), t)]
    return "\n".join(lines)


def _contribution_rows(title: str, gradient: Tensor, contributions: Tensor) -> list[str]:
    shape = " x ".join(str(size) for size in gradient.shape)
    rows = [f"{title}   ({shape})   norm {gradient.norm().item():.4g}", "   step k        norm     share"]
    for label, part in _steps(contributions):
        norm = part.norm().item()
        along = share(part, gradient)
        rows.append(f"{label:>9}  {norm:>10.4g}  {along:>7.1%}  {bar(abs(along))}".rstrip())
    return rows


def share(part: Tensor, gradient: Tensor) -> float:
    """A contribution's component along the gradient, as a part of its length; all shares sum to 1."""
    return shares((part * gradient).sum(), gradient.square().sum()).nan_to_num().item()


def _decay_rows(title: str, norms: list[float], t: int) -> list[str]:
    at_t = norms[t - 1]
    rows = [f"{title}: what reaches each step on the way back", "        k        norm   of step t"]
    for k in range(len(norms), max(0, len(norms) - SHOWN), -1):
        part = norms[k - 1] / at_t if at_t > 0 else 0.0
        rows.append(f"{k:>9}  {norms[k - 1]:>10.4g}  {part:>9.1%}  {bar(part)}".rstrip())
    if len(norms) > SHOWN:
        rows.append(f"{'1':>9}  {norms[0]:>10.4g}  {norms[0] / at_t if at_t > 0 else 0.0:>9.1%}")
    if t > 1 and norms[0] > 0 and at_t > 0:
        factor = (norms[0] / at_t) ** (1 / (t - 1))
        rows.append(f"   each step back multiplies it by {factor:.3g} (geometric mean)")
    return rows


def _steps(contributions: Tensor) -> list[tuple[str, Tensor]]:
    """(label, contribution) by step, those before the last `SHOWN` summed."""
    steps = len(contributions)
    first = max(0, steps - SHOWN)
    shown = [(str(k + 1), contributions[k]) for k in range(first, steps)]
    return shown if first == 0 else [(f"1 to {first}", contributions[:first].sum(0)), *shown]


def bar(part: float) -> str:
    """Eighths of a block: 1 is `WIDTH` characters, more is cut."""
    eighths = round(min(part, 1.0) * WIDTH * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def contributions_text(
    at: int | None, loss: Tensor, gradient: dict[str, Tensor], shares: dict[str, Tensor], lags: dict[str, Tensor]
) -> str:
    """Per parameter the share of the gradient that each stretch of steps contributed, and the decay by lag.

    The arguments are a `Contributions`' attributes; lags the states' by_lag, empty where it is not shown.
    """
    T = len(next(iter(shares.values())))
    whose = "the loss" if at is None else f"its part that enters at step {at}"
    wide = max(len(name) for name in [*gradient, *lags])
    edges = [T * part // min(T, STRETCHES) for part in range(min(T, STRETCHES) + 1)]
    stretches = list(itertools.pairwise(edges))
    titles = [str(last) if last - first == 1 else f"{first + 1}-{last}" for first, last in stretches]
    lines = [
        f"loss {loss.item():.6g}; the gradient of {whose}, by the steps that contributed to it",
        "share: the part that points along the gradient; below 0 it works against it",
        "",
        f"{'steps':<{wide}}  {'norm':>10}" + "".join(f"{title:>11}" for title in titles),
    ]
    for name, share in shares.items():
        parts = [share[first:last].sum().item() for first, last in stretches]
        norm = gradient[name].norm().item()
        lines.append(f"{name:<{wide}}  {norm:>10.4g}" + "".join(f"{part:>11.1%}" for part in parts))
    if lags:
        lines += ["", *_lag_rows(lags, T, wide)]
    return "\n".join(lines)


def _lag_rows(lags: dict[str, Tensor], T: int, wide: int) -> list[str]:
    shown = [0] + [2**n for n in range(T.bit_length()) if 2**n < T]
    rows = ["‖∂E_t/∂s_{t-lag}‖, the mean over the errors"]
    rows.append(f"{'lag':<{wide}}" + "".join(f"{lag:>10}" for lag in shown))
    rows += [f"{n:<{wide}}" + "".join(f"{by_lag[k].item():>10.3g}" for k in shown) for n, by_lag in lags.items()]
    return rows
