"""The random generators' states, so that steps walked again draw the same numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..dropout import chosen_generator


class Randomness(NamedTuple):
    """The states of the CPU's generator, of some devices', and of the one that dropout is drawn from."""

    cpu: Tensor
    devices: tuple[tuple[torch.device, Tensor], ...]
    chosen: tuple[tuple[torch.Generator, Tensor], ...] = ()  # one, where dropout has one of its own

    def restore(self) -> None:
        """Put the generators back to these states."""
        torch.set_rng_state(self.cpu)
        for device, state in self.devices:
            torch.get_device_module(device).set_rng_state(state, device)
        for generator, state in self.chosen:
            generator.set_state(state)

    def same_as(self, other: Randomness) -> bool:
        """Whether nothing was drawn between the two."""
        pairs = [*zip(self.devices, other.devices, strict=True), *zip(self.chosen, other.chosen, strict=True)]
        return torch.equal(self.cpu, other.cpu) and all(torch.equal(a[1], b[1]) for a, b in pairs)


def randomness(tensors: Iterable[Tensor], before: Randomness | None = None) -> Randomness:
    """The states now, of the CPU and of the devices the tensors are on; `before` if nothing was drawn since."""
    devices = {t.device for t in tensors if t.device.type not in ("cpu", "meta")}
    chosen = chosen_generator()
    now = Randomness(
        torch.get_rng_state(),
        tuple(
            (device, torch.get_device_module(device).get_rng_state(device)) for device in sorted(devices, key=str)
        ),
        () if chosen is None else ((chosen, chosen.get_state()),),
    )
    return before if before is not None and now.same_as(before) else now
