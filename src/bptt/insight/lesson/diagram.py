"""Pictures of a network, folded or unfolded in time, with one error's gradient on its edges."""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor

from ...losses import squared_error
from ..plain_models import Criterion, checked_step
from ..recorder.record import Walks
from ..walks_or_model import or_of_walks
from .backward import check_both_or_neither, check_network
from .chosen_walk import WalkPlace, backward_of_walk, linearized_loss
from .drawing import Diagram, draw_folded, draw_unfolded
from .explain import explain, explanation_of
from .notation import LessonNetwork

Kind = Literal["folded", "unfolded"]


def _check_kind(kind: str) -> None:
    if kind not in ("folded", "unfolded"):
        raise ValueError(f'kind must be "folded" or "unfolded", got {kind!r}')


def _diagram_of_walk(
    walks: Walks,
    loss: Tensor,
    *,
    t: int | None = None,
    kind: Kind = "unfolded",
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Diagram:
    _check_kind(kind)
    net, back = backward_of_walk(walks, loss, t, WalkPlace(module, loop, sequence))
    e = explanation_of(net, back, linearized_loss)
    return draw_folded(net, e, e.t) if kind == "folded" else draw_unfolded(net, e, e.t)


@overload
def diagram(
    walks: Walks,
    loss: Tensor = ...,
    *,
    errors: Tensor = ...,
    t: int | None = None,
    kind: Kind = "unfolded",
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Diagram: ...
@overload
def diagram(
    model: LessonNetwork,
    x: Tensor | None = None,
    d: Tensor | None = None,
    criterion: Criterion = squared_error,
    *,
    t: int | None = None,
    kind: Kind = "unfolded",
) -> Diagram: ...
@or_of_walks(_diagram_of_walk)
def diagram(
    model: LessonNetwork,
    x: Tensor | None = None,
    d: Tensor | None = None,
    criterion: Criterion = squared_error,
    *,
    t: int | None = None,
    kind: Kind = "unfolded",
) -> Diagram:
    """Draw a network, folded or unfolded in time, with the gradient of E_t over each edge.

    Nodes are x, s, y and E, the matrices stand on the edges. With x and d every edge back from E_t carries its
    gradient as width and colour, with numbers under the pointer; where less than 1 % of ‖∂E_t/∂s_t‖ is left it is
    dashed, and a × marks where it fell below. More than 12 steps are folded in the middle.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`, or the walks of a recorded model with a loss, or errors=.
        x, d: the input and its targets, as `bptt.explain` takes them; None draws the forward pass alone.
        criterion: as `bptt.explain` takes it. Default `bptt.squared_error`.
        t: the step whose error is drawn, from 1. Default the last; without x and d the network is unfolded over t
            steps, by default 3.
        kind: "unfolded", a copy of the network for each step, or "folded", one with loops, where an edge carries
            its matrix's whole gradient. Default "unfolded".
        module, loop, sequence: as `bptt.explain` takes them, for walks alone.

    Returns:
        the picture; ``diagram.save("file.svg")``.

    Raises:
        TypeError: model or t is of another type, or only one of x and d is given.
        ValueError: kind is neither, or as `bptt.explain` says.

    >>> from bptt import Elman
    >>> diagram(Elman(2, 3, 1), kind="folded").label
    'The network folded in time'
    """
    _check_kind(kind)
    check_network(model)
    check_both_or_neither(x, d)
    if t is not None:
        checked_step(t)
    e = None if x is None or d is None else explain(model, x, d, criterion, t=t)
    if kind == "folded":
        return draw_folded(model, e, "t" if t is None else t)
    return draw_unfolded(model, e, t or 3)
