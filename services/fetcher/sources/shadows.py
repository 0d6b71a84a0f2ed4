"""Names that are served from one source while another one, which goes before it, has them too.

A pin stands whatever other sources have, and an empty page is believed: an event tells the operator. Checked
after a page was refreshed, and for a project every ten minutes at most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from services.fetcher.sources.policy import higher, owners
from services.fetcher.sources.upstreams import Upstreams
from shared.artifacts.event_kinds import EventKind
from shared.artifacts.repository import ArtifactRepository
from shared.errors import OrchardError
from shared.models import UpstreamSource
from shared.process.bounded import Bounded
from shared.protocols.base import PackageProxyBase
from shared.telemetry.logs import get_logger

log = get_logger()

EVERY_SECONDS = 600.0
_MOST = 50_000  # projects remembered


class Look(msgspec.Struct, frozen=True):
    """Sources to ask for a project, and what it means if one of them has it (the event's kind)."""

    protocol: PackageProxyBase
    project: str
    kind: EventKind
    serving: tuple[UpstreamSource, ...]
    others: tuple[UpstreamSource, ...]


class Shadows:
    """Checks, and remembers when it did: in memory, so a restart checks once more."""

    def __init__(self, upstreams: Upstreams, artifacts: ArtifactRepository) -> None:
        self._upstreams = upstreams
        self._artifacts = artifacts
        self._looked = Bounded[tuple[str, str], float](_MOST)

    async def due(
        self, protocol: PackageProxyBase, identity: str, sources: Sequence[UpstreamSource]
    ) -> Look | None:
        """What to check once the page is there; asked before it is fetched, since a project that is
        pinned by this fetch was just asked for at the higher sources."""
        project = protocol.grammar.project_of(identity)
        if len(sources) < 2 or self._upstreams.offline or not project:
            return None
        if identity != protocol.grammar.index_identity(project) or not self._is_time(protocol.name, project):
            return None
        pinned = await self._artifacts.pinned(protocol.name, protocol.names.pin_names(project))
        if pinned:
            others = higher(sources, project, pinned)
            serving = tuple(source for source in sources if source.id in pinned)
            found = Look(protocol, project, "source_shadowed", serving, tuple(others))
        else:
            row = await self._artifacts.stored_document(protocol.name, identity)
            if row is None or row.gone_at or protocol.documents.merges(identity):
                return None  # never seen; Maven's groups have pages that list no files
            first, *rest = owners(sources, project) or [()]
            others = [source for owner in rest for source in owner]
            found = Look(protocol, project, "empty_index", tuple(first), tuple(others))
        if not found.others:
            return None
        self._looked.put((protocol.name, project), time.monotonic())
        return found

    async def look(self, wanted: Look) -> None:
        """Asks the sources, and records events. Never raises for an upstream's failure."""
        protocol, project = wanted.protocol, wanted.project
        for source in wanted.others:
            try:
                answer = await self._upstreams.ask_index(
                    protocol, protocol.grammar.index_identity(project), [source]
                )
                if answer is None:
                    continue
                detail = {"source": source.name, "served_from": [each.name for each in wanted.serving]}
                log.warning(wanted.kind, protocol=protocol.name, project=project, **detail)
                await self._artifacts.record_event(wanted.kind, protocol.name, project, "", detail)
            except OrchardError as error:
                log.info("not_looked_for", source=source.name, project=project, because=error.code)

    def _is_time(self, protocol: str, project: str) -> bool:
        looked = self._looked.get((protocol, project))
        return looked is None or time.monotonic() - looked >= EVERY_SECONDS
