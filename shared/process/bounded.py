"""`Bounded`: a bounded dictionary that drops what was written or used longest ago.

Not cachetools: `get` is a dictionary's own and takes 0.06 µs where `cachetools.LRUCache` takes 0.20, and
every hit calls it several times (docs/decisions/0032). What is read therefore does not count as used; `use`
says so where that matters.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `most` entries, that weigh no more than `max_weight` together."""

    get: Callable[[K], V | None]
    """The value or None. Not a use."""

    def __init__(self, most: float = math.inf, *, max_weight: float = math.inf) -> None:
        self._most = most
        self._max_weight = max_weight
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._weights: dict[K, float] = {}  # of those that have any
        self.weight = 0.0
        self.get = self._entries.get

    def use(self, key: K) -> V | None:
        """The value or None; it is the last to be forgotten from now on."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V, weight: float = 0) -> list[V]:
        """Remember it, and return what is forgotten for it. What alone is too heavy is not remembered."""
        self.pop(key)
        if weight > self._max_weight:
            return []
        self._entries[key] = value
        if weight:
            self._weights[key] = weight
            self.weight += weight
        if len(self._entries) <= self._most and self.weight <= self._max_weight:
            return []
        return self._forget()

    def pop(self, key: K) -> V | None:
        """Forget one: its value or None."""
        if self._weights:
            self.weight -= self._weights.pop(key, 0)
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._weights.clear()
        self.weight = 0.0

    def _forget(self) -> list[V]:
        forgotten = []
        while len(self._entries) > self._most or self.weight > self._max_weight:
            key, value = self._entries.popitem(last=False)
            self.weight -= self._weights.pop(key, 0)
            forgotten.append(value)
        return forgotten

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)
