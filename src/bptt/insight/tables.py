"""What was found, for a notebook: an explanation as a table, all else as the text it is."""

from __future__ import annotations

from html import escape

from torch import Tensor

from .folding import stretches
from .text import SHOWN, share


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
