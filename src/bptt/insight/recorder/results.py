"""Results by recurrent module, as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

Found = TypeVar("Found")


class ByModule(Mapping[str, Found]):
    """What was found of each recurrent module, by its name in the model; "" is the model itself."""

    def __init__(self, found: dict[str, Found]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> Found:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)
