"""How far each route to a gradient is off, as data and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..html_tables import paragraphs, table_html

# Relative error allowed: against finite differences whatever the dtype, and against autograd in float64.
DIFFERENCES = "finite differences"
TOLERANCE: dict[str | torch.dtype, float] = {DIFFERENCES: 1e-6, torch.float64: 1e-10, torch.float32: 1e-4}
TITLE = "worst relative error of each route, against finite differences and against autograd"
HEAD = ("route", "differences", "autograd", "verdict", "worst in")


class RouteError(NamedTuple):
    """How far a tensor's gradient by one route is from the one it is judged by."""

    error: float  # relative, of the whole tensor
    place: str  # where the two are furthest apart: an entry, "(3, 1)", or "direction 1" through all entries
    found: float  # there
    wanted: float  # there


@dataclass(frozen=True)
class Route:
    """One route to the gradient.

    Attributes:
        name: "fused", "reference", "checkpointed", "recorded", "torch.nn", "autograd" or "finite differences".
        dtype: computed in.
        note: why it does not apply here (then there are no errors), or in which part it does.
        by_differences: errors against finite differences, by parameter, "x", "state"; over the probes alone.
        by_autograd: errors against autograd in float64, over all entries; "loss" is among them.
        passed: whether all are within `TOLERANCE`; None where the route does not apply.
    """

    name: str
    dtype: torch.dtype
    note: str | None
    by_differences: dict[str, RouteError]
    by_autograd: dict[str, RouteError]
    passed: bool | None

    @property
    def label(self) -> str:
        """Its name, with the dtype where that is not float64."""
        return (
            self.name if self.dtype == torch.float64 else f"{self.name}, {str(self.dtype).removeprefix('torch.')}"
        )

    def worst(self) -> tuple[str, str, RouteError]:
        """The judge this route is furthest from, as a part of what that allows; in which tensor; and the error."""
        found = [(DIFFERENCES, *item) for item in self.by_differences.items()]
        found += [("autograd", *item) for item in self.by_autograd.items()]
        return max(found, key=lambda row: row[2].error / self.allowed(row[0]))

    def allowed(self, judge: str) -> float:
        """The relative error that a judge allows."""
        of_dtype = TOLERANCE[self.dtype]
        return max(of_dtype, TOLERANCE[DIFFERENCES]) if judge == DIFFERENCES else of_dtype


@dataclass(frozen=True)
class GradientCheck:
    """Every route to one gradient side by side; print it.

    Attributes:
        routes: one a row, finite differences last.
        entries: how many entries there are in all parameters, x and the initial state.
        looked: how many of them finite differences checked one by one.
        directions: along how many directions through all entries of a tensor they checked as well.
        passed: whether every route that applies is within `TOLERANCE`.
        verdict: in a sentence, which routes agree, or which does not and where.
    """

    routes: tuple[Route, ...]
    entries: int
    looked: int
    directions: int

    @property
    def passed(self) -> bool:
        return all(route.passed is not False for route in self.routes)

    @property
    def verdict(self) -> str:
        wrong = [_described(route) for route in self.routes if route.passed is False]
        if wrong:
            return "failed: " + "; ".join(wrong)
        return f"passed: {sum(route.passed is True for route in self.routes)} routes to the gradient agree"

    def __str__(self) -> str:
        return check_text(self)

    def _repr_html_(self) -> str:
        table = table_html(HEAD, map(_cells, self.routes), TITLE)
        return paragraphs([self.verdict]) + table + paragraphs(remarks(self))


def _described(route: Route) -> str:
    """Which route is wrong, where it is furthest off, and by how much."""
    judge, name, worst = route.worst()
    return (
        f"{route.label} disagrees with {judge} in {name} {worst.place}: {worst.found:.6g} and not "
        f"{worst.wanted:.6g}, a relative error of {worst.error:.1e} where {route.allowed(judge):.0e} is allowed"
    )


def rows_of_check(check: GradientCheck) -> list[str]:
    """A row for each route: its worst error against either judge, the verdict, and where it is furthest off."""
    table = [HEAD, *map(_cells, check.routes)]
    route, differences, autograd, verdict, _ = (max(map(len, column)) for column in zip(*table, strict=True))
    return [
        f"{c[0]:<{route}}  {c[1]:>{differences}}  {c[2]:>{autograd}}  {c[3]:<{verdict}}  {c[4]}".rstrip()
        for c in table
    ]


def remarks(check: GradientCheck) -> list[str]:
    """The lines below the table: where finite differences were taken, and which routes do not apply and why."""
    beside = f", and along {check.directions} directions through all of a tensor" if check.directions else ""
    lines = [f"Finite differences looked at {check.looked:,} of {check.entries:,} entries{beside}."]
    for note in dict.fromkeys(route.note for route in check.routes if route.note is not None):
        routes = [route for route in check.routes if route.note == note]
        says = "Does not apply" if routes[0].passed is None else "Applies"
        lines.append(f"{says}: {', '.join(dict.fromkeys(route.name for route in routes))} ({note}).")
    return lines


def check_text(check: GradientCheck) -> str:
    """The table, the remarks and the verdict as plain text."""
    return "\n".join([TITLE, *rows_of_check(check), "", *remarks(check), check.verdict])


def _cells(route: Route) -> tuple[str, str, str, str, str]:
    if route.passed is None:
        return route.label, "", "", "-", ""
    _, name, worst = route.worst()
    if route.name == DIFFERENCES:
        return "differences", f"± {worst.error:.0e}", "", "judge", name
    verdict = "passed" if route.passed else "WRONG"
    place = f"{name} {worst.place}".strip()
    return route.label, _largest(route.by_differences), _largest(route.by_autograd), verdict, place


def _largest(errors: dict[str, RouteError]) -> str:
    return f"{max(error.error for error in errors.values()):.1e}" if errors else ""
