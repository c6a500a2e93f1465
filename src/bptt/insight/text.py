"""An explanation as a table a person reads in a terminal."""

from __future__ import annotations

from torch import Tensor

SHOWN = 12  # steps shown one by one; what lies before them is summed in one row
WIDTH = 24  # characters of a full bar


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
        rows.append(f"{label:>9}  {norm:>10.4g}  {along:>7.1%}  {_bar(abs(along))}".rstrip())
    return rows


def share(part: Tensor, gradient: Tensor) -> float:
    """A contribution's component along the gradient, as a part of its length; all shares sum to 1."""
    square = gradient.square().sum()
    return ((part * gradient).sum() / square).item() if square > 0 else 0.0


def _decay_rows(title: str, norms: list[float], t: int) -> list[str]:
    at_t = norms[t - 1]
    rows = [f"{title}: what reaches each step on the way back", "        k        norm   of step t"]
    for k in range(len(norms), max(0, len(norms) - SHOWN), -1):
        part = norms[k - 1] / at_t if at_t > 0 else 0.0
        rows.append(f"{k:>9}  {norms[k - 1]:>10.4g}  {part:>9.1%}  {_bar(part)}".rstrip())
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


def _bar(part: float) -> str:
    """Eighths of a block: 1 is `WIDTH` characters, more is cut."""
    eighths = round(min(part, 1.0) * WIDTH * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
