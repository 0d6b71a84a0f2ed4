"""What a resolution has chosen so far, with a trail by which any earlier moment comes back.

Cargo copies its state at every choice that can be taken back. Here each change is noted, and undone in
reverse order: a copy of some hundred entries at each step would cost more than the whole search.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

from shared.protocols.cargo.resolver.registry import Candidates
from shared.protocols.cargo.resolver.summaries import Dependency, Slot, Summary


class Wanted(NamedTuple):
    """A dependency that is to be fulfilled, and with which features of it enabled."""

    dependency: Dependency
    candidates: Candidates
    features: frozenset[str]


class Pending(NamedTuple):
    """The dependencies of one chosen version; those with the fewest candidates come first."""

    serial: int
    parent: Summary
    wanted: tuple[Wanted, ...]

    def fewest(self, at: int) -> int:
        """The number of candidates of the next dependency."""
        return len(self.wanted[at].candidates) if at < len(self.wanted) else 0


class Mark(NamedTuple):
    """A moment to come back to."""

    changes: int
    age: int


_NOTHING: Any = object()


class State:
    """`age` counts choices; what was chosen when tells how far going back helps."""

    def __init__(self) -> None:
        self.age = 0
        self.chosen: dict[Slot, tuple[Summary, int]] = {}
        self.features: dict[Summary, frozenset[str]] = {}
        self.links: dict[str, Summary] = {}  # which version links a native library
        self.parents: dict[Summary, dict[Summary, dict[Dependency, None]]] = {}
        self._pending: list[Pending] = []
        self._next: list[int] = []  # by position in _pending: its next dependency
        self._queue: list[tuple[int, int, int, int]] = []  # fewest candidates, position, next, serial
        self._serial = 0
        self._trail: list[tuple[dict[Any, Any], Any, Any] | int | None] = []

    # --- going back ---------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """This moment."""
        return Mark(len(self._trail), self.age)

    def restore(self, mark: Mark) -> None:
        """Back to a moment."""
        while len(self._trail) > mark.changes:
            change = self._trail.pop()
            if change is None:
                self._pending.pop()
                self._next.pop()
            elif isinstance(change, int):
                self._next[change] -= 1
                self._enqueue(change)
            else:
                mapping, key, before = change
                if before is _NOTHING:
                    del mapping[key]
                else:
                    mapping[key] = before
        self.age = mark.age

    def _set(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        self._trail.append((mapping, key, mapping.get(key, _NOTHING)))
        mapping[key] = value

    # --- what is still wanted -----------------------------------------------------------------------

    def want(self, parent: Summary, wanted: tuple[Wanted, ...]) -> None:
        """Add the dependencies of a version."""
        self._serial += 1
        self._pending.append(Pending(self._serial, parent, wanted))
        self._next.append(0)
        self._trail.append(None)
        self._enqueue(len(self._pending) - 1)

    def most_constrained(self) -> tuple[Summary, Wanted] | None:
        """Take the dependency with the fewest candidates, of equal ones that which was added first."""
        while self._queue:
            _, position, at, serial = heappop(self._queue)
            if position >= len(self._pending) or self._next[position] != at:
                continue  # of a moment that was left
            pending = self._pending[position]
            if pending.serial != serial or at == len(pending.wanted):
                continue
            self._next[position] += 1
            self._trail.append(position)
            self._enqueue(position)
            return pending.parent, pending.wanted[at]
        return None

    def waiting(self) -> Iterator[tuple[Summary, Dependency]]:
        """All that is still wanted, with who wants it."""
        for pending, at in zip(self._pending, self._next, strict=True):
            for wanted in pending.wanted[at:]:
                yield pending.parent, wanted.dependency

    def _enqueue(self, position: int) -> None:
        pending, at = self._pending[position], self._next[position]
        heappush(self._queue, (pending.fewest(at), position, at, pending.serial))

    # --- what is chosen -----------------------------------------------------------------------------

    def choose(self, summary: Summary, parent: Summary | None, dependency: Dependency | None) -> bool:
        """Note a choice. True if the version was chosen before."""
        self.age += 1
        if parent is not None:
            above = self.parents.get(summary)
            if above is None:
                above = {}
                self._set(self.parents, summary, above)
            edges = above.get(parent)
            if edges is None:
                edges = {}
                self._set(above, parent, edges)
            if dependency not in edges:
                self._set(edges, dependency, None)
        if summary.slot in self.chosen:
            return True
        if summary.links:
            self._set(self.links, summary.links, summary)
        self._set(self.chosen, summary.slot, (summary, self.age))
        return False

    def has_features(self, summary: Summary, wanted: frozenset[str], default_features: bool) -> bool:
        """Whether all that is wanted of a chosen version is enabled already."""
        enabled = self.features.get(summary, frozenset())
        default = not default_features or "default" in enabled or "default" not in summary.features
        return default and wanted <= enabled

    def enable(self, summary: Summary, features: frozenset[str]) -> None:
        """Add enabled features of a chosen version."""
        if features:
            self._set(self.features, summary, self.features.get(summary, frozenset()) | features)

    def chosen_at(self, summary: Summary) -> int | None:
        """The age at which a version was chosen, None if it is not."""
        found = self.chosen.get(summary.slot)
        return found[1] if found is not None and found[0] is summary else None

    def leads_to(self, summary: Summary, ancestor: Summary) -> bool:
        """Whether `ancestor` is above a version, by any number of dependencies."""
        stack, seen = [summary], {summary}
        while stack:
            for above in self.parents.get(stack.pop(), ()):
                if above is ancestor:
                    return True
                if above not in seen:
                    seen.add(above)
                    stack.append(above)
        return False
