"""Why no set of versions fits: who wants what, each with the chain that leads to it."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import ResolutionConflict
from shared.protocols.cargo.resolver.learned import Conflicts
from shared.protocols.cargo.resolver.registry import Registry
from shared.protocols.cargo.resolver.state import State, Wanted
from shared.protocols.cargo.resolver.summaries import Dependency, Summary

_MOST_LINES = 20
_MOST_LINKS = 30
_MOST_EXPLAINED = 500


class Explanations:
    """The first dead end of each dependency in words, since the state that it came of is soon undone."""

    def __init__(self, state: State, registry: Registry) -> None:
        self._state = state
        self._registry = registry
        self._lines: dict[Dependency, list[str]] = {}

    def note(
        self, parent: Summary, wanted: Wanted, conflicts: Conflicts, known_bad: Iterable[Dependency]
    ) -> None:
        """A dependency that no candidate fulfils; `known_bad` are those that its candidates would bring."""
        dependency = wanted.dependency
        if dependency in self._lines or len(self._lines) >= _MOST_EXPLAINED:
            return
        lines = [f"  {self._chain(parent, dependency)}"]
        if not wanted.candidates:
            lines.append(f"  {dependency.crate}: {self._registry.why_none(dependency)}")
        for summary, reason in sorted(conflicts.items(), key=lambda each: each[0].label):
            above = next(iter(self._state.parents.get(summary, {}).items()), None)
            if above is not None and summary is not parent:
                lines.append(f"  {self._chain(above[0], next(iter(above[1])))}")
            lines.append(f"  {summary.label}: {reason}")
        for each in known_bad:
            lines += self._lines.get(each, [])
        self._lines[dependency] = list(dict.fromkeys(lines))

    def error(self, dependency: Dependency) -> ResolutionConflict:
        """The error of the dependency at which nothing was left to try."""
        lines = self._lines.get(dependency, [])
        shown = lines[:_MOST_LINES]
        if len(lines) > len(shown):
            shown.append(f"  and {len(lines) - len(shown)} more")
        return ResolutionConflict(
            "\n".join([f"no version satisfies all requirements on {dependency.crate}:", *shown])
        )

    def _chain(self, summary: Summary, dependency: Dependency) -> str:
        """From the request to a requirement, along the first dependency that led to each."""
        links = [f"{dependency.crate} {dependency.requirement.text}"]
        seen: set[Summary] = set()
        at: Summary | None = summary
        while at is not None and at.name and at not in seen and len(links) < _MOST_LINKS:
            seen.add(at)
            links.append(at.label)
            at = next(iter(self._state.parents.get(at, {})), None)
        return " -> ".join(["request", *reversed(links)])
