"""The upstream sources as this fetcher knows them: replaced whole whenever the database says so."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.models import UpstreamSource


class SourceSet(msgspec.Struct, frozen=True):
    """The enabled sources of one protocol, in the order they are asked, with their revision."""

    revision: int = 0
    sources: tuple[UpstreamSource, ...] = ()

    def by_id(self, source_id: int) -> UpstreamSource | None:
        """The source, or None if it is not there or not enabled (any more)."""
        return next((source for source in self.sources if source.id == source_id), None)


class KnownSources:
    """One `SourceSet` per protocol."""

    def __init__(self) -> None:
        self._sets: dict[str, SourceSet] = {}

    def replace(self, protocol: str, revision: int, sources: Sequence[UpstreamSource]) -> list[int]:
        """Take over what the database holds. The ids of sources that changed or went are returned."""
        before = self._sets.get(protocol, SourceSet())
        enabled = sorted((s for s in sources if s.enabled), key=lambda s: (s.priority, s.id))
        self._sets[protocol] = SourceSet(revision, tuple(enabled))
        return [old.id for old in before.sources if old not in enabled]

    def of(self, protocol: str) -> SourceSet:
        """The sources of a protocol; an empty set before they are loaded."""
        return self._sets.get(protocol, SourceSet())
