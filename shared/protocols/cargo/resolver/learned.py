"""What a search has learned: sets of versions beside which a dependency cannot be fulfilled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.protocols.cargo.resolver.summaries import Dependency, Summary

Conflicts = dict[Summary, str]
"""Versions that stand in a dependency's way, each with the reason. All of them together do."""

ChosenAt = Callable[[Summary], int | None]

NEVER = 2**62


class Learned:
    """Sets of conflicts by dependency, in a trie: only branches whose versions are all chosen are walked.

    A set stays true for the whole search, whatever is chosen or taken back.
    """

    def __init__(self) -> None:
        self._sets: dict[Dependency, dict[Summary | None, Any]] = {}  # None leads to a whole set
        self._about: dict[Summary, set[Dependency]] = {}
        self._order: dict[Summary, int] = {}  # one order of versions for all paths

    def add(self, dependency: Dependency, conflicts: Conflicts) -> None:
        """Note that a dependency cannot be fulfilled while all of these are chosen."""
        node = self._sets.setdefault(dependency, {})
        for summary in self._sorted(conflicts):
            if None in node:
                return  # fewer were enough
            node = node.setdefault(summary, {})
        node.clear()
        node[None] = dict(conflicts)
        for summary in conflicts:
            self._about.setdefault(summary, set()).add(dependency)

    def find(
        self,
        dependency: Dependency,
        chosen_at: ChosenAt,
        including: Summary | None = None,
        before: int = NEVER,
    ) -> Conflicts | None:
        """A set that holds now: of several that whose latest version was chosen first. `including` must be in
        it, and is not counted; the others must have been chosen before the age `before`."""
        best: Conflicts | None = None
        stack: list[tuple[Mapping[Summary | None, Any], bool, int]] = []
        root = self._sets.get(dependency)
        if root is not None:
            stack.append((root, including is None, -1))
        while stack:
            node, complete, age = stack.pop()
            if age >= before:
                continue
            for summary, below in node.items():
                if summary is None:
                    if complete:
                        best, before = below, max(age, 0)
                    continue
                if summary is including:
                    stack.append((below, True, age))
                    continue
                then = chosen_at(summary)
                if then is not None and then < before:
                    stack.append((below, complete, max(age, then)))
        return best

    def about(self, summary: Summary) -> set[Dependency]:
        """The dependencies of which some set has this version."""
        return self._about.get(summary, set())

    def _sorted(self, summaries: Iterable[Summary]) -> list[Summary]:
        for summary in summaries:
            self._order.setdefault(summary, len(self._order))
        return sorted(summaries, key=self._order.__getitem__)
