"""A part of a task's training set with its loss, on which gradients are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

LONGEST = 4000  # steps of an excerpt at most, the last ones


class TrainingExcerpt(NamedTuple):
    """Sequences of one length side by side, and their loss."""

    x: Tensor  # (T, B, I)
    d: Tensor  # (T, B, K), NaN where a target is missing; class numbers (T, B); or one for each sequence, (B)
    # (y, d) -> scalar: the mean that training takes of these sequences
    criterion: Callable[[Tensor, Tensor], Tensor]
    errors: Callable[[Tensor, Tensor], Tensor]  # (y, d) -> scalar: the sum of the errors that it is the mean of
    what: str  # the part of the data, in words
    notes: tuple[str, ...] = ()  # remarks on the data, a sentence each

    def first(self) -> TrainingExcerpt:
        """The first sequence alone; `what` says so."""
        if self.x.shape[1] == 1:
            return self
        d = self.d[:1] if self.of_sequences else self.d[:, :1]
        return self._replace(x=self.x[:, :1], d=d, what=f"the first of {self.what}")

    def last(self, steps: int) -> TrainingExcerpt:
        """The last so many steps of it, or all of them where there are fewer; `what` says so."""
        what = f"the last {steps} steps of {self.what}" if steps < len(self.x) else self.what
        d = self.d if self.of_sequences else self.d[-steps:]
        return self._replace(x=self.x[-steps:], d=d, what=what)

    @property
    def of_sequences(self) -> bool:
        """Whether d has one entry for each sequence, and none for each step."""
        return self.d.dim() == 1

    def sequence(self) -> tuple[Tensor, Tensor]:
        """The first sequence alone, x (T, I), and the target of each step, d (T, K) or (T).

        A sequence's class is the target of each of its steps.
        """
        x = self.x[:, 0]
        return x, self.d[0].expand(len(x)) if self.of_sequences else self.d[:, 0]


def filled(d: Tensor, y: Tensor) -> Tensor:
    """Targets d, missing ones replaced by the outputs y, so that they add no error and no gradient."""
    return d.where(~d.isnan(), y.detach()) if d.isnan().any() else d
