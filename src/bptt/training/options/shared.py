"""Options that two of the three tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from ...errors import UserError
from .base import LARGE, TrainOptions

Missing = Literal["error", "interpolate", "mask"]
Reach = Literal["full", "truncated", "checkpointed"]

ColumnOption = Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(default: none)")]


@dataclass(frozen=True)
class TableOptions(TrainOptions):
    """Options of tasks that read tables: forecast and classify."""

    series: ColumnOption = None
    """Column that names the series of each row."""
    input: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="COLUMN ...", help_behavior_hint="(repeatable)")
    ] = ()
    """Further input columns."""
    time: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(default: row numbers)")] = None
    """Column of numbers or dates that labels the rows; with --series, it must increase within each series."""
    missing: Missing = "error"
    """Missing values: refuse them, or interpolate between neighbours."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on the standardised inputs while training."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The further input columns, in the order given."""
        return tuple(column for group in self.input for column in group)

    def check(self) -> None:
        super().check()
        self._require(0 <= self.noise < LARGE, "noise", f"at least 0 and below {LARGE:g}")


@dataclass(frozen=True)
class ReachOptions(TrainOptions):
    """Options of tasks that can truncate the backward pass: forecast and text."""

    reach: Reach = "full"
    """How far back errors are propagated: to the first step (full); over the last k2 steps, with an update every
    k1 (truncated); or to the first step in bounded memory (checkpointed)."""
    k1: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 20)")] = None
    """Steps between two updates, with --reach truncated."""
    k2: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: k1)")] = None
    """Steps an error is propagated back, with --reach truncated; at least k1."""

    @property
    def window(self) -> int:
        """k1, its default filled in."""
        return 20 if self.k1 is None else self.k1

    @property
    def method(self) -> str:
        if self.reach != "truncated":
            return f"{self.reach} BPTT"
        return f"truncated BPTT, k1={self.window}, k2={self.k2 or self.window}"

    def check(self) -> None:
        super().check()
        for name in ("k1", "k2"):
            self._require_truncated(name)
            self._require_counts(name)
        if self.k2 is not None and self.k2 < self.window:
            raise UserError(
                f"--k2 {self.k2} is less than --k1 {self.window}: no error would reach some of the rows; pass "
                "--k2 of at least k1"
            )

    def _require_truncated(self, name: str) -> None:
        value = getattr(self, name)
        if value is not None and self.reach != "truncated":
            raise UserError(f"--{name} {value} is an option of --reach truncated; this is --reach {self.reach}")
