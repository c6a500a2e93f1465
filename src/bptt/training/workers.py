"""Several processes that train one model: each walks its share of the stretches, their gradients are summed.

`torchrun` starts them, here or on many machines, and starts them again when one dies. Gradients are reduced once
for each update, after all its backward passes, as one flat tensor: on CPUs through gloo, on GPUs through NCCL. All
else that an update needs to agree on travels at its end, so that an update waits for one collective.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import UserError
from ..trees import Tree, leaves, mapped
from .tensors import Leaves, Shard

TIMEOUT = timedelta(seconds=60)  # after which a missing worker is taken for dead
SLOTS = 4  # for answers that travel with the gradients: always as many, as a sum's rounding depends on its length

Found = TypeVar("Found")


class Workers:
    """This process among all that train together; one alone unless `torchrun` started it.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._asked: dict[Callable[[], bool], None] = {}  # since gradients were averaged, in this order
        self._answers: dict[Callable[[], bool], bool] = {}  # received with them and not yet asked for

    def share(self, count: int) -> slice:
        """Which of `count` things are this worker's: as many as another's, or one more."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    @property
    def apart(self) -> tuple[int, ...]:
        """Numbers that make this worker's random draws differ from the others'; none if it is alone."""
        return () if self.size == 1 else (self.rank,)

    def any(self, flag: bool) -> bool:
        """Whether any worker says so; all workers get the answer."""
        if self.size == 1:
            return flag
        flags = torch.tensor([float(flag)], device="cpu")
        dist.all_reduce(flags)
        return flags.item() > 0

    def ask(self, question: Callable[[], bool]) -> bool:
        """Whether any worker answers yes; all get the answer. All ask the same questions in the same order.

        The question is asked again when gradients are next averaged, and its answer travels with them:
        the next call gets this answer. If there is none since the last time, a separate collective answers.
        """
        if self.size == 1:
            return question()
        self._asked[question] = None
        answer = self._answers.pop(question, None)
        return self.any(question()) if answer is None else answer

    def average(
        self, parameters: Iterable[Tensor], loss: Tensor | float, numbers: Tensor | float
    ) -> tuple[Tensor | float, Tensor | float]:
        """Let every gradient be that of the mean loss over all workers' numbers.

        Args:
            parameters: their `.grad` is replaced, by parts of one tensor.
            loss, numbers: this worker's mean loss, and over how many numbers; 0 where it had none to learn from.

        Returns:
            the mean loss over all workers, and how many numbers there are; in float32, or the gradients' precision
            where that is higher.
        """
        if self.size == 1:
            return loss, numbers
        learned = [w for w in parameters if w.requires_grad]
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in learned]
        asked, self._asked = list(self._asked)[:SLOTS], {}
        answers = [float(question()) for question in asked] + [0.0] * (SLOTS - len(asked))
        dtype = reduce(torch.promote_types, (g.dtype for g in parts), torch.float32)
        last = [
            number.to(dtype) if isinstance(number, Tensor) else parts[0].new_full((), number, dtype=dtype)
            for number in (loss * numbers, numbers, *answers)
        ]
        flat = torch.cat([*(g.flatten() for g in parts), torch.stack(last)])
        gradients = flat[: -len(last)].mul_(numbers)
        dist.all_reduce(flat)
        total, everything, *flags = flat[-len(last) :].tolist()
        self._answers = {question: flag > 0 for question, flag in zip(asked, flags, strict=False)}
        gradients /= everything or 1.0
        for weight, gradient in zip(learned, gradients.split([g.numel() for g in parts]), strict=True):
            weight.grad = gradient.to(weight.dtype).view_as(weight)
        return total / everything if everything else 0.0, everything

    def parts(self, tree: Tree, axis: int) -> Tree:
        """This worker's tensors as parts of those that all workers' make along an axis, in their order."""
        sizes = self.all(next((leaf.shape[axis] for leaf in leaves(tree)), 0))
        first, size = sum(sizes[: self.rank]), sum(sizes)
        return mapped(lambda leaf: Shard(leaf, axis, first, size), tree)

    def joined(self, leaves: Leaves) -> dict[str, Shard]:
        """Of named tensors, those that are parts: whole for the first worker, and none for the others."""
        parts = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, Shard)}
        if self.size == 1:
            return parts
        gathered: Any = [None] * self.size if self.rank == 0 else None
        dist.gather_object(parts, gathered)
        if gathered is None:
            return {}
        tensors = {
            name: torch.cat([of_one[name].tensor for of_one in gathered], p.axis) for name, p in parts.items()
        }
        return {name: Shard(tensors[name], part.axis, 0, part.size) for name, part in parts.items()}

    def own(self, tree: Tree) -> Tree:
        """This worker's share of such tensors, from parts that hold it, made by any worker."""
        return mapped(self._own, tree, kinds=(Shard,))

    def _own(self, part: Shard) -> Tensor:
        share = self.share(part.size)
        return part.tensor.narrow(part.axis, share.start - part.first, share.stop - share.start).contiguous()

    def all(self, thing: Any) -> list[Any]:
        """Every worker's thing, in their order."""
        things: list[Any] = [thing] * self.size
        if self.size > 1:
            dist.all_gather_object(things, thing)
        return things

    def disband(self) -> None:
        """Go on alone, once all are here: nothing more is shared."""
        if self.size > 1:
            self.any(False)  # a barrier that needs no GPU
            dist.destroy_process_group()

    def by_first(self, act: Callable[[], Found]) -> Found:
        """The result of an action of the first worker, for all of them; an error it meets is raised by all."""
        found: list[Any] = [None]
        if self.rank == 0:
            try:
                found = [act()]
            except (UserError, OSError) as error:
                found = [error]
        if self.size > 1:
            dist.broadcast_object_list(found, src=0)
        if isinstance(found[0], UserError | OSError):
            raise found[0]
        return found[0]


ALONE = Workers()


@contextmanager
def workers() -> Iterator[Workers]:
    """The workers that `torchrun` started this process among; one alone otherwise."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if has_nccl else "gloo", timeout=TIMEOUT)
    try:
        yield Workers(dist.get_rank(), size)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
