"""Names that are served from one source while another one, which goes before it, has them too.

A pin stands whatever the others say, and an empty page is believed: what an operator should then know is
recorded as an event. Looked for after a page was refreshed, and for a project every ten minutes at most.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from services.fetcher.upstreams import Upstreams
from shared.artifacts import ArtifactRepository
from shared.errors import OrchardError
from shared.logs import get_logger
from shared.models import UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.source_policy import higher, owners

log = get_logger()

EVERY_SECONDS = 600.0
_MOST = 50_000  # projects remembered


class Look(msgspec.Struct, frozen=True):
    """Sources to ask for a project, and what it means if one of them has it (the event's kind)."""

    protocol: PackageProxyBase
    project: str
    kind: str
    serving: tuple[UpstreamSource, ...]
    others: tuple[UpstreamSource, ...]


class Shadows:
    """Looks, and remembers when it did: in memory, so a restart looks once more."""

    def __init__(self, upstreams: Upstreams, artifacts: ArtifactRepository) -> None:
        self._upstreams = upstreams
        self._artifacts = artifacts
        self._looked: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def due(
        self, protocol: PackageProxyBase, identity: str, sources: Sequence[UpstreamSource]
    ) -> Look | None:
        """What to look for once the page is there; asked before it is fetched, since a project that is
        pinned by this fetch was just asked for at the higher sources."""
        project = protocol.project_of(identity)
        if len(sources) < 2 or self._upstreams.offline or not project:
            return None
        if identity != protocol.index_identity(project) or not self._is_time(protocol.name, project):
            return None
        pinned = await self._artifacts.pinned(protocol.name, protocol.pin_names(project))
        if pinned:
            others = higher(sources, project, pinned)
            serving = tuple(source for source in sources if source.id in pinned)
            found = Look(protocol, project, "source_shadowed", serving, tuple(others))
        else:
            row = await self._artifacts.stored_document(protocol.name, identity)
            if row is None or row.gone_at or protocol.merges(identity):
                return None  # never seen; Maven's groups have pages that list no files
            first, *rest = owners(sources, project) or [()]
            others = [source for owner in rest for source in owner]
            found = Look(protocol, project, "empty_index", tuple(first), tuple(others))
        if not found.others:
            return None
        self._looked[protocol.name, project] = time.monotonic()
        self._looked.move_to_end((protocol.name, project))
        if len(self._looked) > _MOST:
            self._looked.popitem(last=False)
        return found

    async def look(self, wanted: Look) -> None:
        """Asks, and records what is found. Never raises for an upstream's trouble."""
        protocol, project = wanted.protocol, wanted.project
        for source in wanted.others:
            try:
                answer = await self._upstreams.ask_index(protocol, protocol.index_identity(project), [source])
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
