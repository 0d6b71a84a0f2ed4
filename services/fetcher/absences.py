"""Absence is a fact, too: what is kept of 404s, for all protocols (docs/decisions/0026).

A name is absent when every source that may be asked for it has said so by its own word (404, 410). Such an
absence is kept in a row beside the short entry in the cache, and answers when nobody can be asked. It holds
while exactly those sources may be asked. But a 404 is believed only of a source that is seen to be well: one
under maintenance may answer 404 for everything, and must neither wipe a page that was there nor make names
absent for the next outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence

from services.fetcher.upstreams import Upstreams
from shared import clock
from shared.absences import AbsenceRepository
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    FileNotFound,
    InvalidData,
    Offline,
    OrchardError,
    ProjectNotFound,
    SourceUnusable,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStrayed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from shared.logs import get_logger
from shared.models import FORMAT, IndexHead, StoredDocument, UpstreamSource
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase, Resource
from shared.settings import Settings
from shared.source_policy import candidates
from shared.source_watcher import SourceWatcher

log = get_logger()

UNASKED = (
    DeadlineExceeded,
    Offline,
    SourceUnusable,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStrayed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
"""Errors after which nobody knows what a source would have said: what it said last stands."""

STALE_SECONDS = 5.0  # so long a kept absence answers before the sources are asked again
WELL_SECONDS = 30.0  # a source that had something so lately is well, as far as names go that it never had
DOUBTED_AGAIN_SECONDS = 15
VAIN_SECONDS = 5.0


class Absences:
    """What is kept of 404s, and whether to believe them."""

    def __init__(
        self,
        *,
        repository: AbsenceRepository,
        artifacts: ArtifactRepository,
        upstreams: Upstreams,
        sources: SourceWatcher,
        cache: CacheService,
        settings: Settings,
    ) -> None:
        self._repository = repository
        self._artifacts = artifacts
        self._upstreams = upstreams
        self._sources = sources
        self._cache = cache
        self._settings = settings
        self._looks: dict[int, tuple[float, asyncio.Task[bool]]] = {}  # by source

    # --- names that were never there ----------------------------------------------------------------

    async def note(
        self,
        protocol: str,
        identity: str,
        project: str,
        asked: Sequence[UpstreamSource],
        reason: str,
        generation: int,
    ) -> None:
        """All of `asked`, who are those that may be asked, lack it. Trouble is none of the caller's."""
        try:
            for source in asked:
                if not await self._is_well(protocol_named(protocol), source):
                    log.info("absence_not_kept", protocol=protocol, identity=identity, source=source.name)
                    return
            await self._repository.note(
                protocol,
                identity,
                project=project,
                sources={source.id for source in asked},
                reason=reason,
                generation=generation,
            )
        except OrchardError as error:  # the 404 is true all the same
            log.warning("absence_not_kept", protocol=protocol, identity=identity, error=error.code)

    async def kept(self, protocol: str, identity: str, asked: Collection[int]) -> str | None:
        """Why it is absent, as those who may be asked said last; None if they never did. Raises
        `DatabaseUnavailable`."""
        return await self._repository.find(protocol, identity, asked) if asked else None

    @contextlib.asynccontextmanager
    async def of_file(self, resource: Resource, generation: int) -> AsyncIterator[None]:
        """Around whatever looks for a file: its absence is kept, and told where nobody could be asked.

        Raises `FileNotFound` for that.
        """
        try:
            yield
        except (FileNotFound, ProjectNotFound) as error:
            asked = await self._who(resource)
            if asked:
                await self.note(
                    resource.protocol,
                    resource.absence_identity,
                    resource.project,
                    asked,
                    error.message,
                    generation,
                )
            raise
        except UNASKED as error:
            ids = [source.id for source in await self._who(resource)]
            reason = await self.kept(resource.protocol, resource.absence_identity, ids)
            if reason is None:
                raise
            log.info(
                "absence_told", protocol=resource.protocol, filename=resource.filename, because=error.code
            )
            await self._show(resource, reason, generation)
            raise FileNotFound(reason) from error

    async def _who(self, resource: Resource) -> list[UpstreamSource]:
        known = self._sources.current(resource.protocol)
        if known is None:
            return []
        names = protocol_named(resource.protocol).pin_names(resource.project)
        try:
            pinned = await self._artifacts.pinned(resource.protocol, names)
        except OrchardError:
            return []
        return candidates(known.sources, resource.project, pinned)

    async def _show(self, resource: Resource, reason: str, generation: int) -> None:
        known = self._sources.current(resource.protocol)
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=404,
            generation=generation,
            source_revision=known.revision if known is not None else 0,
            source_id=0,
            fetched_at=now,
            fresh_until=now + STALE_SECONDS,
            reason=reason,
            failing=True,
        )
        with contextlib.suppress(CacheUnavailable, InvalidData):
            await self._cache.write_head(resource.protocol, resource.absence_identity, head)

    # --- pages that were there ------------------------------------------------------------------------

    async def believes(self, protocol: PackageProxyBase, row: StoredDocument, source: UpstreamSource) -> bool:
        """Whether a 404 for a page that was there is to be believed: the source has something else at this
        moment, or has said so for ORCHARD_ABSENCE_DOUBT."""
        if await self._has_something(protocol, source):
            return True
        seconds = await self._repository.doubt(row.protocol, row.identity)
        believed = seconds >= self._settings.absence_doubt
        log.warning(
            "absence_doubted",
            identity=row.identity,
            source=source.name,
            seconds=round(seconds),
            believed=believed,
        )
        return believed

    async def trust(self, row: StoredDocument) -> None:
        """It is there, as it was before it was doubted."""
        if row.doubted_at:
            await self._repository.trust(row.protocol, row.identity)

    # --- witnesses --------------------------------------------------------------------------------------

    async def _is_well(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        if time.monotonic() - self._upstreams.had_something.get(source.id, -WELL_SECONDS) < WELL_SECONDS:
            return True
        return await self._has_something(protocol, source)

    async def _has_something(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        """Whether it answers 200, now, for something that it is known to have. Those who want to know at
        once share one look; a vain one serves for some seconds, for a whole page full of names."""
        at, look = self._looks.get(source.id, (0.0, None))
        if look is None or (look.done() and not _still_vain(look, at)):
            look = asyncio.create_task(self._look(protocol, source))
            look.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._looks[source.id] = (time.monotonic(), look)
        return await asyncio.shield(look)

    async def _look(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        pages = await self._repository.known_pages(protocol.name, source.id)
        addresses = [protocol.upstream_request(identity, source.url).url for identity in pages]
        if len(addresses) < 2:  # the one may be what is asked about
            addresses += await self._repository.known_files(protocol.name, source.id, source.url)
        if len(addresses) < 2:
            addresses.append(source.url)  # nothing else is known: its front page will do
        for url in addresses:
            if await self._upstreams.has(source, url):
                return True
        return False


def _still_vain(look: asyncio.Task[bool], began: float) -> bool:
    failed = look.cancelled() or look.exception() is not None
    return not failed and not look.result() and time.monotonic() - began < VAIN_SECONDS


def doubted(source: UpstreamSource) -> UpstreamUnavailable:
    """Why a page that was there stays: its 404 is not believed."""
    return UpstreamUnavailable(
        f"upstream {source.name} answers 404 for all that it had; that is not believed yet",
        retry_after_seconds=DOUBTED_AGAIN_SECONDS,
    )
