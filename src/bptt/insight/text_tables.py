"""Explanations and contributions as tables, for a terminal and for a notebook."""

from __future__ import annotations

import itertools
from html import escape

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
        f"backpropagated through {steps} {'step' if steps == 1 else 'steps'}",
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
    rows = [f"{title}: what reaches each step in the backward pass", "        k        norm   of step t"]
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
    t: int | None, loss: Tensor, gradient: dict[str, Tensor], shares: dict[str, Tensor], lags: dict[str, Tensor]
) -> str:
    """Per parameter the share of the gradient that each stretch of steps contributed, and the decay by lag.

    The arguments are a `Contributions`' attributes; lags the states' by_lag, empty where it is not shown.
    """
    T = len(next(iter(shares.values())))
    whose = "the loss" if t is None else f"its part that enters at step {t}"
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


def text_html(text: str) -> str:
    """A text set in columns, as it stands in a terminal."""
    return f'<pre style="line-height:1.3">{escape(text)}</pre>'


def explanation_html(
    t: int,
    error: Tensor,
    gradient: dict[str, Tensor],
    contributions: dict[str, Tensor],
    state_gradients: dict[str, Tensor],
) -> str:
    """Per step the norm of each contribution and its share of the gradient, and what reaches each state.

    The arguments are an `Explanation`'s attributes; of many steps those far from t are summed.
    """
    head = ["step k", *(f"∂E_{t}/∂{name}" for name in contributions)]
    head += [f"‖∂E_{t}/∂s_k‖" + (f" in {layer}" if len(state_gradients) > 1 else "") for layer in state_gradients]
    rows = []
    steps = len(next(iter(contributions.values())))
    for span in stretches(steps, t, SHOWN):
        row = [str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"]
        for name, parts in contributions.items():
            part = parts[span.start - 1 : span.stop - 1].sum(0)
            row.append(f"{part.norm().item():.3g} ({share(part, gradient[name]):.1%})")
        for of_state in state_gradients.values():
            row.append(f"{of_state[span[0] - 1].norm().item():.3g}" if len(span) == 1 else "")
        rows.append(row)
    total = ["sum", *(f"{g.norm().item():.3g}" for g in gradient.values()), *("" for _ in state_gradients)]
    return (
        f"<p><i>E</i><sub>{t}</sub> = {error.item():.6g}; the norm of each contribution and its share</p>"
        f'<table style="font-variant-numeric:tabular-nums"><thead>{_row(head, "th")}</thead>'
        f"<tbody>{''.join(_row(row, 'td') for row in rows)}{_row(total, 'th')}</tbody></table>"
    )


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def stretches(steps: int, around: int, shown: int, first: int = 1) -> list[range]:
    """The steps 1 to `steps` in order: ranges of one step where it is shown, longer ones where it is folded.

    Args:
        steps: how many there are.
        around: the step that matters most; those nearest to it are shown, and the first and the last one.
        shown: how many are shown, at least first + 2; all of them where there are no more.
        first: how many of the first ones are shown. Default 1.

    >>> stretches(200, around=200, shown=4)
    [range(1, 2), range(2, 198), range(198, 199), range(199, 200), range(200, 201)]
    """
    alone = {*range(1, min(first, steps) + 1), steps, around}
    for k in sorted(range(1, steps + 1), key=lambda k: (abs(k - around), k)):
        if len(alone) >= min(shown, steps):
            break
        alone.add(k)
    found: list[range] = []
    for k in range(1, steps + 1):
        if k in alone or not found or found[-1].start in alone:
            found.append(range(k, k + 1))
        else:
            found[-1] = range(found[-1].start, k + 1)
    return found
